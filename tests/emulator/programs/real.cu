// run:
// Floating-point instructions and conversions against the host, in every rounding mode.
#include "programs/reals.h"

// The tables keep their own layout: clang-format takes macros without semicolons for one long statement.
// clang-format off
#define ROUNDED(t, T, k, r, mode)                                                                                  \
  OP2(add_##r##_##t, "add." #r "." #t, T, k, T, k, T, k, (rounded(mode, [&] { return T(v(a) + v(b)); })))          \
  OP2(sub_##r##_##t, "sub." #r "." #t, T, k, T, k, T, k, (rounded(mode, [&] { return T(v(a) - v(b)); })))          \
  OP2(mul_##r##_##t, "mul." #r "." #t, T, k, T, k, T, k, (rounded(mode, [&] { return T(v(a) * v(b)); })))          \
  OP2(div_##r##_##t, "div." #r "." #t, T, k, T, k, T, k, (rounded(mode, [&] { return T(v(a) / v(b)); })))          \
  OP3(fma_##r##_##t, "fma." #r "." #t, T, k, T, k, T, k, T, k, (rounded(mode, [&] { return std::fma(v(a), v(b), v(c)); }))) \
  OP1(rcp_##r##_##t, "rcp." #r "." #t, T, k, T, k, (rounded(mode, [&] { return T(T(1) / v(a)); })))                \
  OP1(sqrt_##r##_##t, "sqrt." #r "." #t, T, k, T, k, (rounded(mode, [&] { return std::sqrt(v(a)); })))
#define ALL_ROUNDED(t, T, c) \
  ROUNDED(t, T, c, rn, FE_TONEAREST) ROUNDED(t, T, c, rz, FE_TOWARDZERO) ROUNDED(t, T, c, rm, FE_DOWNWARD) ROUNDED(t, T, c, rp, FE_UPWARD)
ALL_ROUNDED(f32, float, "f")
ALL_ROUNDED(f64, double, "d")
#define RUN_ROUNDED(t, r) \
  RUN(add_##r##_##t); RUN(sub_##r##_##t); RUN(mul_##r##_##t); RUN(div_##r##_##t); RUN(fma_##r##_##t); RUN(rcp_##r##_##t); RUN(sqrt_##r##_##t)
#define RUN_ALL(t) RUN_ROUNDED(t, rn); RUN_ROUNDED(t, rz); RUN_ROUNDED(t, rm); RUN_ROUNDED(t, rp)

OP2(add_ftz, "add.ftz.f32", float, "f", float, "f", float, "f", flushed(flushed(a) + flushed(b)))
OP2(mul_ftz, "mul.ftz.f32", float, "f", float, "f", float, "f", flushed(flushed(a) * flushed(b)))
OP2(add_sat, "add.sat.f32", float, "f", float, "f", float, "f", saturated(a + b))
OP3(fma_sat, "fma.rn.sat.f32", float, "f", float, "f", float, "f", float, "f", saturated(std::fma(a, b, c)))
OP2(min_f32, "min.f32", float, "f", float, "f", float, "f", least(a, b))
OP2(max_f32, "max.f32", float, "f", float, "f", float, "f", most(a, b))
OP2(min_f64, "min.f64", double, "d", double, "d", double, "d", least(a, b))
OP2(max_nan, "max.NaN.f32", float, "f", float, "f", float, "f", a != a || b != b ? NAN : most(a, b))
OP1(abs_f32, "abs.f32", float, "f", float, "f", std::fabs(a))
OP1(neg_f64, "neg.f64", double, "d", double, "d", -a)
OP2(copysign_f32, "copysign.f32", float, "f", float, "f", float, "f", std::copysign(b, a))

// f32 NaNs are canonical.
struct nan_bits {
  using D = u32;
  using A = float;
  using B = float;
  using C = float;
  static __device__ D gpu(A a, B b, C) {
    float d;
    asm volatile("add.f32 %0, %1, %2;" : "=f"(d) : "f"(a), "f"(b));
    return __float_as_uint(d);
  }
  static D cpu(A a, B b, C) {
    const float d = a + b;
    u32 bits;
    std::memcpy(&bits, &d, 4);
    return d != d ? 0x7fffffffu : bits;
  }
};

// Conversions.
#define TO_INTEGER(T, t, k, F, f, cf)                                                                     \
  OP1(rni_##t##_##f, "cvt.rni." #t "." #f, T, k, F, cf, (clamped<T>(std::nearbyint(a))))                  \
  OP1(rzi_##t##_##f, "cvt.rzi." #t "." #f, T, k, F, cf, (clamped<T>(std::trunc(a))))                      \
  OP1(rmi_##t##_##f, "cvt.rmi." #t "." #f, T, k, F, cf, (clamped<T>(std::floor(a))))                      \
  OP1(rpi_##t##_##f, "cvt.rpi." #t "." #f, T, k, F, cf, (clamped<T>(std::ceil(a))))
TO_INTEGER(i32, s32, "r", float, f32, "f")
TO_INTEGER(u32, u32, "r", float, f32, "f")
TO_INTEGER(i64, s64, "l", float, f32, "f")
TO_INTEGER(u64, u64, "l", double, f64, "d")
TO_INTEGER(i32, s32, "r", double, f64, "d")
TO_INTEGER(i16, s16, "h", float, f32, "f")
#define RUN_TO_INTEGER(t, f) RUN(rni_##t##_##f); RUN(rzi_##t##_##f); RUN(rmi_##t##_##f); RUN(rpi_##t##_##f)
#define FROM_INTEGER(T, t, k, F, f, cf)                                                                       \
  OP1(rn_##f##_##t, "cvt.rn." #f "." #t, F, cf, T, k, F(a))                                                   \
  OP1(rz_##f##_##t, "cvt.rz." #f "." #t, F, cf, T, k, (rounded(FE_TOWARDZERO, [&] { return F(v(a)); })))      \
  OP1(rp_##f##_##t, "cvt.rp." #f "." #t, F, cf, T, k, (rounded(FE_UPWARD, [&] { return F(v(a)); })))
FROM_INTEGER(i32, s32, "r", float, f32, "f")
FROM_INTEGER(u32, u32, "r", float, f32, "f")
FROM_INTEGER(i64, s64, "l", float, f32, "f")
FROM_INTEGER(u64, u64, "l", float, f32, "f")
FROM_INTEGER(u64, u64, "l", double, f64, "d")
#define RUN_FROM_INTEGER(t, f) RUN(rn_##f##_##t); RUN(rz_##f##_##t); RUN(rp_##f##_##t)
OP1(narrow_rn, "cvt.rn.f32.f64", float, "f", double, "d", float(a))
OP1(narrow_rm, "cvt.rm.f32.f64", float, "f", double, "d", (rounded(FE_DOWNWARD, [&] { return float(v(a)); })))
OP1(widen, "cvt.f64.f32", double, "d", float, "f", double(a))
OP1(round_f32, "cvt.rni.f32.f32", float, "f", float, "f", std::nearbyint(a))
OP1(sat_f32, "cvt.sat.f32.f32", float, "f", float, "f", saturated(a))
OP1(sat_u8, "cvt.sat.u8.s32", u32, "r", i32, "r", u32(a < 0 ? 0 : a > 255 ? 255 : a))
OP1(s8_s32, "cvt.s8.s32", i32, "r", i32, "r", i32(int8_t(a)))
OP1(u64_s16, "cvt.u64.s16", u64, "l", i16, "h", u64(i64(a)))
OP1(s32_u64, "cvt.s32.u64", i32, "r", u64, "l", i32(a))

OP1(f16_f32, "cvt.rn.f16.f32", u16, "h", float, "f", to_f16(a))
OP1(bf16_f32, "cvt.rn.bf16.f32", u16, "h", float, "f", to_bf16(a))
OP1(f16_f64, "cvt.rn.f16.f64", u16, "h", double, "d", to_f16(a))
OP1(f32_f16, "cvt.f32.f16", float, "f", u16, "h", from_f16(a))
OP2(bf16x2_f32, "cvt.rn.bf16x2.f32", u32, "r", float, "f", float, "f", u32(to_bf16(a)) << 16 | to_bf16(b))
OP2(f16x2_f32, "cvt.rn.f16x2.f32", u32, "r", float, "f", float, "f", u32(to_f16(a)) << 16 | to_f16(b))
OP1(tf32_f32, "cvt.rna.tf32.f32", u32, "r", float, "f", [&] {
      u32 bits;
      std::memcpy(&bits, &a, 4);
      if (a != a) return 0x7fffffffu;
      return std::isinf(a) ? bits : (bits + 0x1000) & 0xffffe000;
    }())
OP2(add_f16, "add.f16", u16, "h", u16, "h", u16, "h", to_f16(double(from_f16(a)) + from_f16(b)))
OP2(mul_f16, "mul.f16", u16, "h", u16, "h", u16, "h", to_f16(double(from_f16(a)) * from_f16(b)))
// Exact in 80 bits: 22 bits of product and 11 of addend span at most 64.
OP3(fma_f16, "fma.rn.f16", u16, "h", u16, "h", u16, "h", u16, "h", [&] {
      const double product = double(from_f16(a)) * from_f16(b);
      return to_f16(product + from_f16(c));
    }())
OP3(fma_bf16, "fma.rn.bf16", u16, "h", u16, "h", u16, "h", u16, "h", fused_bf16(a, b, c))
template <u16 (*kTo)(double), float (*kFrom)(u16)>
u32 both(u32 a, u32 b, double (*f)(double, double)) {
  return u32(kTo(f(kFrom(u16(a >> 16)), kFrom(u16(b >> 16))))) << 16 | kTo(f(kFrom(u16(a)), kFrom(u16(b))));
}
OP2(add_f16x2, "add.f16x2", u32, "r", u32, "r", u32, "r", (both<to_f16, from_f16>(a, b, [](double x, double y) { return x + y; })))
OP2(mul_f16x2, "mul.f16x2", u32, "r", u32, "r", u32, "r", (both<to_f16, from_f16>(a, b, [](double x, double y) { return x * y; })))
OP2(min_bf16x2, "min.bf16x2", u32, "r", u32, "r", u32, "r", (both<to_bf16, from_bf16>(a, b, [](double x, double y) { return least(x, y); })))
OP2(max_f16, "max.f16", u16, "h", u16, "h", u16, "h", to_f16(most(from_f16(a), from_f16(b))))

// Approximate functions, against double, with the documented bounds (absolute where the result is near zero).
template <int kWhich>
__global__ void approximate(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (kWhich == 0) asm("ex2.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 1) asm("lg2.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 2) asm("sin.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 3) asm("cos.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 4) asm("tanh.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 5) asm("rsqrt.approx.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
  if (kWhich == 6) asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y[i]) : "f"(x[i]));
}
template <int kWhich>
void test_approximate(float low, float high, double relative, double absolute, double (*reference)(double)) {
  const int n = 5000;
  std::vector<float> x(n);
  for (float& value : x) value = std::uniform_real_distribution<float>(low, high)(rng());
  Device<float> dx(x), dy(n);
  approximate<kWhich><<<(n + 127) / 128, 128>>>(dx, dy, n);
  const auto y = dy.host();
  for (int i = 0; i < n; ++i) {
    const double expected = reference(x[i]);
    EXPECT(std::fabs(y[i] - expected) <= relative * std::fabs(expected) + absolute, "%d(%a) = %a, expected %a", kWhich, x[i], y[i], expected);
  }
}

// Comparisons: each as a predicate, all in one word.
__global__ void compare(const float* a, const float* b, u32* out, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  u32 bits = 0;
#define COMPARE(op, bit)                                                                                                 \
  {                                                                                                                      \
    u32 one;                                                                                                             \
    asm volatile("{ .reg .pred p; setp." #op ".f32 p, %1, %2; selp.b32 %0, 1, 0, p; }" : "=r"(one) : "f"(a[i]), "f"(b[i])); \
    bits |= one << bit;                                                                                                  \
  }
  COMPARE(eq, 0) COMPARE(ne, 1) COMPARE(lt, 2) COMPARE(le, 3) COMPARE(gt, 4) COMPARE(ge, 5) COMPARE(equ, 6) COMPARE(neu, 7)
  COMPARE(ltu, 8) COMPARE(leu, 9) COMPARE(gtu, 10) COMPARE(geu, 11) COMPARE(num, 12) COMPARE(nan, 13)
  out[i] = bits;
}
void test_compare() {
  const int n = 2000;
  const auto a = reals<float>(n);
  auto b = reals<float>(n);
  for (int i = 0; i < n; i += 5) b[i] = a[i];
  Device<float> da(a), db(b);
  Device<u32> dout(n);
  compare<<<(n + 127) / 128, 128>>>(da, db, dout, n);
  const auto out = dout.host();
  for (int i = 0; i < n; ++i) {
    const float x = a[i], y = b[i];
    const bool nan = x != x || y != y;
    const bool holds[] = {x == y, x < y || x > y, x < y, x <= y, x > y, x >= y, nan || x == y, nan || x != y, nan || x < y, nan || x <= y,
                          nan || x > y, nan || x >= y, !nan, nan};
    for (int k = 0; k < 14; ++k) EXPECT((out[i] >> k & 1) == holds[k], "comparison %d of %g and %g", k, x, y);
  }
}

int main() {
  RUN_ALL(f32); RUN_ALL(f64);
  RUN(add_ftz); RUN(mul_ftz); RUN(add_sat); RUN(fma_sat); RUN(min_f32); RUN(max_f32); RUN(min_f64); RUN(max_nan);
  RUN(abs_f32); RUN(neg_f64); RUN(copysign_f32); RUN(nan_bits);
  RUN_TO_INTEGER(s32, f32); RUN_TO_INTEGER(u32, f32); RUN_TO_INTEGER(s64, f32); RUN_TO_INTEGER(u64, f64); RUN_TO_INTEGER(s32, f64); RUN_TO_INTEGER(s16, f32);
  RUN_FROM_INTEGER(s32, f32); RUN_FROM_INTEGER(u32, f32); RUN_FROM_INTEGER(s64, f32); RUN_FROM_INTEGER(u64, f32); RUN_FROM_INTEGER(u64, f64);
  RUN(narrow_rn); RUN(narrow_rm); RUN(widen); RUN(round_f32); RUN(sat_f32); RUN(sat_u8); RUN(s8_s32); RUN(u64_s16); RUN(s32_u64);
  RUN(f16_f32); RUN(bf16_f32); RUN(f16_f64); RUN(f32_f16); RUN(bf16x2_f32); RUN(f16x2_f32); RUN(tf32_f32);
  RUN(add_f16); RUN(mul_f16); RUN(fma_f16); RUN(fma_bf16); RUN(add_f16x2); RUN(mul_f16x2); RUN(min_bf16x2); RUN(max_f16);
  const double ulp = std::ldexp(1.0, -22);
  test_approximate<0>(-140, 128, 2 * ulp, 1e-44, [](double x) { return std::exp2(x); });
  test_approximate<1>(1e-30f, 1e30f, ulp, ulp, [](double x) { return std::log2(x); });
  test_approximate<2>(-3.14f, 3.14f, 0, 5e-7, [](double x) { return std::sin(x); });
  test_approximate<3>(-3.14f, 3.14f, 0, 5e-7, [](double x) { return std::cos(x); });
  test_approximate<4>(-10, 10, std::ldexp(1.0, -11), 0, [](double x) { return std::tanh(x); });
  test_approximate<5>(1e-30f, 1e30f, ulp, 0, [](double x) { return 1 / std::sqrt(x); });
  test_approximate<6>(-125, 128, 2 * ulp, 0, [](double x) { return std::exp2(x); });
  test_compare();
  return finish();
}
