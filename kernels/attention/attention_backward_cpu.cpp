// Attention backward on the CPU. One task is one (batch, head). Everything of the head is packed to f32 once;
// then blocks of rows recompute their probabilities, form dS, finish their dq and add to dk and dv:
//   P = exp(q K^T - lse),  dS = P * (dO V^T - delta),  dq = dS K,  dk += dS^T q,  dv += P^T dO
// Blocks rather than strips, so that dk and dv are not loaded and stored once for every few rows.
// Scores in memory: two blocks of at most kBlockRows rows.
#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_cpu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_backward_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/attention/strip_product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// sum a[i] * b[i].
template <typename T>
float dot(const T* a, const T* b, int64_t n) {
  const int64_t step = lanes();
  VF sum = hn::Zero(F32());
  int64_t i = 0;
  for (; i + step <= n; i += step) sum = hn::MulAdd(load(a + i), load(b + i), sum);
  if (i < n) sum = hn::MulAdd(load_n(a + i, n - i), load_n(b + i, n - i), sum);
  return reduce_sum(sum);
}

// scores[0, n) -> P = exp(scores - lse) and dp[0, n) -> dS = P (dp - delta); zeros from n to `padded`.
void gradient_row(float* scores, float* dp, float lse, float delta, int64_t n, int64_t padded) {
  const F32 d;
  const int64_t step = lanes();
  const VF l = hn::Set(d, lse);
  const VF dl = hn::Set(d, delta);
  for (int64_t i = 0; i < padded; i += step) {
    const auto valid = hn::FirstN(d, static_cast<size_t>(std::max<int64_t>(0, std::min(step, n - i))));
    const VF p = hn::IfThenElseZero(valid, exp(hn::Sub(load(scores + i), l)));
    const VF ds = hn::IfThenElseZero(valid, hn::Mul(p, hn::Sub(load(dp + i), dl)));
    store(p, scores + i);
    store(ds, dp + i);
  }
}

// One head's problem: its rows in the caller's tensors, and its matrices in a worker's scratch memory.
template <typename T>
class BackwardHead {
 public:
  BackwardHead(const AttentionBackward& p, int64_t head_index, float* scratch)
      : s_(p.qkv, p.heads), offsets_(s_), scratch_(scratch), causal_(p.causal) {
    const int64_t b = head_index / s_.heads;
    const int64_t h = head_index % s_.heads;
    const int64_t projections = b * s_.length * 3 * s_.width + h * s_.head_dim;
    const int64_t activations = b * s_.length * s_.width + h * s_.head_dim;
    qkv_ = p.qkv.as<T>() + projections;
    dqkv_ = p.dqkv.as<T>() + projections;
    out_ = p.out.as<T>() + activations;
    dout_ = p.dout.as<T>() + activations;
    lse_ = p.lse.as<float>() + head_index * s_.length;
  }

  void run() {
    pack();
    for (int64_t begin = 0; begin < s_.length; begin += offsets_.block_rows) {
      const int64_t end = std::min(s_.length, begin + offsets_.block_rows);
      for (int64_t row = begin; row < end; row += kStripRows) row_strip(begin, row);
      const int64_t keys = causal_ ? end : s_.length;
      for (int64_t key = 0; key < keys; key += kStripRows) key_strip(begin, end, key);
    }
    for (int64_t row = 0; row < s_.length; ++row) {
      T* dqkv = dqkv_ + row * 3 * s_.width;
      unpack_row(scratch_ + offsets_.dk + row * s_.ld_head, 1.0f, dqkv + s_.width, s_.head_dim);
      unpack_row(scratch_ + offsets_.dv + row * s_.ld_head, 1.0f, dqkv + 2 * s_.width, s_.head_dim);
    }
  }

 private:
  void pack() {
    const int64_t ld = 3 * s_.width;
    float* v = scratch_ + offsets_.dv;  // only its transpose is needed
    pack_rows(qkv_ + 2 * s_.width, ld, s_.length, s_.head_dim, 1.0f, v, s_.ld_head, s_.padded_rows);
    transpose(v, s_.ld_head, s_.length, s_.head_dim, scratch_ + offsets_.v_transposed, s_.ld_keys);
    float* k = scratch_ + offsets_.k;
    pack_rows(qkv_ + s_.width, ld, s_.length, s_.head_dim, 1.0f, k, s_.ld_head, s_.padded_rows);
    transpose(k, s_.ld_head, s_.length, s_.head_dim, scratch_ + offsets_.k_transposed, s_.ld_keys);
    // q carries the scale, for the scores and for dk.
    pack_rows(qkv_, ld, s_.length, s_.head_dim, scale(), scratch_ + offsets_.q, s_.ld_head, s_.padded_rows);
    pack_rows(dout_, s_.width, s_.length, s_.head_dim, 1.0f, scratch_ + offsets_.dout, s_.ld_head,
              s_.padded_rows);
    for (int64_t row = 0; row < s_.length; ++row) {
      scratch_[offsets_.delta + row] = dot(dout_ + row * s_.width, out_ + row * s_.width, s_.head_dim);
    }
  }

