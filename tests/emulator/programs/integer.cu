// run:
// Integer, logic, shift and bit instructions against the host.
#include <algorithm>

#include "programs/instructions.h"

// The tables keep their own layout: clang-format takes macros without semicolons for one long statement.
// clang-format off
#define ARITHMETIC(T, t, k)                                                                                                 \
  OP2(add_##t, "add." #t, T, k, T, k, T, k, T(std::make_unsigned_t<T>(a) + std::make_unsigned_t<T>(b)))                     \
  OP2(sub_##t, "sub." #t, T, k, T, k, T, k, T(std::make_unsigned_t<T>(a) - std::make_unsigned_t<T>(b)))                     \
  OP2(mul_##t, "mul.lo." #t, T, k, T, k, T, k, T(u64(a) * u64(b)))                                                          \
  OP2(mulhi_##t, "mul.hi." #t, T, k, T, k, T, k, T((i128(a) * i128(b)) >> (8 * sizeof(T))))                                 \
  OP2(min_##t, "min." #t, T, k, T, k, T, k, std::min(a, b))                                                                 \
  OP2(max_##t, "max." #t, T, k, T, k, T, k, std::max(a, b))                                                                 \
  OP2(div_##t, "div." #t, T, k, T, k, T, k, b == 0 ? T(-1) : T(i128(a) / i128(b)))                                          \
  OP2(rem_##t, "rem." #t, T, k, T, k, T, k, b == 0 ? a : T(i128(a) % i128(b)))                                              \
  OP2(shr_##t, "shr." #t, T, k, T, k, u32, "r", b < 8 * sizeof(T) ? T(a >> b) : T(std::is_signed<T>::value && i128(a) < 0 ? -1 : 0))                          \
  OP3(mad_##t, "mad.lo." #t, T, k, T, k, T, k, T, k, T(u64(a) * u64(b) + u64(c)))                                           \
  OP3(sad_##t, "sad." #t, T, k, T, k, T, k, T, k, T(i128(c) + (a < b ? i128(b) - a : i128(a) - b)))

ARITHMETIC(i16, s16, "h")
ARITHMETIC(u16, u16, "h")
ARITHMETIC(i32, s32, "r")
ARITHMETIC(u32, u32, "r")
ARITHMETIC(i64, s64, "l")
ARITHMETIC(u64, u64, "l")

#define LOGIC(T, t, k)                                                                   \
  OP2(and_##t, "and." #t, T, k, T, k, T, k, T(a & b))                                    \
  OP2(or_##t, "or." #t, T, k, T, k, T, k, T(a | b))                                      \
  OP2(xor_##t, "xor." #t, T, k, T, k, T, k, T(a ^ b))                                    \
  OP1(not_##t, "not." #t, T, k, T, k, T(~a))                                             \
  OP1(cnot_##t, "cnot." #t, T, k, T, k, T(a == 0))                                       \
  OP2(shl_##t, "shl." #t, T, k, T, k, u32, "r", b < 8 * sizeof(T) ? T(a << b) : T(0))
LOGIC(u16, b16, "h")
LOGIC(u32, b32, "r")
LOGIC(u64, b64, "l")

OP2(wide_s16, "mul.wide.s16", i32, "r", i16, "h", i16, "h", i32(a) * b)
OP2(wide_u16, "mul.wide.u16", u32, "r", u16, "h", u16, "h", u32(a) * b)
OP2(wide_s32, "mul.wide.s32", i64, "l", i32, "r", i32, "r", i64(a) * b)
OP2(wide_u32, "mul.wide.u32", u64, "l", u32, "r", u32, "r", u64(a) * b)
OP3(madwide_s32, "mad.wide.s32", i64, "l", i32, "r", i32, "r", i64, "l", i64(u64(i64(a) * b) + u64(c)))
OP3(madhi_s32, "mad.hi.s32", i32, "r", i32, "r", i32, "r", i32, "r", i32(u32((i64(a) * b) >> 32) + u32(c)))
OP3(madsat, "mad.hi.sat.s32", i32, "r", i32, "r", i32, "r", i32, "r", i32(std::clamp<i64>(((i64(a) * b) >> 32) + c, INT32_MIN, INT32_MAX)))
OP2(addsat, "add.sat.s32", i32, "r", i32, "r", i32, "r", i32(std::clamp<i64>(i64(a) + b, INT32_MIN, INT32_MAX)))
OP2(subsat, "sub.sat.s32", i32, "r", i32, "r", i32, "r", i32(std::clamp<i64>(i64(a) - b, INT32_MIN, INT32_MAX)))
OP1(abs_s32, "abs.s32", i32, "r", i32, "r", a == INT32_MIN ? a : std::abs(a))
OP1(neg_s64, "neg.s64", i64, "l", i64, "l", i64(0 - u64(a)))
OP2(mul24lo, "mul24.lo.s32", i32, "r", i32, "r", i32, "r", i32(i64(i32(u32(a) << 8) >> 8) * (i32(u32(b) << 8) >> 8)))
OP2(mul24hi, "mul24.hi.u32", u32, "r", u32, "r", u32, "r", u32((u64(a & 0xffffff) * (b & 0xffffff)) >> 16))

OP1(popc32, "popc.b32", u32, "r", u32, "r", u32(__builtin_popcount(a)))
OP1(popc64, "popc.b64", u32, "r", u64, "l", u32(__builtin_popcountll(a)))
OP1(clz32, "clz.b32", u32, "r", u32, "r", a == 0 ? 32u : u32(__builtin_clz(a)))
OP1(clz64, "clz.b64", u32, "r", u64, "l", a == 0 ? 64u : u32(__builtin_clzll(a)))
template <class T>
T reversed(T a) {
  T out = 0;
  for (size_t i = 0; i < 8 * sizeof(T); ++i) {
    if (a >> i & 1) out |= T(1) << (8 * sizeof(T) - 1 - i);
  }
  return out;
}
OP1(brev32, "brev.b32", u32, "r", u32, "r", reversed(a))
OP1(brev64, "brev.b64", u64, "l", u64, "l", reversed(a))
u32 highest(i64 a, u32 bits) {
  if (a < 0) a = ~a;
  for (u32 i = bits; i-- > 0;) {
    if (u64(a) >> i & 1) return i;
  }
  return ~0u;
}
OP1(bfind_u32, "bfind.u32", u32, "r", u32, "r", highest(i64(a), 32))
OP1(bfind_s32, "bfind.s32", u32, "r", i32, "r", highest(a, 32))
OP1(bfind_s64, "bfind.s64", u32, "r", i64, "l", highest(a, 64))
OP1(bfind_shift, "bfind.shiftamt.u32", u32, "r", u32, "r", a == 0 ? ~0u : 31 - highest(i64(a), 32))
// By the specification's pseudo-code.
template <class T>
T extracted(T a, u32 b, u32 c) {
  const u32 msb = sizeof(T) * 8 - 1, pos = b & 0xff, len = c & 0xff;
  const bool is_unsigned = std::is_unsigned<T>::value;
  const u32 sbit = is_unsigned || len == 0 ? 0 : u32(u64(a) >> std::min(pos + len - 1, msb) & 1);
  u64 d = 0;
  for (u32 i = 0; i <= msb; ++i) d |= u64(i < len && pos + i <= msb ? u64(a) >> (pos + i) & 1 : sbit) << i;
  return T(d);
}
OP3(bfe_u32, "bfe.u32", u32, "r", u32, "r", u32, "r", u32, "r", extracted(a, b, c))
OP3(bfe_s32, "bfe.s32", i32, "r", i32, "r", u32, "r", u32, "r", extracted(a, b, c))
OP3(bfe_u64, "bfe.u64", u64, "l", u64, "l", u32, "r", u32, "r", extracted(a, b, c))
OP3(bfe_s64, "bfe.s64", i64, "l", i64, "l", u32, "r", u32, "r", extracted(a, b, c))
template <class T>
T inserted(T a, T b, u32 c, u32 d) {
  const u32 msb = sizeof(T) * 8 - 1, pos = c & 0xff, len = d & 0xff;
  T f = b;
  for (u32 i = 0; i < len && pos + i <= msb; ++i) f = T((f & ~(T(1) << (pos + i))) | T(a >> i & 1) << (pos + i));
  return f;
}
struct bfi32 {
  using D = u32;
  using A = u32;
  using B = u32;
  using C = u32;
  static __device__ D gpu(A a, B b, C c) {
    D d;
    asm volatile("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(a), "r"(b), "r"(c), "r"(c >> 8));
    return d;
  }
  static D cpu(A a, B b, C c) { return inserted(a, b, c, c >> 8); }
};
struct bfi64 {
  using D = u64;
  using A = u64;
  using B = u64;
  using C = u32;
  static __device__ D gpu(A a, B b, C c) {
    D d;
    asm volatile("bfi.b64 %0, %1, %2, %3, %4;" : "=l"(d) : "l"(a), "l"(b), "r"(c), "r"(c >> 8));
    return d;
  }
  static D cpu(A a, B b, C c) { return inserted(a, b, c, c >> 8); }
};
OP3(shf_l_wrap, "shf.l.wrap.b32", u32, "r", u32, "r", u32, "r", u32, "r", u32((u64(b) << 32 | a) << (c & 31) >> 32))
OP3(shf_r_wrap, "shf.r.wrap.b32", u32, "r", u32, "r", u32, "r", u32, "r", u32((u64(b) << 32 | a) >> (c & 31)))
OP3(shf_l_clamp, "shf.l.clamp.b32", u32, "r", u32, "r", u32, "r", u32, "r", u32((u64(b) << 32 | a) << std::min(c, 32u) >> 32))
OP3(shf_r_clamp, "shf.r.clamp.b32", u32, "r", u32, "r", u32, "r", u32, "r", u32((u64(b) << 32 | a) >> std::min(c, 32u)))
u32 permuted(u32 a, u32 b, u32 c) {
  const u64 bytes = u64(b) << 32 | a;
  u32 d = 0;
  for (int i = 0; i < 4; ++i) {
    u32 byte = u32(bytes >> 8 * (c >> 4 * i & 7)) & 0xff;
    if (c >> 4 * i & 8) byte = byte & 0x80 ? 0xff : 0;
    d |= byte << 8 * i;
  }
  return d;
}
OP3(prmt, "prmt.b32", u32, "r", u32, "r", u32, "r", u32, "r", permuted(a, b, c))
OP3(prmt_f4e, "prmt.b32.f4e", u32, "r", u32, "r", u32, "r", u32, "r", u32((u64(b) << 32 | a) >> 8 * (c & 3)))
OP3(prmt_rc8, "prmt.b32.rc8", u32, "r", u32, "r", u32, "r", u32, "r", 0x01010101u * (a >> 8 * (c & 3) & 0xff))
// cvt.pack: c moves up for two saturated integers.
u32 pack(i32 a, i32 b, u32 c, u32 bits, bool is_signed) {
  const i64 low = is_signed ? -(i64{1} << (bits - 1)) : 0, high = low + (i64{1} << bits) - 1;
  const auto narrow = [&](i32 x) { return u32(std::clamp(i64{x}, low, high)) & ((1u << bits) - 1); };
  return u32(u64{c} << 2 * bits) | narrow(a) << bits | narrow(b);
}
OP3(pack_s8, "cvt.pack.sat.s8.s32.b32", u32, "r", i32, "r", i32, "r", u32, "r", pack(a, b, c, 8, true))
OP3(pack_u8, "cvt.pack.sat.u8.s32.b32", u32, "r", i32, "r", i32, "r", u32, "r", pack(a, b, c, 8, false))
OP2(pack_s16, "cvt.pack.sat.s16.s32", u32, "r", i32, "r", i32, "r", pack(a, b, 0, 16, true))
OP2(pack_u16, "cvt.pack.sat.u16.s32", u32, "r", i32, "r", i32, "r", pack(a, b, 0, 16, false))
#define LOP3(lut)                                                                                                          \
  struct lop3_##lut {                                                                                                      \
    using D = u32;                                                                                                         \
    using A = u32;                                                                                                         \
    using B = u32;                                                                                                         \
    using C = u32;                                                                                                         \
    static __device__ D gpu(A a, B b, C c) {                                                                               \
      D d;                                                                                                                 \
      asm volatile("lop3.b32 %0, %1, %2, %3, " #lut ";" : "=r"(d) : "r"(a), "r"(b), "r"(c));                               \
      return d;                                                                                                            \
    }                                                                                                                      \
    static D cpu(A a, B b, C c) {                                                                                          \
      D d = 0;                                                                                                             \
      for (int i = 0; i < 32; ++i) d |= u32(lut >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1) << i;          \
      return d;                                                                                                            \
    }                                                                                                                      \
  };
LOP3(0x96) LOP3(0xe8) LOP3(0x1b) LOP3(0xff)
template <class X, class Y>
u32 dot4(u32 a, u32 b, u32 c) {
  for (int i = 0; i < 4; ++i) c += u32(i32(X(a >> 8 * i)) * i32(Y(b >> 8 * i)));
  return c;
}
OP3(dp4a_ss, "dp4a.s32.s32", u32, "r", u32, "r", u32, "r", u32, "r", (dot4<int8_t, int8_t>(a, b, c)))
OP3(dp4a_us, "dp4a.u32.s32", u32, "r", u32, "r", u32, "r", u32, "r", (dot4<uint8_t, int8_t>(a, b, c)))
OP3(dp2a_lo, "dp2a.lo.s32.u32", u32, "r", u32, "r", u32, "r", u32, "r",
    u32(c + u32(i32(i16(a)) * i32(b & 0xff)) + u32(i32(i16(a >> 16)) * i32(b >> 8 & 0xff))))
// A video instruction's parts, packed, or their sum with c.
template <class A, class B, class F>
u32 parts(u32 a, u32 b, F of) {
  constexpr u32 bits = sizeof(A) * 8;
  u32 packed = 0;
  for (u32 i = 0; i < 32; i += bits) packed |= (u32(of(i64{A(a >> i)}, i64{B(b >> i)})) & ((1ull << bits) - 1)) << i;
  return packed;
}
template <class A, class B, class F>
u32 sum_of_parts(u32 a, u32 b, u32 c, F of) {
  for (u32 i = 0; i < 32; i += sizeof(A) * 8) c += u32(of(i64{A(a >> i)}, i64{B(b >> i)}));
  return c;
}
i64 differ(i64 a, i64 b) { return std::abs(a - b); }
#define VIDEO(name, text, ...) OP3(name, text, u32, "r", u32, "r", u32, "r", u32, "r", (__VA_ARGS__))
VIDEO(vabsdiff4, "vabsdiff4.u32.u32.u32", parts<uint8_t, uint8_t>(a, b, differ))
VIDEO(vabsdiff4_add, "vabsdiff4.u32.u32.u32.add", sum_of_parts<uint8_t, uint8_t>(a, b, c, differ))
VIDEO(vabsdiff2_add, "vabsdiff2.u32.u32.u32.add", sum_of_parts<uint16_t, uint16_t>(a, b, c, differ))
VIDEO(vabsdiff2_s32, "vabsdiff2.s32.s32.s32.add", sum_of_parts<int16_t, int16_t>(a, b, c, differ))
VIDEO(vadd4_sat, "vadd4.s32.s32.s32.sat",
      parts<int8_t, int8_t>(a, b, [](i64 x, i64 y) { return std::clamp<i64>(x + y, -128, 127); }))
VIDEO(vsub2, "vsub2.u32.u32.u32", parts<uint16_t, uint16_t>(a, b, [](i64 x, i64 y) { return x - y; }))
VIDEO(vsub2_sat, "vsub2.u32.u32.u32.sat", parts<uint16_t, uint16_t>(a, b, [](i64 x, i64 y) { return std::max<i64>(x - y, 0); }))
VIDEO(vavrg4, "vavrg4.u32.u32.u32", parts<uint8_t, uint8_t>(a, b, [](i64 x, i64 y) { return (x + y + 1) / 2; }))
VIDEO(vmin2, "vmin2.s32.s32.s32", parts<int16_t, int16_t>(a, b, [](i64 x, i64 y) { return std::min(x, y); }))
VIDEO(vmax4, "vmax4.u32.u32.s32", parts<uint8_t, int8_t>(a, b, [](i64 x, i64 y) { return std::max(x, y); }))
VIDEO(vset4_lt, "vset4.s32.s32.lt", parts<int8_t, int8_t>(a, b, [](i64 x, i64 y) { return i64{x < y}; }))
VIDEO(vset2_ge, "vset2.u32.u32.ge.add", sum_of_parts<uint16_t, uint16_t>(a, b, c, [](i64 x, i64 y) { return i64{x >= y}; }))
OP2(bmsk, "bmsk.clamp.b32", u32, "r", u32, "r", u32, "r", u32(((u64(1) << std::min(b, 32u)) - 1) << std::min(a, 32u)))
OP3(fns, "fns.b32", u32, "r", u32, "r", u32, "r", i32, "r", [&] {
      if (c == 0) return b < 32 && (a >> b & 1) ? b : ~0u;
      i64 left = c > 0 ? i64(c) : -i64(c);
      for (i64 at = b; at >= 0 && at < 32; at += c > 0 ? 1 : -1) {
        if ((a >> at & 1) && --left == 0) return u32(at);
      }
      return ~0u;
    }())

// 128-bit sums and products by carry chains.
__global__ void carries(const u64* a, const u64* b, u64* sum, u64* difference, u64* product, i64* mixed, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const u64 al = a[i], ah = a[i] * 3 + 1, bl = b[i], bh = ~b[i];
  asm("add.cc.u64 %0, %2, %4; addc.u64 %1, %3, %5;" : "=&l"(sum[2 * i]), "=l"(sum[2 * i + 1]) : "l"(al), "l"(ah), "l"(bl), "l"(bh));
  asm("sub.cc.u64 %0, %2, %4; subc.u64 %1, %3, %5;" : "=&l"(difference[2 * i]), "=l"(difference[2 * i + 1]) : "l"(al), "l"(ah), "l"(bl), "l"(bh));
  u32 r0, r1, r2, r3;
  const u32 a0 = u32(al), a1 = u32(al >> 32), b0 = u32(bl), b1 = u32(bl >> 32);
  asm("mul.lo.u32 %0, %4, %6; mul.hi.u32 %1, %4, %6;\n"
      "mad.lo.cc.u32 %1, %5, %6, %1; madc.hi.u32 %2, %5, %6, 0;\n"
      "mad.lo.cc.u32 %1, %4, %7, %1; madc.hi.cc.u32 %2, %4, %7, %2; addc.u32 %3, 0, 0;\n"
      "mad.lo.cc.u32 %2, %5, %7, %2; madc.hi.u32 %3, %5, %7, %3;"
      : "=&r"(r0), "=&r"(r1), "=&r"(r2), "=&r"(r3)
      : "r"(a0), "r"(a1), "r"(b0), "r"(b1));
  product[2 * i] = u64(r1) << 32 | r0;
  product[2 * i + 1] = u64(r3) << 32 | r2;
  asm("mad.lo.cc.s32 %0, %2, %3, %4; madc.hi.s32 %1, %2, %3, %5;" : "=&r"(r0), "=r"(r1) : "r"(a0), "r"(b0), "r"(a1), "r"(b1));
  mixed[i] = i64(u64(r1) << 32 | r0);
}

void test_carries() {
  const int n = 1000;
  const auto a = integers<u64>(n), b = integers<u64>(n);
  Device<u64> da(a), db(b), ds(2 * n), dd(2 * n), dp(2 * n);
  Device<i64> dm(n);
  carries<<<(n + 63) / 64, 64>>>(da, db, ds, dd, dp, dm, n);
  const auto s = ds.host(), d = dd.host(), p = dp.host();
  const auto m = dm.host();
  for (int i = 0; i < n; ++i) {
    const u128 x = u128(a[i] * 3 + 1) << 64 | a[i], y = u128(~b[i]) << 64 | b[i];
    EXPECT(s[2 * i] == u64(x + y) && s[2 * i + 1] == u64((x + y) >> 64), "sum %d", i);
    EXPECT(d[2 * i] == u64(x - y) && d[2 * i + 1] == u64((x - y) >> 64), "difference %d", i);
    EXPECT(u64(m[i]) == u64(i64{i32(a[i])} * i32(b[i])) + (b[i] >> 32 << 32 | a[i] >> 32), "signed %d", i);
    const u128 z = u128(a[i]) * b[i];
    EXPECT(p[2 * i] == u64(z) && p[2 * i + 1] == u64(z >> 64), "product %d", i);
  }
}

#define RUN_ARITHMETIC(t) \
  RUN(add_##t); RUN(sub_##t); RUN(mul_##t); RUN(mulhi_##t); RUN(min_##t); RUN(max_##t); RUN(div_##t); RUN(rem_##t); RUN(shr_##t); RUN(mad_##t); RUN(sad_##t)
#define RUN_LOGIC(t) RUN(and_##t); RUN(or_##t); RUN(xor_##t); RUN(not_##t); RUN(cnot_##t); RUN(shl_##t)

int main() {
  RUN_ARITHMETIC(s16); RUN_ARITHMETIC(u16); RUN_ARITHMETIC(s32); RUN_ARITHMETIC(u32); RUN_ARITHMETIC(s64); RUN_ARITHMETIC(u64);
  RUN_LOGIC(b16); RUN_LOGIC(b32); RUN_LOGIC(b64);
  RUN(wide_s16); RUN(wide_u16); RUN(wide_s32); RUN(wide_u32); RUN(madwide_s32); RUN(madhi_s32); RUN(madsat); RUN(addsat); RUN(subsat);
  RUN(abs_s32); RUN(neg_s64); RUN(mul24lo); RUN(mul24hi);
  RUN(popc32); RUN(popc64); RUN(clz32); RUN(clz64); RUN(brev32); RUN(brev64);
  RUN(bfind_u32); RUN(bfind_s32); RUN(bfind_s64); RUN(bfind_shift);
  RUN(bfe_u32); RUN(bfe_s32); RUN(bfe_u64); RUN(bfe_s64); RUN(bfi32); RUN(bfi64);
  RUN(shf_l_wrap); RUN(shf_r_wrap); RUN(shf_l_clamp); RUN(shf_r_clamp); RUN(prmt); RUN(prmt_f4e); RUN(prmt_rc8);
  RUN(pack_s8); RUN(pack_u8); RUN(pack_s16); RUN(pack_u16);
  RUN(lop3_0x96); RUN(lop3_0xe8); RUN(lop3_0x1b); RUN(lop3_0xff);
  RUN(dp4a_ss); RUN(dp4a_us); RUN(dp2a_lo); RUN(vabsdiff4); RUN(vabsdiff4_add); RUN(vabsdiff2_add); RUN(vabsdiff2_s32);
  RUN(vadd4_sat); RUN(vsub2); RUN(vsub2_sat); RUN(vavrg4); RUN(vmin2); RUN(vmax4); RUN(vset4_lt); RUN(vset2_ge); RUN(bmsk); RUN(fns);
  test_carries();
  return finish();
}
