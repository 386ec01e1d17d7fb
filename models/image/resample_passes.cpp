#include "models/image/resample_passes.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/image/resample_passes.cpp"
#include "kernels/common/simd_targets.h"  // before any Highway header

#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::resampling::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);  // rounds to nearest

// sum[i] += a[2i] * b[2i] + a[2i + 1] * b[2i + 1]. In this Highway only the x86 form of the operation
// promises to pair neighbours.
template <class V32, class V16>
HWY_INLINE V32 multiply_add_pairs(V16 a, V16 b, V32 sum) {
  V32 unused = sum;
  return hn::ReorderWidenMulAccumulate(hn::DFromV<V32>(), a, b, sum, unused);
}

// The pixel values of sums that were accumulated in two parts, not yet clipped.
template <class V32>
HWY_INLINE V32 join(V32 high, V32 low) {
  const V32 sum = hn::Add(hn::ShiftLeft<kLowBits>(high), low);
  return hn::ShiftRight<kPrecisionBits>(hn::Add(sum, hn::Set(hn::DFromV<V32>(), kHalf)));
}

// --- Horizontal -------------------------------------------------------------------------------------------
//
// Each 128-bit block of a vector holds two neighbouring pixels as 16-bit samples r0 r1 g0 g1 b0 b1 - -.
// Products with the weights w0 w1 w0 w1 w0 w1 - -, summed in pairs, give the 32-bit sums r g b -. SSE4 has
// one block, AVX2 two; AVX-512 stays at two, since four would be half empty at common scales.
using S16 = hn::CappedTag<int16_t, 16>;
using S8 = hn::Rebind<uint8_t, S16>;
using S32 = hn::Repartition<int32_t, S16>;
constexpr int64_t kPixels = hn::MaxLanes(S16()) / 4;  // a vector: 2 or 4
constexpr int64_t kSteps = 4 / kPixels;               // vectors for a group of four weights
constexpr int64_t kOverread = 4;                      // how many bytes a vector's load goes beyond its pixels
constexpr int64_t kRowBlock = 4;                      // rows that share the loading of weights

HWY_ALIGN constexpr uint8_t kSpread[16] = {0, 3, 1, 4, 2, 5, 0, 0, 6, 9, 7, 10, 8, 11, 0, 0};

// Which bytes of a WeightGroup belong in the lanes of a vector: in block b the weights 2b and 2b + 1 of this
// step, from the group's high parts (offset 0) or low parts (offset 8).
HWY_INLINE hn::Vec<hn::Repartition<uint8_t, S16>> weight_lanes(int64_t step, int64_t offset) {
  HWY_ALIGN uint8_t bytes[32];
  for (int64_t i = 0; i < 32; ++i) {
    bytes[i] = static_cast<uint8_t>(offset + step * kPixels * 2 + i / 16 * 4 + i % 4);
  }
  return hn::Load(hn::Repartition<uint8_t, S16>(), bytes);
}

// r g b - summed over the blocks.
template <class V32>
HWY_INLINE auto add_blocks(V32 v) {
  if constexpr (hn::MaxLanes(hn::DFromV<V32>()) == 8) {
    return hn::Add(hn::LowerHalf(v), hn::UpperHalf(hn::Half<hn::DFromV<V32>>(), v));
  } else {
    return v;
  }
}

HWY_INLINE void store_pixel(hn::Vec<S32> high, hn::Vec<S32> low, uint8_t* out) {
  const auto pixel = join(add_blocks(high), add_blocks(low));
  const auto bytes = hn::DemoteTo(hn::CappedTag<uint8_t, 4>(), pixel);
  const uint32_t packed = hn::GetLane(hn::BitCast(hn::CappedTag<uint32_t, 1>(), bytes));
  std::memcpy(out, &packed, 3);
}

