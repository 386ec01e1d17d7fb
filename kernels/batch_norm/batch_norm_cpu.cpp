// Batch norm forward on the CPU: a pass over memory for the statistics, of each block in f32 and of all
// blocks together in f64, in order; and one for y.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/batch_norm/batch_norm_cpu.h"
#include "kernels/common/scratch_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm/batch_norm_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/batch_norm/wide_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

constexpr int64_t kPivotRows = 8;

// Adds each column's sums of x - pivot and of its square.
template <typename T>
struct StatisticsPass {
  const T* x;
  const float* pivot;
  float* sums;
  float* squares;
  int64_t width;

  template <int kVecs, typename Span>
  HWY_INLINE void run(const Span span, int64_t at, int64_t rows, int64_t column) const {
    const int64_t step = lanes();
    VF pivots[kVecs], s[kVecs], q[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      pivots[v] = span.get(pivot + column + v * step);
      s[v] = q[v] = hn::Zero(F32());
    }
    const T* in = x + at;
    for (int64_t r = 0; r < rows; ++r, in += width) {
      for (int v = 0; v < kVecs; ++v) {
        const VF d = hn::Sub(span.get(in + v * step), pivots[v]);
        s[v] = hn::Add(s[v], d);
        q[v] = hn::MulAdd(d, d, q[v]);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      const int64_t c = column + v * step;
      span.put(hn::Add(span.get(sums + c), s[v]), sums + c);
      span.put(hn::Add(span.get(squares + c), q[v]), squares + c);
    }
  }
};

// One pass: E[(x - p)^2] - E[x - p]^2 for a pivot p near the mean, that of the block's first rows. Of what
// they are a part, such a mean is off by sqrt(rows / kPivotRows) standard deviations at the very worst: the
// difference then cancels rows / kPivotRows of f32's 2^24, and in general hardly any.
template <typename T>
void block_statistics_of(const TensorView& x, const WideRows& wide, int64_t begin, int64_t end, float* work,
                         float* mean, float* square) {
  const int64_t channels = wide.channels, width = wide.width();
  float *pivot = work, *sums = work + width, *squares = work + 2 * width;
  std::fill_n(work, 3 * width, 0.0f);
  const int64_t pivot_rows = std::min(kPivotRows, end - begin);
  for (int64_t row = begin; row < begin + pivot_rows; ++row) {
    add_arrays(pivot, x.as<T>() + row * channels, pivot, channels);
  }
  for (int64_t c = 0; c < channels; ++c) pivot[c] /= static_cast<float>(pivot_rows);
  wide.repeat(pivot, pivot);
  walk(StatisticsPass<T>{x.as<T>(), pivot, sums, squares, width}, begin * channels, end * channels, width);
  const auto n = static_cast<double>(end - begin);
  for (int64_t c = 0; c < channels; ++c) {
    const double sum = wide.sum(sums, c), m2 = wide.sum(squares, c) - sum * sum / n;
    mean[c] = static_cast<float>(static_cast<double>(pivot[c]) + sum / n);
    square[c] = m2 < 0 ? 0.0f : static_cast<float>(m2);  // NaN stays
  }
}

// Of rows [begin, end): each channel's mean, and the sum of squares around it. `work` has 3 wide rows.
void block_statistics(const TensorView& x, const WideRows& wide, int64_t begin, int64_t end, float* work,
                      float* mean, float* square) {
  if (x.dtype == DType::f32) {
    block_statistics_of<float>(x, wide, begin, end, work, mean, square);
  } else {
    block_statistics_of<bfloat16>(x, wide, begin, end, work, mean, square);
  }
}

template <typename T, bool kResidual>
struct NormalisePass {
  const Normalisation& by;
  const T* x;
  const T* residual;
  T* y;
  float least;  // 0 for ReLU, otherwise -infinity
  int64_t width;