  // P, dS and dq of the strip of rows at `row`, in the block that starts at `begin`.
  void row_strip(int64_t begin, int64_t row) {
    const int64_t keys = causal_ ? std::min(s_.length, row + kStripRows) : s_.length;
    float* p = scratch_ + offsets_.p + (row - begin) * s_.ld_keys;
    float* ds = scratch_ + offsets_.ds + (row - begin) * s_.ld_keys;
    float* dq = scratch_ + offsets_.dq;
    Strip scores{.a = scratch_ + offsets_.q + row * s_.ld_head,
                 .a_row = s_.ld_head,
                 .a_col = 1,
                 .b = scratch_ + offsets_.k_transposed,
                 .ldb = s_.ld_keys,
                 .c = p,
                 .ldc = s_.ld_keys,
                 .n = keys,
                 .k = s_.head_dim};
    strip_product<false>(scores);
    scores.a = scratch_ + offsets_.dout + row * s_.ld_head;
    scores.b = scratch_ + offsets_.v_transposed;
    scores.c = ds;
    strip_product<false>(scores);
    const int64_t rows = std::min<int64_t>(kStripRows, s_.length - row);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t visible = causal_ ? row + r + 1 : s_.length;
      gradient_row(p + r * s_.ld_keys, ds + r * s_.ld_keys, lse_[row + r], scratch_[offsets_.delta + row + r],
                   visible, keys);
    }
    strip_product<false>({.a = ds,
                          .a_row = s_.ld_keys,
                          .a_col = 1,
                          .b = scratch_ + offsets_.k,
                          .ldb = s_.ld_head,
                          .c = dq,
                          .ldc = s_.ld_head,
                          .n = s_.head_dim,
                          .k = keys});
    for (int64_t r = 0; r < rows; ++r) {
      unpack_row(dq + r * s_.ld_head, scale(), dqkv_ + (row + r) * 3 * s_.width, s_.head_dim);
    }
  }

  // What rows [begin, end) add to dk and dv of the strip of keys at `key`.
  void key_strip(int64_t begin, int64_t end, int64_t key) {
    const int64_t first = causal_ ? std::max(begin, key) : begin;  // the first row that sees the strip
    Strip sum{.a = scratch_ + offsets_.ds + (first - begin) * s_.ld_keys + key,
              .a_row = 1,
              .a_col = s_.ld_keys,
              .b = scratch_ + offsets_.q + first * s_.ld_head,
              .ldb = s_.ld_head,
              .c = scratch_ + offsets_.dk + key * s_.ld_head,
              .ldc = s_.ld_head,
              .n = s_.head_dim,
              .k = end - first};
    const bool overwrite = causal_ ? key >= begin : begin == 0;
    overwrite ? strip_product<false>(sum) : strip_product<true>(sum);
    sum.a = scratch_ + offsets_.p + (first - begin) * s_.ld_keys + key;
    sum.b = scratch_ + offsets_.dout + first * s_.ld_head;
    sum.c = scratch_ + offsets_.dv + key * s_.ld_head;
    overwrite ? strip_product<false>(sum) : strip_product<true>(sum);
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(s_.head_dim)); }

  AttentionSizes s_;
  AttentionBackwardScratch offsets_;
  float* scratch_;
  bool causal_;
  const T* qkv_;
  T* dqkv_;
  const T* out_;
  const T* dout_;
  const float* lse_;
};

void backward_head(const AttentionBackward& p, int64_t head_index, float* scratch) {
  if (p.qkv.dtype == DType::f32) {
    BackwardHead<float>(p, head_index, scratch).run();
  } else {
    BackwardHead<bfloat16>(p, head_index, scratch).run();
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(backward_head);

}  // namespace

void attention_backward_cpu(const AttentionBackward& p, const ExecContext& ctx) {
  const AttentionSizes s(p.qkv, p.heads);
  if (s.batch == 0 || s.length == 0) return;
  const int64_t workers = ctx.pool->size();
  const int64_t each = AttentionBackwardScratch(s).total;
  float* scratch =
      static_cast<float*>(ctx.scratch->reserve(static_cast<size_t>(workers * each) * sizeof(float)));
  parallel_for(ctx, s.batch * s.heads, [&](int64_t head, int worker) {
    HWY_DYNAMIC_DISPATCH(backward_head)(p, head, scratch + worker * each);
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