// kCount rows at once: rows[r] to out + r * out_stride.
template <int64_t kCount>
HWY_INLINE void resample_rows(const uint8_t* const* rows, const Taps& taps, uint8_t* out,
                              int64_t out_stride) {
  const auto spread = hn::Load(S8(), kSpread);
  const hn::Vec<hn::Repartition<uint8_t, S16>> lanes[2][2] = {{weight_lanes(0, 0), weight_lanes(0, 8)},
                                                              {weight_lanes(1, 0), weight_lanes(1, 8)}};
  for (int64_t x = 0; x < taps.size(); ++x, out += 3) {
    const WeightGroup* group = taps.groups.data() + x * taps.groups_each;
    const int64_t groups = (taps.count[static_cast<size_t>(x)] + 3) / 4;
    int64_t at = int64_t{3} * taps.first[static_cast<size_t>(x)];
    hn::Vec<S32> high[kCount], low[kCount];
    for (int64_t r = 0; r < kCount; ++r) high[r] = low[r] = hn::Zero(S32());
    for (int64_t g = 0; g < groups; ++g, ++group) {
      const auto weights = hn::LoadDup128(S16(), reinterpret_cast<const int16_t*>(group));
      for (int64_t step = 0; step < kSteps; ++step, at += 3 * kPixels) {
        const auto weights_high = hn::TableLookupBytes(weights, hn::BitCast(S16(), lanes[step][0]));
        const auto weights_low = hn::TableLookupBytes(weights, hn::BitCast(S16(), lanes[step][1]));
        for (int64_t r = 0; r < kCount; ++r) {
          const auto bytes = hn::TableLookupBytes(hn::LoadU(S8(), rows[r] + at), spread);
          const auto samples = hn::PromoteTo(S16(), bytes);
          high[r] = multiply_add_pairs(samples, weights_high, high[r]);
          low[r] = multiply_add_pairs(samples, weights_low, low[r]);
        }
      }
    }
    for (int64_t r = 0; r < kCount; ++r) store_pixel(high[r], low[r], out + r * out_stride);
  }
}

void horizontal(const PassParams& p, const Taps& taps) {
  // How far into a row the loads go: to the end of the last group of weights, and kOverread bytes.
  int64_t reach = 0;
  for (size_t i = 0; i < taps.first.size(); ++i) {
    reach = std::max<int64_t>(reach, taps.first[i] + (taps.count[i] + 3) / 4 * 4);
  }
  reach = 3 * reach + kOverread;
  const int64_t row_bytes = 3 * p.in_pixels;
  const uint8_t* end = p.in + (p.in_rows - 1) * p.in_stride + row_bytes;
  // Rows too close to the end of the memory are read from a padded copy.
  std::vector<uint8_t> padded(static_cast<size_t>(kRowBlock * std::max(reach, row_bytes)));

  const int64_t out_stride = 3 * taps.size();
  for (int64_t y = 0; y < p.in_rows; y += kRowBlock) {
    const int64_t count = std::min(kRowBlock, p.in_rows - y);
    const uint8_t* rows[kRowBlock];
    for (int64_t r = 0; r < count; ++r) {
      rows[r] = p.in + (y + r) * p.in_stride;
      if (end - rows[r] < reach) {
        uint8_t* copy = padded.data() + r * std::max(reach, row_bytes);
        std::memcpy(copy, rows[r], static_cast<size_t>(row_bytes));
        rows[r] = copy;
      }
    }
    uint8_t* out = p.out + y * out_stride;
    if (count == kRowBlock) {
      resample_rows<kRowBlock>(rows, taps, out, out_stride);
    } else {
      for (int64_t r = 0; r < count; ++r) resample_rows<1>(rows + r, taps, out + r * out_stride, out_stride);
    }
  }
}

// --- Vertical ---------------------------------------------------------------------------------------------
//
// Bytes of two rows, interleaved as 16-bit samples, against the pair of weights of those rows in every lane.
using C16 = hn::ScalableTag<int16_t>;
using C8 = hn::Rebind<uint8_t, C16>;
using C32 = hn::Repartition<int32_t, C16>;