  template <int kVecs, typename Span>
  HWY_INLINE void run(const Span span, int64_t at, int64_t rows, int64_t column) const {
    const int64_t step = lanes();
    const VF floor = hn::Set(F32(), least);
    VF mean[kVecs], scale[kVecs], bias[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      const int64_t c = column + v * step;
      mean[v] = span.get(by.mean + c);
      scale[v] = span.get(by.scale + c);
      bias[v] = span.get(by.bias + c);
    }
    for (int64_t r = 0; r < rows; ++r, at += width) {
      for (int v = 0; v < kVecs; ++v) {
        const int64_t i = at + v * step;
        VF out = hn::MulAdd(hn::Sub(span.get(x + i), mean[v]), scale[v], bias[v]);
        if constexpr (kResidual) out = hn::Add(out, span.get(residual + i));
        span.put(hn::IfThenElse(hn::Lt(out, floor), floor, out), y + i);  // NaN is not below it
      }
    }
  }
};

template <typename T>
void normalise_rows_of(const Normalisation& p, const WideRows& wide, int64_t begin, int64_t end) {
  const int64_t first = begin * wide.channels, last = end * wide.channels;
  const float least = p.relu ? 0.0f : -HUGE_VALF;
  if (p.residual) {
    walk(NormalisePass<T, true>{p, p.x.as<T>(), p.residual.as<T>(), p.y.as<T>(), least, wide.width()}, first,
         last, wide.width());
  } else {
    walk(NormalisePass<T, false>{p, p.x.as<T>(), nullptr, p.y.as<T>(), least, wide.width()}, first, last,
         wide.width());
  }
}

// Rows [begin, end) of y.
void normalise_rows(const Normalisation& p, const WideRows& wide, int64_t begin, int64_t end) {
  if (p.x.dtype == DType::f32) {
    normalise_rows_of<float>(p, wide, begin, end);
  } else {
    normalise_rows_of<bfloat16>(p, wide, begin, end);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(block_statistics);
HWY_EXPORT(normalise_rows);

// Of one block: each channel's mean, and the sum of squares around it.
struct BlockStatistics {
  float* mean;
  float* square;
};

// The mean and the sum of squares around it of all blocks together (Chan et al. 1983, "Algorithms for
// Computing the Sample Variance").
struct Merged {
  double mean = 0, square = 0;
};
Merged merge(const BlockStatistics& first, const RowBlocks& blocks, int64_t channels, int64_t c) {
  const auto rows_of = [&](int64_t b) { return static_cast<double>(blocks.end(b) - blocks.begin(b)); };
  Merged all;
  for (int64_t b = 0; b < blocks.count; ++b) {
    all.mean += rows_of(b) * static_cast<double>(first.mean[b * channels + c]);
  }
  all.mean /= static_cast<double>(blocks.rows);
  for (int64_t b = 0; b < blocks.count; ++b) {
    const double off = static_cast<double>(first.mean[b * channels + c]) - all.mean;
    all.square += static_cast<double>(first.square[b * channels + c]) + rows_of(b) * off * off;
  }
  return all;
}

// Writes what the caller gets of channel c's statistics.
void finish_channel(const BatchNormForward& p, const Merged& all, int64_t rows, int64_t c) {
  const auto n = static_cast<double>(rows);
  p.mean.as<float>()[c] = static_cast<float>(all.mean);
  // Squares that have overflowed say nothing about the channel: 1 / infinity would make y the bias.
  p.rstd.as<float>()[c] =
      std::isfinite(all.square)
          ? static_cast<float>(1.0 / std::sqrt(all.square / n + static_cast<double>(p.eps)))
          : std::numeric_limits<float>::quiet_NaN();
  const double variance = all.square / (n - 1);
  if (!p.running_mean || !std::isfinite(static_cast<float>(variance))) return;
  const auto move = [&](float& running, double batch) {
    const auto momentum = static_cast<double>(p.momentum);
    running = static_cast<float>((1.0 - momentum) * static_cast<double>(running) + momentum * batch);
  };
  move(p.running_mean.as<float>()[c], all.mean);
  move(p.running_var.as<float>()[c], variance);
}

// y of all rows, when mean and rstd are there. `work` has space for three wide rows.
void normalise(const BatchNormForward& p, float* work, const ExecContext& ctx) {
  const WideRows wide(p.weight.size(0));
  const RowBlocks blocks(p.x.elements() / wide.channels, wide);
  float *means = work, *scale = means + wide.width(), *bias = scale + wide.width();
  for (int64_t c = 0; c < wide.channels; ++c) scale[c] = p.rstd.as<float>()[c] * p.weight.as<float>()[c];
  wide.repeat(p.mean.as<float>(), means);
  wide.repeat(scale, scale);
  wide.repeat(p.bias.as<float>(), bias);
  const Normalisation pass{p.x, p.residual, p.y, p.relu, means, scale, bias};
  parallel_for(ctx, blocks.count, [&](int64_t block, int) {
    HWY_DYNAMIC_DISPATCH(normalise_rows)(pass, wide, blocks.begin(block), blocks.end(block));
  });
}

}  // namespace

void batch_norm_forward_cpu(const BatchNormForward& p, const ExecContext& ctx) {
  const WideRows wide(p.weight.size(0));
  const int64_t channels = wide.channels, rows = p.x.elements() / channels;
  const RowBlocks blocks(rows, wide);
  ScratchPlan plan;
  const auto means = plan.add<float>(blocks.count * channels);
  const auto squares = plan.add<float>(blocks.count * channels);
  const auto work = plan.add<float>(ctx.pool->size() * 3 * wide.width());
  plan.reserve(ctx);
  const BlockStatistics first{plan[means], plan[squares]};
  parallel_for(ctx, blocks.count, [&](int64_t block, int worker) {
    HWY_DYNAMIC_DISPATCH(block_statistics)
    (p.x, wide, blocks.begin(block), blocks.end(block), plan[work] + worker * 3 * wide.width(),
     first.mean + block * channels, first.square + block * channels);
  });
  for_each_channel(ctx, channels,
                   [&](int64_t c) { finish_channel(p, merge(first, blocks, channels, c), rows, c); });
  normalise(p, plan[work], ctx);
}

void batch_norm_affine_cpu(const BatchNormAffine& p, const ExecContext&) {
  for (int64_t c = 0; c < p.weight.size(0); ++c) {
    const double variance = static_cast<double>(p.running_var.as<float>()[c]);
    const double scale =
        static_cast<double>(p.weight.as<float>()[c]) / std::sqrt(variance + static_cast<double>(p.eps));
    p.scale.as<float>()[c] = static_cast<float>(scale);
    p.shift.as<float>()[c] = static_cast<float>(static_cast<double>(p.bias.as<float>()[c]) -
                                                static_cast<double>(p.running_mean.as<float>()[c]) * scale);
  }
}

}  // namespace cuclip
#endif  // HWY_ONCE
