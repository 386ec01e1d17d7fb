// The 16-bit floating-point formats.
#pragma once

#include "engine/lanes.h"

namespace emu {

/// Rounds a double to nearest even with `kMantissa` stored bits and `kExponent` exponent bits; the bits.
/// Exact for any double: one rounding, subnormals included. A format without infinities (e4m3) has finite
/// values in their place; what is too large for it must have been clamped.
template <int kExponent, int kMantissa, bool kInfinite = true>
inline u32 round_bits(double value) {
  constexpr int bias = (1 << (kExponent - 1)) - 1;
  constexpr u32 infinity = ((1u << kExponent) - 1) << kMantissa;
  const u64 bits = std::bit_cast<u64>(value);
  const u32 sign = static_cast<u32>(bits >> 63) << (kExponent + kMantissa);
  const u64 magnitude = bits & ~(1ull << 63);
  if (magnitude > 0x7ff0000000000000ull) return infinity | ((1u << kMantissa) - 1);  // canonical: 0x7fff
  const int exponent = static_cast<int>(magnitude >> 52) - 1023;
  int drop = 52 - kMantissa;                             // bits below the last kept one
  if (exponent < 1 - bias) drop += 1 - bias - exponent;  // subnormal result
  if (drop > 54) return sign;
  const u64 mantissa = (magnitude & 0xfffffffffffffull) | (exponent > -1023 ? 1ull << 52 : 0);
  const u64 half = 1ull << (drop - 1);
  const u64 rest = mantissa & ((half << 1) - 1);
  u64 kept = mantissa >> drop;
  kept += rest > half || (rest == half && (kept & 1));
  if (exponent < 1 - bias) return sign | static_cast<u32>(kept);
  const u64 result = (static_cast<u64>(exponent + bias - 1) << kMantissa) + kept;
  return sign | (kInfinite && result >= infinity ? infinity : static_cast<u32>(result));
}

struct F16 {
  static constexpr u16 kNan = 0x7fff, kOne = 0x3c00;
  static float widen(u16 bits) { return _cvtsh_ss(bits); }
  static u16 narrow(double value) { return static_cast<u16>(round_bits<5, 10>(value)); }
};
struct BF16 {
  static constexpr u16 kNan = 0x7fff, kOne = 0x3f80;
  static float widen(u16 bits) { return std::bit_cast<float>(static_cast<u32>(bits) << 16); }
  static u16 narrow(double value) { return static_cast<u16>(round_bits<8, 7>(value)); }
};

template <class Format>
inline void widen(const u16* bits, float* value) {
  for (int i = 0; i < kLanes; ++i) value[i] = Format::widen(bits[i]);
}
template <>
inline void widen<F16>(const u16* bits, float* value) {
  for (int i = 0; i < kLanes; i += 8) {
    _mm256_storeu_ps(value + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits + i))));
  }
}

}  // namespace emu
