// What the programs that test arithmetic share: the host's arithmetic in every rounding mode, the 16-bit
// formats.
#pragma once

#include <cfenv>

#include "programs/instructions.h"

inline float flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
template <class F>
auto rounded(int mode, F f) {
  std::fesetround(mode);
  volatile auto result = f();
  std::fesetround(FE_TONEAREST);
  return result;
}
// The host compiler must not compute before the mode is set.
template <class T>
T v(T x) {
  volatile T y = x;
  return y;
}

inline float saturated(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
template <class T>
T least(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a < b || (a == b && std::signbit(a)) ? a : b;
}
template <class T>
T most(T a, T b) {
  if (a != a) return b;
  if (b != b) return a;
  return a > b || (a == b && !std::signbit(a)) ? a : b;
}
template <class T, class F>
T clamped(F x) {  // after rounding to an integral value
  if (x != x) return 0;
  if (x <= F(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (x >= F(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return T(x);
}
// 16-bit formats: the nearest value by search over all of them is too slow; the rule is written out instead.
template <int kExponent, int kMantissa>
inline u16 to_half(double x) {
  const int bias = (1 << (kExponent - 1)) - 1;
  const u16 sign = std::signbit(x) ? 0x8000 : 0, infinity = u16(((1 << kExponent) - 1) << kMantissa);
  if (x != x) return 0x7fff;
  x = std::fabs(x);
  int exponent;
  std::frexp(x, &exponent);
  if (x == 0) return sign;
  exponent = std::max(exponent - 1, 1 - bias);
  if (std::isinf(x)) return sign | infinity;
  const double unit = std::ldexp(1.0, exponent - kMantissa);
  const double scaled = std::nearbyint(x / unit) * unit;  // exact scaling by a power of two
  if (scaled == 0) return sign;
  if (std::isinf(scaled)) return sign | infinity;
  std::frexp(scaled, &exponent);
  exponent -= 1;
  if (exponent > bias) return sign | infinity;
  if (exponent < 1 - bias) return sign | u16(std::ldexp(scaled, bias - 1 + kMantissa));
  return sign | u16(((exponent + bias) << kMantissa) + u16(std::ldexp(scaled, kMantissa - exponent)) -
                    (1 << kMantissa));
}
inline u16 to_f16(double x) { return to_half<5, 10>(x); }
inline u16 to_bf16(double x) { return to_half<8, 7>(x); }
inline float from_bf16(u16 x) {
  const u32 bits = u32(x) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline float from_f16(u16 x) {
  const int exponent = x >> 10 & 31, mantissa = x & 1023;
  float value = exponent == 31  ? (mantissa ? NAN : INFINITY)
                : exponent == 0 ? std::ldexp(float(mantissa), -24)
                                : std::ldexp(float(mantissa + 1024), exponent - 25);
  return x & 0x8000 ? -value : value;
}
inline u16 fused_bf16(u16 a, u16 b, u16 c) {
  const double product = double(from_bf16(a)) * from_bf16(b), addend = from_bf16(c);
  double value = product + addend;  // nudged so that the second rounding sees on which side the rest lies
  const double back = value - product, rest = (product - (value - back)) + (addend - back);
  u64 bits;
  std::memcpy(&bits, &value, 8);
  if (std::isfinite(value) && rest != 0 && (bits & 0x1fffffffffull) == 0)
    value = std::nextafter(value, rest > 0 ? INFINITY : -INFINITY);
  return to_bf16(value);
}
