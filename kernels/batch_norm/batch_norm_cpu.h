// CPU entry points of batch norm, whose arguments are already validated, and how they cut rows.
//
// Tasks are blocks of rows. Rows of few channels would leave vectors half empty: so many of them are taken as
// one wide row that whole vectors fill it, and everything per channel is repeated along it.
#pragma once

#include <algorithm>

#include "kernels/batch_norm/batch_norm.h"

namespace cuclip {

void batch_norm_forward_cpu(const BatchNormForward& p, const ExecContext& ctx);
void batch_norm_affine_cpu(const BatchNormAffine& p, const ExecContext& ctx);
void batch_norm_backward_cpu(const BatchNormBackward& p, const ExecContext& ctx);

/// How many rows are taken together.
struct WideRows {
  static constexpr int64_t kMaxLanes = 16;  // of any target
  static constexpr int64_t kLeastWidth = 4 * kMaxLanes;

  explicit WideRows(int64_t channels) : channels(channels) {
    while (channels < kLeastWidth && (width() < kLeastWidth || width() % kMaxLanes != 0)) ++rows;
  }
  int64_t width() const { return rows * channels; }

  /// wide[row * C + c] = values[c]; `wide` may begin with the values themselves.
  void repeat(const float* values, float* wide) const {
    for (int64_t i = 0; i < width(); ++i) wide[i] = i < channels ? values[i] : wide[i - channels];
  }
  /// The sum over rows of what stands at channel c.
  double sum(const float* wide, int64_t c) const {
    double sum = 0;
    for (; c < width(); c += channels) sum += static_cast<double>(wide[c]);
    return sum;
  }

  int64_t channels;
  int64_t rows = 1;
};

/// The tasks: blocks of whole wide rows, but for the last.
struct RowBlocks {
  static constexpr int64_t kMost = 128;
  static constexpr int64_t kLeastElements = 32 * 1024;

  RowBlocks(int64_t rows, const WideRows& wide)
      : rows(rows),
        each(round_up(std::max(ceil_div(rows, kMost), ceil_div(kLeastElements, wide.channels)), wide.rows)),
        count(ceil_div(rows, each)) {}
  int64_t begin(int64_t block) const { return block * each; }
  int64_t end(int64_t block) const { return std::min(rows, (block + 1) * each); }

  int64_t rows, each, count;
};

/// Calls body(c) for every channel, in tasks of some: to finish what the blocks of rows have summed.
template <typename Body>
void for_each_channel(const ExecContext& ctx, int64_t channels, Body&& body) {
  constexpr int64_t kStrip = 64;
  parallel_for(ctx, ceil_div(channels, kStrip), [&](int64_t strip, int) {
    for (int64_t c = strip * kStrip; c < std::min(channels, (strip + 1) * kStrip); ++c) body(c);
  });
}

/// The pass that writes y. What a channel's values become is repeated along a wide row.
struct Normalisation {
  TensorView x, residual, y;
  bool relu;
  const float* mean;
  const float* scale;  // rstd * weight
  const float* bias;
};

/// What dx is made of, repeated along a wide row: dx = scale * g + offset + slope * (x - mean).
struct GradientTerms {
  const float* mean;
  const float* scale;   // rstd * weight
  const float* offset;  // -scale / N * sum g
  const float* slope;   // -scale / N * rstd * sum g xhat
};

}  // namespace cuclip
