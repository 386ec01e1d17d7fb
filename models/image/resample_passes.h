// Private to resample.cpp: the two passes over pixels, vectorised.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cuclip::resampling {

/// Fractional bits of a weight: the sum of 8-bit pixels times weights, which may overshoot by a factor below
/// 4, fits 32 bits.
constexpr int kPrecisionBits = 32 - 8 - 2;

/// A weight w = high * 2^11 + low with -2^10 <= low < 2^10: both fit 16 bits, whose products the hardware
/// adds in pairs, twice as fast as 32-bit products. The sums are those of w exactly, as integers.
constexpr int kLowBits = 11;
struct alignas(16) WeightGroup {
  std::array<int16_t, 4> high{};
  std::array<int16_t, 4> low{};
};

/// What one direction of the output takes from the input: output i is the weighted sum of inputs
/// first[i] ... first[i] + count[i] - 1. Its weights are groups[i * groups_each ...], four to a group, zero
/// after the last.
struct Taps {
  int64_t groups_each = 0;
  std::vector<int32_t> first;
  std::vector<int32_t> count;
  std::vector<WeightGroup> groups;

  int64_t size() const { return static_cast<int64_t>(first.size()); }
};

struct PassParams {
  const uint8_t* in = nullptr;
  int64_t in_stride = 0;  // bytes from row to row
  int64_t in_pixels = 0;  // in a row
  int64_t in_rows = 0;
  uint8_t* out = nullptr;  // contiguous: [rows, pixels, 3]
};

/// Every input row from in_pixels to taps.size() pixels.
void horizontal_pass(const PassParams& p, const Taps& taps);

/// From in_rows to taps.size() rows of in_pixels.
void vertical_pass(const PassParams& p, const Taps& taps);

}  // namespace cuclip::resampling