// kVectors vectors of columns starting at byte `at`; rows[4 * g + k] is the row of group g's weight k.
template <int kVectors>
HWY_INLINE void resample_columns(const uint8_t* const* rows, const WeightGroup* group, int64_t groups,
                                 int64_t at, uint8_t* out) {
  const C16 d16;
  const C32 d32;
  const int64_t columns = static_cast<int64_t>(hn::Lanes(d16));
  hn::Vec<C32> high[2 * kVectors], low[2 * kVectors];
  for (int v = 0; v < 2 * kVectors; ++v) high[v] = low[v] = hn::Zero(d32);
  for (int64_t g = 0; g < groups; ++g, ++group) {
    for (int pair = 0; pair < 2; ++pair) {
      int32_t bits[2];
      std::memcpy(&bits[0], &group->high[static_cast<size_t>(2 * pair)], 4);
      std::memcpy(&bits[1], &group->low[static_cast<size_t>(2 * pair)], 4);
      const auto weights_high = hn::BitCast(d16, hn::Set(d32, bits[0]));
      const auto weights_low = hn::BitCast(d16, hn::Set(d32, bits[1]));
      const uint8_t* first = rows[4 * g + 2 * pair] + at;
      const uint8_t* second = rows[4 * g + 2 * pair + 1] + at;
      for (int v = 0; v < kVectors; ++v) {
        const auto a = hn::PromoteTo(d16, hn::LoadU(C8(), first + v * columns));
        const auto b = hn::PromoteTo(d16, hn::LoadU(C8(), second + v * columns));
        const auto lower = hn::InterleaveLower(d16, a, b);
        const auto upper = hn::InterleaveUpper(d16, a, b);
        high[2 * v] = multiply_add_pairs(lower, weights_high, high[2 * v]);
        high[2 * v + 1] = multiply_add_pairs(upper, weights_high, high[2 * v + 1]);
        low[2 * v] = multiply_add_pairs(lower, weights_low, low[2 * v]);
        low[2 * v + 1] = multiply_add_pairs(upper, weights_low, low[2 * v + 1]);
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    // Packs within 128-bit blocks, which undoes the interleaving of blocks.
    const auto packed =
        hn::ReorderDemote2To(d16, join(high[2 * v], low[2 * v]), join(high[2 * v + 1], low[2 * v + 1]));
    hn::StoreU(hn::DemoteTo(C8(), packed), C8(), out + at + v * columns);
  }
}

// The same for one byte: pictures narrower than a vector.
void resample_column(const uint8_t* const* rows, const WeightGroup* group, int64_t groups, int64_t at,
                     uint8_t* out) {
  int32_t sum = kHalf;
  for (int64_t tap = 0; tap < 4 * groups; ++tap) {
    const auto k = static_cast<size_t>(tap % 4);
    sum += rows[tap][at] * (group[tap / 4].high[k] * (1 << kLowBits) + group[tap / 4].low[k]);
  }
  out[at] = static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

void vertical(const PassParams& p, const Taps& taps) {
  const int64_t row_bytes = 3 * p.in_pixels;
  const int64_t columns = static_cast<int64_t>(hn::Lanes(C16()));
  std::vector<const uint8_t*> rows(static_cast<size_t>(4 * taps.groups_each));
  for (int64_t y = 0; y < taps.size(); ++y) {
    const WeightGroup* group = taps.groups.data() + y * taps.groups_each;
    const int64_t count = taps.count[static_cast<size_t>(y)];
    const int64_t groups = (count + 3) / 4;
    for (int64_t tap = 0; tap < 4 * groups; ++tap) {  // weights beyond the last are zero: any row will do
      const int64_t row = taps.first[static_cast<size_t>(y)] + std::min(tap, count - 1);
      rows[static_cast<size_t>(tap)] = p.in + row * p.in_stride;
    }
    uint8_t* out = p.out + y * row_bytes;
    int64_t at = 0;
    for (; at + 2 * columns <= row_bytes; at += 2 * columns) {
      resample_columns<2>(rows.data(), group, groups, at, out);
    }
    for (; at < row_bytes; at += columns) {
      if (row_bytes < columns) {
        for (int64_t byte = 0; byte < row_bytes; ++byte)
          resample_column(rows.data(), group, groups, byte, out);
      } else {  // the last vector overlaps the one before it
        resample_columns<1>(rows.data(), group, groups, std::min(at, row_bytes - columns), out);
      }
    }
  }
}

}  // namespace cuclip::resampling::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip::resampling {

HWY_EXPORT(horizontal);
HWY_EXPORT(vertical);

void horizontal_pass(const PassParams& p, const Taps& taps) { HWY_DYNAMIC_DISPATCH(horizontal)(p, taps); }
void vertical_pass(const PassParams& p, const Taps& taps) { HWY_DYNAMIC_DISPATCH(vertical)(p, taps); }

}  // namespace cuclip::resampling
#endif
