// Batch norm backward on the CPU: a pass over memory for the sums over rows, of each block in f32 and of all
// blocks together in f64, in order, which also writes dresidual; and one for dx.
#include <algorithm>
#include <cmath>

#include "kernels/batch_norm/batch_norm_cpu.h"
#include "kernels/common/scratch_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/batch_norm/batch_norm_backward_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/batch_norm/wide_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// g: dy, or where there is y, what of dy passed the ReLU.
template <bool kMask, typename Span, typename T>
HWY_INLINE VF masked(const Span span, const T* dy, const T* y, int64_t i) {
  const VF g = span.get(dy + i);
  if constexpr (!kMask) return g;
  return hn::IfThenElseZero(hn::Gt(span.get(y + i), hn::Zero(F32())), g);
}

// Adds each column's sums of g and of g (x - mean), and writes g where it is wanted.
template <typename T, bool kMask, bool kKeep>
struct GradientSumsPass {
  const T* dy;
  const T* x;
  const T* y;
  T* kept;
  const float* mean;
  float* sums;
  float* products;
  int64_t width;

  template <int kVecs, typename Span>
  HWY_INLINE void run(const Span span, int64_t at, int64_t rows, int64_t column) const {
    const int64_t step = lanes();
    VF m[kVecs], s[kVecs], q[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      m[v] = span.get(mean + column + v * step);
      s[v] = q[v] = hn::Zero(F32());
    }
    for (int64_t r = 0; r < rows; ++r, at += width) {
      for (int v = 0; v < kVecs; ++v) {
        const int64_t i = at + v * step;
        const VF g = masked<kMask>(span, dy, y, i);
        s[v] = hn::Add(s[v], g);
        q[v] = hn::MulAdd(g, hn::Sub(span.get(x + i), m[v]), q[v]);
        if constexpr (kKeep) span.put(g, kept + i);
      }
    }
    for (int v = 0; v < kVecs; ++v) {
      const int64_t c = column + v * step;
      span.put(hn::Add(span.get(sums + c), s[v]), sums + c);
      span.put(hn::Add(span.get(products + c), q[v]), products + c);
    }
  }
};

template <typename T, bool kMask, bool kKeep>
void sum_gradients(const BatchNormBackward& p, const WideRows& wide, const float* mean, int64_t begin,
                   int64_t end, float* work) {
  const int64_t width = wide.width();
  walk(
      GradientSumsPass<T, kMask, kKeep>{
          .dy = p.dy.as<T>(),
          .x = p.x.as<T>(),
          .y = kMask ? p.y.as<T>() : nullptr,
          .kept = kKeep ? p.dresidual.as<T>() : nullptr,
          .mean = mean,
          .sums = work,
          .products = work + width,
          .width = width,
      },
      begin * wide.channels, end * wide.channels, width);
}

template <typename T>
void sum_gradients_of(const BatchNormBackward& p, const WideRows& wide, const float* mean, int64_t begin,
                      int64_t end, float* work) {
  if (p.dresidual) {
    (p.y ? sum_gradients<T, true, true> : sum_gradients<T, false, true>)(p, wide, mean, begin, end, work);
  } else {
    (p.y ? sum_gradients<T, true, false> : sum_gradients<T, false, false>)(p, wide, mean, begin, end, work);
  }
}

// Of rows [begin, end): each channel's sums of g and of g (x - mean), and dresidual. `mean` is repeated,
// `work` has 2 wide rows.
void block_gradients(const BatchNormBackward& p, const WideRows& wide, const float* mean, int64_t begin,
                     int64_t end, float* work, float* sums, float* products) {
  std::fill_n(work, 2 * wide.width(), 0.0f);
  if (p.x.dtype == DType::f32) {
    sum_gradients_of<float>(p, wide, mean, begin, end, work);
  } else {
    sum_gradients_of<bfloat16>(p, wide, mean, begin, end, work);
  }
  for (int64_t c = 0; c < wide.channels; ++c) {
    sums[c] = static_cast<float>(wide.sum(work, c));
    products[c] = static_cast<float>(wide.sum(work + wide.width(), c));
  }
}

template <typename T, bool kMask>
struct InputGradientPass {
  const T* dy;
  const T* x;
  const T* y;
  T* dx;
  GradientTerms by;
  int64_t width;

