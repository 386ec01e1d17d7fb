// Layer norm on the CPU. Tasks are blocks of rows; a row is read from memory once and then from the cache.
#include "kernels/layer_norm/layer_norm_cpu.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm/layer_norm_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// Sums run in four chains, so that they wait for memory rather than for the latency of an addition.
template <typename T>
float mean_of(const T* x, int64_t n) {
  const int64_t step = lanes();
  VF s0 = hn::Zero(F32()), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, load(x + i));
    s1 = hn::Add(s1, load(x + i + step));
    s2 = hn::Add(s2, load(x + i + 2 * step));
    s3 = hn::Add(s3, load(x + i + 3 * step));
  }
  for (; i + step <= n; i += step) s0 = hn::Add(s0, load(x + i));
  if (i < n) s1 = hn::Add(s1, load_n(x + i, n - i));
  return reduce_sum(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))) / static_cast<float>(n);
}

// Two passes, not E[x^2] - E[x]^2, which cancels for large means.
template <typename T>
float variance_of(const T* x, float mean, int64_t n) {
  const F32 d;
  const int64_t step = lanes();
  const VF m = hn::Set(d, mean);
  VF s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    const VF x0 = hn::Sub(load(x + i), m);
    const VF x1 = hn::Sub(load(x + i + step), m);
    const VF x2 = hn::Sub(load(x + i + 2 * step), m);
    const VF x3 = hn::Sub(load(x + i + 3 * step), m);
    s0 = hn::MulAdd(x0, x0, s0);
    s1 = hn::MulAdd(x1, x1, s1);
    s2 = hn::MulAdd(x2, x2, s2);
    s3 = hn::MulAdd(x3, x3, s3);
  }
  for (; i + step <= n; i += step) {
    const VF x0 = hn::Sub(load(x + i), m);
    s0 = hn::MulAdd(x0, x0, s0);
  }
  if (i < n) {
    const auto valid = hn::FirstN(d, static_cast<size_t>(n - i));
    const VF x1 = hn::IfThenElseZero(valid, hn::Sub(load_n(x + i, n - i), m));
    s1 = hn::MulAdd(x1, x1, s1);
  }
  return reduce_sum(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))) / static_cast<float>(n);
}

template <typename T>
void normalise(const T* x, float mean, float rstd, const float* weight, const float* bias, T* y, int64_t n) {
  const F32 d;
  const int64_t step = lanes();
  const VF m = hn::Set(d, mean);
  const VF r = hn::Set(d, rstd);
  int64_t i = 0;
  for (; i + step <= n; i += step) {
    const VF xhat = hn::Mul(hn::Sub(load(x + i), m), r);
    store(hn::MulAdd(xhat, load(weight + i), load(bias + i)), y + i);
  }
  if (i < n) {
    const int64_t rest = n - i;
    const VF xhat = hn::Mul(hn::Sub(load_n(x + i, rest), m), r);
    store_n(hn::MulAdd(xhat, load_n(weight + i, rest), load_n(bias + i, rest)), y + i, rest);
  }
}

template <typename T>
void forward_rows_of(const LayerNormForward& p, int64_t begin, int64_t end) {
  const int64_t width = p.weight.size(0);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * width;
    const T* x = p.x.as<T>() + at;
    if (p.delta) {
      T* sum = p.sum.as<T>() + at;
      add_arrays(x, p.delta.as<T>() + at, sum, width);
      x = sum;
    }
    const float mean = mean_of(x, width);
    const float rstd = 1.0f / std::sqrt(variance_of(x, mean, width) + p.eps);
    normalise(x, mean, rstd, p.weight.as<float>(), p.bias.as<float>(), p.y.as<T>() + at, width);
    if (p.mean) {
      p.mean.as<float>()[row] = mean;
      p.rstd.as<float>()[row] = rstd;
    }
  }
}

void forward_rows(const LayerNormForward& p, int64_t begin, int64_t end) {
  if (p.x.dtype == DType::f32) {
    forward_rows_of<float>(p, begin, end);
  } else {
    forward_rows_of<bfloat16>(p, begin, end);
  }
}

// The pointers and statistics of one row.
template <typename T>
struct BackwardRow {
  const T* dy;
  const T* x;
  const T* dsum;  // null when there is none
  T* dx;
  float mean;
  float rstd;
  float mean_g = 0;       // 1/C sum g
  float mean_g_xhat = 0;  // 1/C sum g xhat
};

template <typename T>
void reduce_row(BackwardRow<T>& row, const float* weight, int64_t n) {
  const F32 d;
  const int64_t step = lanes();
  const VF mean = hn::Set(d, row.mean);
  VF g0 = hn::Zero(d), g1 = g0, h0 = g0, h1 = g0;
  int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    const VF a = hn::Mul(load(row.dy + i), load(weight + i));
    const VF b = hn::Mul(load(row.dy + i + step), load(weight + i + step));
    g0 = hn::Add(g0, a);
    g1 = hn::Add(g1, b);
    h0 = hn::MulAdd(a, hn::Sub(load(row.x + i), mean), h0);
    h1 = hn::MulAdd(b, hn::Sub(load(row.x + i + step), mean), h1);
  }
  for (; i < n; i += step) {
    const int64_t rest = std::min(step, n - i);
    const VF a = rest == step ? hn::Mul(load(row.dy + i), load(weight + i))
                              : hn::Mul(load_n(row.dy + i, rest), load_n(weight + i, rest));
    const VF x = rest == step ? load(row.x + i) : load_n(row.x + i, rest);
    g0 = hn::Add(g0, a);
    h0 = hn::MulAdd(a, hn::Sub(x, mean), h0);  // a is 0 beyond the row's end
  }
  const float scale = 1.0f / static_cast<float>(n);
  row.mean_g = reduce_sum(hn::Add(g0, g1)) * scale;
  row.mean_g_xhat = reduce_sum(hn::Add(h0, h1)) * row.rstd * scale;
}

