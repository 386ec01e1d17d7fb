// arch: 90
// run:
// What real.cu leaves: rounding together with .ftz and .sat, every pair of types that cvt knows, 16-bit
// arithmetic with .sat, .relu and .ftz.
#include "programs/reals.h"

// The tables keep their own layout: clang-format takes macros without semicolons for one long statement.
// clang-format off
// Flushing and saturating come after rounding; operands are flushed before.
#define FORMS(r, mode)                                                                                                                        \
  OP2(add_##r, "add." #r ".ftz.f32", float, "f", float, "f", float, "f", flushed(rounded(mode, [&] { return v(flushed(a)) + v(flushed(b)); }))) \
  OP2(sub_##r, "sub." #r ".sat.f32", float, "f", float, "f", float, "f", saturated(rounded(mode, [&] { return v(a) - v(b); })))                \
  OP2(mul_##r, "mul." #r ".sat.f32", float, "f", float, "f", float, "f", saturated(rounded(mode, [&] { return v(a) * v(b); })))                \
  OP3(fma_##r, "fma." #r ".ftz.sat.f32", float, "f", float, "f", float, "f", float, "f",                                                      \
      saturated(flushed(rounded(mode, [&] { return std::fma(v(flushed(a)), v(flushed(b)), v(flushed(c))); }))))                                \
  OP2(div_##r, "div." #r ".ftz.f32", float, "f", float, "f", float, "f", flushed(rounded(mode, [&] { return v(flushed(a)) / v(flushed(b)); }))) \
  OP1(rcp_##r, "rcp." #r ".ftz.f32", float, "f", float, "f", flushed(rounded(mode, [&] { return 1 / v(flushed(a)); })))                        \
  OP1(sqrt_##r, "sqrt." #r ".ftz.f32", float, "f", float, "f", rounded(mode, [&] { return std::sqrt(v(flushed(a))); }))                        \
  OP1(narrow_##r, "cvt." #r ".f32.f64", float, "f", double, "d", rounded(mode, [&] { return float(v(a)); }))                                    \
  OP1(narrow_ftz_##r, "cvt." #r ".ftz.f32.f64", float, "f", double, "d", flushed(rounded(mode, [&] { return float(v(a)); })))                   \
  OP1(s32_f32_##r, "cvt." #r ".f32.s32", float, "f", i32, "r", rounded(mode, [&] { return float(v(a)); }))                                      \
  OP1(u32_f32_##r, "cvt." #r ".f32.u32", float, "f", u32, "r", rounded(mode, [&] { return float(v(a)); }))                                      \
  OP1(s64_f32_##r, "cvt." #r ".f32.s64", float, "f", i64, "l", rounded(mode, [&] { return float(v(a)); }))                                      \
  OP1(u64_f32_##r, "cvt." #r ".f32.u64", float, "f", u64, "l", rounded(mode, [&] { return float(v(a)); }))                                      \
  OP1(s64_f64_##r, "cvt." #r ".f64.s64", double, "d", i64, "l", rounded(mode, [&] { return double(v(a)); }))                                    \
  OP1(u64_f64_##r, "cvt." #r ".f64.u64", double, "d", u64, "l", rounded(mode, [&] { return double(v(a)); }))                                    \
  OP1(s32_f64_##r, "cvt." #r ".f64.s32", double, "d", i32, "r", double(a))                                                                      \
  OP1(u16_f32_##r, "cvt." #r ".f32.u16", float, "f", u16, "h", float(a))                                                                        \
  OP1(s16_f32_##r, "cvt." #r ".f32.s16", float, "f", i16, "h", float(a))
FORMS(rn, FE_TONEAREST) FORMS(rz, FE_TOWARDZERO) FORMS(rm, FE_DOWNWARD) FORMS(rp, FE_UPWARD)
#define RUN_FORMS(r)                                                                                                        \
  RUN(add_##r); RUN(sub_##r); RUN(mul_##r); RUN(fma_##r); RUN(div_##r); RUN(rcp_##r); RUN(sqrt_##r); RUN(narrow_##r);       \
  RUN(narrow_ftz_##r); RUN(s32_f32_##r); RUN(u32_f32_##r); RUN(s64_f32_##r); RUN(u64_f32_##r); RUN(s64_f64_##r);            \
  RUN(u64_f64_##r); RUN(s32_f64_##r); RUN(u16_f32_##r); RUN(s16_f32_##r)

// To integers of every width from f16, f32, f64; NaN gives 0, what is too large the nearest there is.
#define TO(T, t, D, k, F, f, cf, value)                                                         \
  OP1(rni_##t##_##f, "cvt.rni." #t "." #f, D, k, F, cf, (D(clamped<T>(std::nearbyint(value))))) \
  OP1(rzi_##t##_##f, "cvt.rzi." #t "." #f, D, k, F, cf, (D(clamped<T>(std::trunc(value)))))     \
  OP1(rmi_##t##_##f, "cvt.rmi." #t "." #f, D, k, F, cf, (D(clamped<T>(std::floor(value)))))     \
  OP1(rpi_##t##_##f, "cvt.rpi.sat." #t "." #f, D, k, F, cf, (D(clamped<T>(std::ceil(value)))))
#define TO_ALL(F, f, cf, value)                                                              \
  TO(int8_t, s8, i32, "r", F, f, cf, value) TO(uint8_t, u8, u32, "r", F, f, cf, value)       \
  TO(i16, s16, i16, "h", F, f, cf, value) TO(u16, u16, u16, "h", F, f, cf, value)            \
  TO(i32, s32, i32, "r", F, f, cf, value) TO(u32, u32, u32, "r", F, f, cf, value)            \
  TO(i64, s64, i64, "l", F, f, cf, value) TO(u64, u64, u64, "l", F, f, cf, value)
TO_ALL(u16, f16, "h", from_f16(a)) TO_ALL(float, f32, "f", a) TO_ALL(double, f64, "d", a)
#define RUN_TO(t, f) RUN(rni_##t##_##f); RUN(rzi_##t##_##f); RUN(rmi_##t##_##f); RUN(rpi_##t##_##f)
#define RUN_TO_ALL(f) \
  RUN_TO(s8, f); RUN_TO(u8, f); RUN_TO(s16, f); RUN_TO(u16, f); RUN_TO(s32, f); RUN_TO(u32, f); RUN_TO(s64, f); RUN_TO(u64, f)
OP1(rni_f64, "cvt.rni.f64.f64", double, "d", double, "d", std::nearbyint(a))
OP1(rzi_f64, "cvt.rzi.f64.f64", double, "d", double, "d", std::trunc(a))
OP1(rmi_f32, "cvt.rmi.f32.f32", float, "f", float, "f", std::floor(a))
OP1(rpi_f32, "cvt.rpi.ftz.f32.f32", float, "f", float, "f", std::ceil(flushed(a)))
OP1(rmi_f16, "cvt.rmi.f16.f16", u16, "h", u16, "h", to_f16(std::floor(from_f16(a))))
OP1(rpi_f16, "cvt.rpi.f16.f16", u16, "h", u16, "h", to_f16(std::ceil(from_f16(a))))

// To 16 bits. Towards zero: the nearest whose magnitude is not larger.
template <u16 (*kTo)(double), float (*kFrom)(u16)>
u16 cut(double x) {
  const u16 nearest = kTo(x);
  return x == x && std::fabs(double(kFrom(nearest))) > std::fabs(x) ? nearest - 1 : nearest;
}
double relu(double x) { return x != x ? x : x > 0 ? x : 0.0; }
double clip(double x) { return x > 0 ? (x < 1 ? x : 1.0) : 0.0; }
OP1(f16_rz, "cvt.rz.f16.f32", u16, "h", float, "f", (cut<to_f16, from_f16>(a)))
OP1(f16_rz_f64, "cvt.rz.f16.f64", u16, "h", double, "d", (cut<to_f16, from_f16>(a)))
OP1(bf16_rz, "cvt.rz.bf16.f32", u16, "h", float, "f", (cut<to_bf16, from_bf16>(a)))
OP1(f16_ftz, "cvt.rn.ftz.f16.f32", u16, "h", float, "f", to_f16(flushed(a)))
OP1(f16_sat, "cvt.rn.sat.f16.f32", u16, "h", float, "f", to_f16(clip(a)))
OP1(f16_relu, "cvt.rn.relu.f16.f32", u16, "h", float, "f", to_f16(relu(a)))
OP1(bf16_relu, "cvt.rz.relu.bf16.f32", u16, "h", float, "f", (cut<to_bf16, from_bf16>(relu(a))))
OP2(f16x2_rz, "cvt.rz.f16x2.f32", u32, "r", float, "f", float, "f", (u32(cut<to_f16, from_f16>(a)) << 16 | cut<to_f16, from_f16>(b)))
OP2(bf16x2_relu, "cvt.rn.relu.bf16x2.f32", u32, "r", float, "f", float, "f", u32(to_bf16(relu(a))) << 16 | to_bf16(relu(b)))
OP1(f64_f16, "cvt.f64.f16", double, "d", u16, "h", double(from_f16(a)))
OP1(f32_bf16, "cvt.f32.bf16", float, "f", u16, "h", from_bf16(a))
OP1(f16_s32, "cvt.rn.f16.s32", u16, "h", i32, "r", to_f16(a))
OP1(f16_u16, "cvt.rz.f16.u16", u16, "h", u16, "h", (cut<to_f16, from_f16>(a)))
OP1(f16_u64, "cvt.rn.f16.u64", u16, "h", u64, "l", to_f16(double(a)))
// Integers of 64 bits have more of them than f64: the rest only says on which side of a tie they lie.
template <class T>
u16 bf16_of(T x) {
  const bool negative = std::is_signed_v<T> && i64(x) < 0;
  u64 magnitude = negative ? 0 - u64(x) : u64(x);
  if (magnitude >> 48 != 0) magnitude = (magnitude >> 16 | ((magnitude & 0xffff) != 0)) << 16;
  return to_bf16(negative ? -double(magnitude) : double(magnitude));
}
OP1(bf16_s64, "cvt.rn.bf16.s64", u16, "h", i64, "l", bf16_of(a))
OP1(bf16_u64, "cvt.rn.bf16.u64", u16, "h", u64, "l", bf16_of(a))
OP1(bf16_s32, "cvt.rn.bf16.s32", u16, "h", i32, "r", bf16_of(a))
u32 tf32(float x, bool nearest, bool relu) {
  u32 bits;
  std::memcpy(&bits, &x, 4);
  if (x != x) return 0x7fffffff;
  if (relu && std::signbit(x)) return 0;
  return std::isinf(x) ? bits : (bits + (nearest ? 0xfff + (bits >> 13 & 1) : 0)) & 0xffffe000;
}
OP1(tf32_rn, "cvt.rn.tf32.f32", u32, "r", float, "f", tf32(a, true, false))
OP1(tf32_rz, "cvt.rz.tf32.f32", u32, "r", float, "f", tf32(a, false, false))
OP1(tf32_relu, "cvt.rn.relu.tf32.f32", u32, "r", float, "f", tf32(a, true, true))

// 16-bit arithmetic.
u16 small(u16 x) { return (x & 0x7c00) == 0 ? x & 0x8000 : x; }  // .ftz, of f16
double exact(u16 a, u16 b, u16 c) { return double(from_f16(a)) * from_f16(b) + from_f16(c); }
OP2(sub_f16, "sub.f16", u16, "h", u16, "h", u16, "h", to_f16(double(from_f16(a)) - from_f16(b)))
OP2(add_f16_sat, "add.sat.f16", u16, "h", u16, "h", u16, "h", to_f16(clip(double(from_f16(a)) + from_f16(b))))
OP2(mul_f16_ftz, "mul.ftz.f16", u16, "h", u16, "h", u16, "h", small(to_f16(double(from_f16(small(a))) * from_f16(small(b)))))
OP3(fma_f16_relu, "fma.rn.relu.f16", u16, "h", u16, "h", u16, "h", u16, "h", to_f16(relu(exact(a, b, c))))
OP3(fma_f16_sat, "fma.rn.sat.f16", u16, "h", u16, "h", u16, "h", u16, "h", to_f16(clip(exact(a, b, c))))
OP3(fma_bf16_relu, "fma.rn.relu.bf16", u16, "h", u16, "h", u16, "h", u16, "h", [&] {
      const u16 plain = fused_bf16(a, b, c);
      return from_bf16(plain) <= 0 ? u16{0} : plain;
    }())
OP2(max_bf16_nan, "max.NaN.bf16", u16, "h", u16, "h", u16, "h",
    (from_bf16(a) != from_bf16(a) || from_bf16(b) != from_bf16(b) ? u16{0x7fff} : to_bf16(most(from_bf16(a), from_bf16(b)))))
OP2(min_f16_ftz, "min.ftz.f16", u16, "h", u16, "h", u16, "h", to_f16(least(from_f16(small(a)), from_f16(small(b)))))
OP2(min_ftz_nan, "min.ftz.NaN.f32", float, "f", float, "f", float, "f", a != a || b != b ? NAN : least(flushed(a), flushed(b)))
OP2(max_ftz, "max.ftz.f32", float, "f", float, "f", float, "f", most(flushed(a), flushed(b)))

int main() {
  RUN_FORMS(rn); RUN_FORMS(rz); RUN_FORMS(rm); RUN_FORMS(rp);
  RUN_TO_ALL(f16); RUN_TO_ALL(f32); RUN_TO_ALL(f64);
  RUN(rni_f64); RUN(rzi_f64); RUN(rmi_f32); RUN(rpi_f32); RUN(rmi_f16); RUN(rpi_f16);
  RUN(f16_rz); RUN(f16_rz_f64); RUN(bf16_rz); RUN(f16_ftz); RUN(f16_sat); RUN(f16_relu); RUN(bf16_relu); RUN(f16x2_rz);
  RUN(bf16x2_relu); RUN(f64_f16); RUN(f32_bf16); RUN(f16_s32); RUN(f16_u16); RUN(f16_u64);
  RUN(bf16_s64); RUN(bf16_u64); RUN(bf16_s32); RUN(tf32_rn); RUN(tf32_rz); RUN(tf32_relu);
  RUN(sub_f16); RUN(add_f16_sat); RUN(mul_f16_ftz); RUN(fma_f16_relu); RUN(fma_f16_sat); RUN(fma_bf16_relu);
  RUN(max_bf16_nan); RUN(min_f16_ftz); RUN(min_ftz_nan); RUN(max_ftz);
  return finish();
}
