// Attention forward on the CPU. One task is one (batch, head): its K^T and V are packed to f32 once; then for
// every strip of rows the scores of all keys the strip can see are computed, turned into probabilities in
// place, and multiplied by V. Scores in memory: one strip.
#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/attention/strip_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

struct RowStatistics {
  float max;
  float sum;
};

// scores[0, n) -> exp(scores - max), zeros from n to `padded`; returns the maximum and the sum.
RowStatistics softmax_row(float* scores, int64_t n, int64_t padded) {
  const F32 d;
  const int64_t step = lanes();
  const int64_t whole = n / step * step;
  const auto valid = hn::FirstN(d, static_cast<size_t>(n - whole));
  VF m = hn::Set(d, scores[0]);
  for (int64_t i = 0; i < whole; i += step) m = hn::Max(m, load(scores + i));
  if (whole < n) m = hn::Max(m, hn::IfThenElse(valid, load(scores + whole), m));
  const float max = reduce_max(m);
  m = hn::Set(d, max);
  VF sum = hn::Zero(d);
  int64_t i = 0;
  for (; i < whole; i += step) {
    const VF e = exp(hn::Sub(load(scores + i), m));
    sum = hn::Add(sum, e);
    store(e, scores + i);
  }
  if (whole < n) {
    const VF e = hn::IfThenElseZero(valid, exp(hn::Sub(load(scores + i), m)));
    sum = hn::Add(sum, e);
    store(e, scores + i);
    i += step;
  }
  for (; i < padded; i += step) store(hn::Zero(d), scores + i);
  return {max, reduce_sum(sum)};
}

template <typename T>
void forward_head_of(const AttentionForward& p, int64_t head_index, float* scratch) {
  const AttentionSizes s(p.qkv, p.heads);
  const AttentionForwardScratch at(s);
  const int64_t b = head_index / s.heads;
  const int64_t h = head_index % s.heads;
  const int64_t ld = 3 * s.width;
  const T* qkv = p.qkv.as<T>() + b * s.length * ld + h * s.head_dim;
  float* q = scratch + at.q;
  float* k_transposed = scratch + at.k_transposed;
  float* v = scratch + at.v;
  float* scores = scratch + at.scores;
  float* sums = scratch + at.sums;
  // K is packed where V will be.
  pack_rows(qkv + s.width, ld, s.length, s.head_dim, 1.0f, v, s.ld_head, s.padded_rows);
  transpose(v, s.ld_head, s.length, s.head_dim, k_transposed, s.ld_keys);
  pack_rows(qkv + 2 * s.width, ld, s.length, s.head_dim, 1.0f, v, s.ld_head, s.length);
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  pack_rows(qkv, ld, s.length, s.head_dim, scale, q, s.ld_head, s.padded_rows);

  T* out = p.out.as<T>() + b * s.length * s.width + h * s.head_dim;
  float* lse = p.lse ? p.lse.as<float>() + head_index * s.length : nullptr;
  for (int64_t row = 0; row < s.length; row += kStripRows) {
    const int64_t rows = std::min<int64_t>(kStripRows, s.length - row);
    const int64_t keys = p.causal ? std::min(s.length, row + kStripRows) : s.length;
    strip_product<false>({.a = q + row * s.ld_head,
                          .a_row = s.ld_head,
                          .a_col = 1,
                          .b = k_transposed,
                          .ldb = s.ld_keys,
                          .c = scores,
                          .ldc = s.ld_keys,
                          .n = keys,
                          .k = s.head_dim});
    float factor[kStripRows];
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t visible = p.causal ? row + r + 1 : s.length;
      const RowStatistics stats = softmax_row(scores + r * s.ld_keys, visible, keys);
      factor[r] = 1.0f / stats.sum;
      if (lse) lse[row + r] = stats.max + std::log(stats.sum);
    }
    strip_product<false>({.a = scores,
                          .a_row = s.ld_keys,
                          .a_col = 1,
                          .b = v,
                          .ldb = s.ld_head,
                          .c = sums,
                          .ldc = s.ld_head,
                          .n = s.head_dim,
                          .k = keys});
    for (int64_t r = 0; r < rows; ++r) {
      unpack_row(sums + r * s.ld_head, factor[r], out + (row + r) * s.width, s.head_dim);
    }
  }
}

void forward_head(const AttentionForward& p, int64_t head_index, float* scratch) {
  if (p.qkv.dtype == DType::f32) {
    forward_head_of<float>(p, head_index, scratch);
  } else {
    forward_head_of<bfloat16>(p, head_index, scratch);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_head);

}  // namespace

void attention_forward_cpu(const AttentionForward& p, const ExecContext& ctx) {
  const AttentionSizes s(p.qkv, p.heads);
  if (s.batch == 0 || s.length == 0) return;
  const int64_t workers = ctx.pool->size();
  const int64_t each = AttentionForwardScratch(s).total;
  float* scratch =
      static_cast<float*>(ctx.scratch->reserve(static_cast<size_t>(workers * each) * sizeof(float)));
  parallel_for(ctx, s.batch * s.heads, [&](int64_t head, int worker) {
    HWY_DYNAMIC_DISPATCH(forward_head)(p, head, scratch + worker * each);
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