// One vector of columns of a row: its dx, and its terms of dweight and dbias.
template <typename Span, typename T>
HWY_INLINE void backward_columns(const Span span, const BackwardRow<T>& row, const float* weight,
                                 float* dweight, float* dbias, int64_t i) {
  const F32 d;
  const VF rstd = hn::Set(d, row.rstd);
  const VF dy = span.get(row.dy + i);
  const VF xhat = hn::Mul(hn::Sub(span.get(row.x + i), hn::Set(d, row.mean)), rstd);
  span.put(hn::MulAdd(dy, xhat, span.get(dweight + i)), dweight + i);
  span.put(hn::Add(dy, span.get(dbias + i)), dbias + i);
  VF g = hn::Sub(hn::Mul(dy, span.get(weight + i)), hn::Set(d, row.mean_g));
  g = hn::NegMulAdd(xhat, hn::Set(d, row.mean_g_xhat), g);
  const VF residual = row.dsum ? span.get(row.dsum + i) : hn::Zero(d);
  span.put(hn::MulAdd(g, rstd, residual), row.dx + i);
}

// One row at a time, although the sums over rows are loaded and stored for each: taking four rows together
// saved that and was slower (2.1 against 1.5 ms for 4160 x 512 f32 from memory), since it reads twelve
// streams at once.
template <typename T>
void backward_rows_of(const LayerNormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  const int64_t width = p.weight.size(0);
  const int64_t step = lanes();
  const float* weight = p.weight.as<float>();
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at = r * width;
    BackwardRow<T> row{.dy = p.dy.as<T>() + at,
                       .x = p.x.as<T>() + at,
                       .dsum = p.dsum ? p.dsum.as<T>() + at : nullptr,
                       .dx = p.dx.as<T>() + at,
                       .mean = p.mean.as<float>()[r],
                       .rstd = p.rstd.as<float>()[r]};
    reduce_row(row, weight, width);
    int64_t i = 0;
    for (; i + step <= width; i += step) backward_columns(Whole{}, row, weight, dweight, dbias, i);
    if (i < width) backward_columns(Partial{width - i}, row, weight, dweight, dbias, i);
  }
}

// Adds the rows' terms to dweight and dbias, which are the block's own.
void backward_rows(const LayerNormBackward& p, int64_t begin, int64_t end, float* dweight, float* dbias) {
  if (p.x.dtype == DType::f32) {
    backward_rows_of<float>(p, begin, end, dweight, dbias);
  } else {
    backward_rows_of<bfloat16>(p, begin, end, dweight, dbias);
  }
}

// out[i] += sum over blocks, in their order, of partial[block * stride + i]. Block 0 is overwritten.
void add_blocks(float* partial, int64_t blocks, int64_t stride, float* out, int64_t n) {
  for (int64_t block = 1; block < blocks; ++block) add_arrays(partial, partial + block * stride, partial, n);
  add_arrays(out, partial, out, n);
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_rows);
HWY_EXPORT(add_blocks);

constexpr int64_t kForwardElements = 64 * 1024;  // of a task, about
constexpr int64_t kBlocks = 64;                  // of rows in the backward, at most
constexpr int64_t kBlockRows = 16;               // at least

}  // namespace

void layer_norm_forward_cpu(const LayerNormForward& p, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  const int64_t rows = p.x.elements() / width;
  const int64_t group = std::max<int64_t>(1, kForwardElements / width);
  parallel_for(ctx, ceil_div(rows, group), [&](int64_t task, int) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(p, task * group, std::min(rows, (task + 1) * group));
  });
}

void layer_norm_backward_cpu(const LayerNormBackward& p, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  const int64_t rows = p.x.elements() / width;
  if (rows == 0) return;
  const int64_t block_rows = std::max(kBlockRows, ceil_div(rows, kBlocks));
  const int64_t blocks = ceil_div(rows, block_rows);
  const int64_t stride = round_up(2 * width, 16);  // dweight | dbias of a block
  float* partial =
      static_cast<float*>(ctx.scratch->reserve(static_cast<size_t>(blocks * stride) * sizeof(float)));
  parallel_for(ctx, blocks, [&](int64_t block, int) {
    float* dweight = partial + block * stride;
    std::fill_n(dweight, 2 * width, 0.0f);
    HWY_DYNAMIC_DISPATCH(backward_rows)
    (p, block * block_rows, std::min(rows, (block + 1) * block_rows), dweight, dweight + width);
  });
  HWY_DYNAMIC_DISPATCH(add_blocks)(partial, blocks, stride, p.dweight.as<float>(), width);
  HWY_DYNAMIC_DISPATCH(add_blocks)(partial + width, blocks, stride, p.dbias.as<float>(), width);
}

}  // namespace cuclip
#endif  // HWY_ONCE
