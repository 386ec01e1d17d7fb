// The elements of tensor fragments, and 8-row blocks of them.
#pragma once

#include "instructions/half.h"

namespace emu {

struct Tf32 {};

template <class In>
struct Element;
template <>
struct Element<F16> {
  using Bits = u16;
  using Value = float;
  static float get(u16 x) { return F16::widen(x); }
};
template <>
struct Element<BF16> {
  using Bits = u16;
  using Value = float;
  static float get(u16 x) { return BF16::widen(x); }
};
template <>
struct Element<Tf32> {  // the hardware reads the upper 19 bits
  using Bits = u32;
  using Value = float;
  static float get(u32 x) { return std::bit_cast<float>(x & 0xffffe000); }
};
template <>
struct Element<double> {
  using Bits = double;
  using Value = double;
  static double get(double x) { return x; }
};
template <>
struct Element<i8> {
  using Bits = i8;
  using Value = i32;
  static i32 get(i8 x) { return x; }
};
template <>
struct Element<u8> {
  using Bits = u8;
  using Value = i32;
  static i32 get(u8 x) { return x; }
};

template <class In>
inline void unpack_block(const typename Element<In>::Bits* bits, typename Element<In>::Value* out,
                         int count) {
  if constexpr (std::is_same_v<In, F16>) {
    for (int i = 0; i < count; i += 8) {
      _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bits + i))));
    }
  } else {
    for (int i = 0; i < count; ++i) out[i] = Element<In>::get(bits[i]);
  }
}

// An 8 x 8 matrix of 16-bit values, transposed: three rounds of interleaving rows.
inline void transpose_block(const u16* from, u16* to) {
  __m128i rows[8], next[8];
  for (int i = 0; i < 8; ++i) rows[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      next[2 * i] = _mm_unpacklo_epi16(rows[i], rows[i + 4]);
      next[2 * i + 1] = _mm_unpackhi_epi16(rows[i], rows[i + 4]);
    }
    std::memcpy(rows, next, sizeof(rows));
  }
  for (int i = 0; i < 8; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(to) + i, rows[i]);
}

}  // namespace emu