  template <int kVecs, typename Span>
  HWY_INLINE void run(const Span span, int64_t at, int64_t rows, int64_t column) const {
    const int64_t step = lanes();
    VF mean[kVecs], scale[kVecs], offset[kVecs], slope[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      const int64_t c = column + v * step;
      mean[v] = span.get(by.mean + c);
      scale[v] = span.get(by.scale + c);
      offset[v] = span.get(by.offset + c);
      slope[v] = span.get(by.slope + c);
    }
    for (int64_t r = 0; r < rows; ++r, at += width) {
      for (int v = 0; v < kVecs; ++v) {
        const int64_t i = at + v * step;
        const VF rest = hn::MulAdd(hn::Sub(span.get(x + i), mean[v]), slope[v], offset[v]);
        span.put(hn::MulAdd(masked<kMask>(span, dy, y, i), scale[v], rest), dx + i);
      }
    }
  }
};

template <typename T>
void input_gradient_of(const BatchNormBackward& p, const WideRows& wide, const GradientTerms& by,
                       int64_t begin, int64_t end) {
  const int64_t first = begin * wide.channels, last = end * wide.channels, width = wide.width();
  const T *x = p.x.as<T>(), *dy = p.dy.as<T>();
  T* dx = p.dx.as<T>();
  if (p.dresidual) {  // g is there already
    walk(InputGradientPass<T, false>{p.dresidual.as<T>(), x, nullptr, dx, by, width}, first, last, width);
  } else if (p.y) {
    walk(InputGradientPass<T, true>{dy, x, p.y.as<T>(), dx, by, width}, first, last, width);
  } else {
    walk(InputGradientPass<T, false>{dy, x, nullptr, dx, by, width}, first, last, width);
  }
}

// Rows [begin, end) of dx.
void input_gradient(const BatchNormBackward& p, const WideRows& wide, const GradientTerms& by, int64_t begin,
                    int64_t end) {
  if (p.x.dtype == DType::f32) {
    input_gradient_of<float>(p, wide, by, begin, end);
  } else {
    input_gradient_of<bfloat16>(p, wide, by, begin, end);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(block_gradients);
HWY_EXPORT(input_gradient);

// The sums over all rows of a channel, of its blocks in order.
double add_blocks(const float* first, int64_t blocks, int64_t channels, int64_t c) {
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += static_cast<double>(first[b * channels + c]);
  return sum;
}

}  // namespace

void batch_norm_backward_cpu(const BatchNormBackward& p, const ExecContext& ctx) {
  const WideRows wide(p.weight.size(0));
  const int64_t channels = wide.channels, width = wide.width(), rows = p.x.elements() / channels;
  const RowBlocks blocks(rows, wide);
  ScratchPlan plan;
  const auto sums = plan.add<float>(blocks.count * channels);
  const auto products = plan.add<float>(blocks.count * channels);
  const auto terms = plan.add<float>(4 * width);
  const auto work = plan.add<float>(ctx.pool->size() * 2 * width);
  plan.reserve(ctx);
  float *mean = plan[terms], *scale = mean + width, *offset = scale + width, *slope = offset + width;
  wide.repeat(p.mean.as<float>(), mean);
  parallel_for(ctx, blocks.count, [&](int64_t block, int worker) {
    HWY_DYNAMIC_DISPATCH(block_gradients)
    (p, wide, mean, blocks.begin(block), blocks.end(block), plan[work] + worker * 2 * width,
     plan[sums] + block * channels, plan[products] + block * channels);
  });
  for_each_channel(ctx, channels, [&](int64_t c) {
    const double g = add_blocks(plan[sums], blocks.count, channels, c);
    const auto rstd = static_cast<double>(p.rstd.as<float>()[c]);
    const double g_xhat = rstd * add_blocks(plan[products], blocks.count, channels, c);
    const double by = rstd * static_cast<double>(p.weight.as<float>()[c]);
    scale[c] = static_cast<float>(by);
    offset[c] = static_cast<float>(-by * g / static_cast<double>(rows));
    slope[c] = static_cast<float>(-by * rstd * g_xhat / static_cast<double>(rows));
    p.dbias.as<float>()[c] += static_cast<float>(g);
    p.dweight.as<float>()[c] += static_cast<float>(g_xhat);
  });
  for (float* repeated : {scale, offset, slope}) wide.repeat(repeated, repeated);
  parallel_for(ctx, blocks.count, [&](int64_t block, int) {
    HWY_DYNAMIC_DISPATCH(input_gradient)
    (p, wide, {mean, scale, offset, slope}, blocks.begin(block), blocks.end(block));
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
