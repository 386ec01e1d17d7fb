// Attention pooling on the CPU. A task is a picture's head: it reads the head's keys and values once each.
#include "kernels/attention_pool/attention_pool_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/scratch_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_pool/attention_pool_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// One head of one picture: where its parts begin.
struct Head {
  Head(const TensorView& q, const TensorView& kv, int64_t heads, int64_t index)
      : length(kv.size(1)),
        dim(q.size(1) / heads),
        row(kv.size(2)),
        at(index * dim),
        keys(index / heads * length * row + index % heads * dim),
        values(keys + row / 2),
        scale(1.0f / std::sqrt(static_cast<float>(dim))) {}
  int64_t length, dim;
  int64_t row;     // the distance of two keys
  int64_t at;      // in [N, C]
  int64_t keys;    // in [N, S, 2C]
  int64_t values;  // there too
  float scale;
};

template <typename T>
float dot(const T* a, const T* b, int64_t n) {
  const int64_t step = lanes();
  VF s0 = hn::Zero(F32()), s1 = s0;
  int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    s0 = hn::MulAdd(load(a + i), load(b + i), s0);
    s1 = hn::MulAdd(load(a + i + step), load(b + i + step), s1);
  }
  for (; i < n; i += step) s0 = hn::MulAdd(load_left(a + i, n - i), load_left(b + i, n - i), s0);
  return reduce_sum(hn::Add(s0, s1));
}

// scores[0, n) -> softmax
void softmax(float* scores, int64_t n) {
  const int64_t step = lanes();
  float max = scores[0];
  for (int64_t i = 1; i < n; ++i) max = std::max(max, scores[i]);
  const VF m = hn::Set(F32(), max);
  VF sum = hn::Zero(F32());
  for (int64_t i = 0; i < n; i += step) {
    const VF e = exp(hn::Sub(load_left(scores + i, n - i), m));
    store_left(e, scores + i, n - i);
    sum = hn::Add(sum, hn::IfThenElseZero(mask_left(n - i), e));
  }
  const VF factor = hn::Set(F32(), 1.0f / reduce_sum(sum));
  for (int64_t i = 0; i < n; i += step) {
    store_left(hn::Mul(load_left(scores + i, n - i), factor), scores + i, n - i);
  }
}

// out = scale * sum over rows of weights[row] * rows[row]
template <typename T>
void weighted_sum(const float* weights, const T* rows, int64_t count, int64_t row, int64_t n, float scale,
                  T* out) {
  const F32 d;
  for (int64_t i = 0; i < n; i += lanes()) {
    VF sum = hn::Zero(d);
    for (int64_t s = 0; s < count; ++s) {
      sum = hn::MulAdd(load_left(rows + s * row + i, n - i), hn::Set(d, weights[s]), sum);
    }
    store_left(hn::Mul(sum, hn::Set(d, scale)), out + i, n - i);
  }
}

// out[i] = factor * in[i]
template <typename T>
void scaled(const T* in, float factor, T* out, int64_t n) {
  const VF by = hn::Set(F32(), factor);
  for (int64_t i = 0; i < n; i += lanes()) {
    store_left(hn::Mul(load_left(in + i, n - i), by), out + i, n - i);
  }
}

template <typename T>
void forward_head_of(const AttentionPoolForward& p, int64_t index) {
  const Head head(p.q, p.kv, p.heads, index);
  const T* q = p.q.as<T>() + head.at;
  const T* keys = p.kv.as<T>() + head.keys;
  float* weights = p.weights.as<float>() + index * head.length;
  for (int64_t s = 0; s < head.length; ++s) {
    weights[s] = head.scale * dot(q, keys + s * head.row, head.dim);
  }
  softmax(weights, head.length);
  weighted_sum(weights, p.kv.as<T>() + head.values, head.length, head.row, head.dim, 1.0f,
               p.out.as<T>() + head.at);
}

void forward_head(const AttentionPoolForward& p, int64_t index) {
  if (p.q.dtype == DType::f32) {
    forward_head_of<float>(p, index);
  } else {
    forward_head_of<bfloat16>(p, index);
  }
}

// `dscores` has space for S floats.
template <typename T>
void backward_head_of(const AttentionPoolBackward& p, int64_t index, float* dscores) {
  const Head head(p.q, p.kv, p.heads, index);
  const T *q = p.q.as<T>() + head.at, *dout = p.dout.as<T>() + head.at;
  const T *keys = p.kv.as<T>() + head.keys, *values = p.kv.as<T>() + head.values;
  T *dkeys = p.dkv.as<T>() + head.keys, *dvalues = p.dkv.as<T>() + head.values;
  const float* weights = p.weights.as<float>() + index * head.length;
  float mean = 0;  // of dweights, weighted
  for (int64_t s = 0; s < head.length; ++s) {
    dscores[s] = dot(dout, values + s * head.row, head.dim);
    mean += weights[s] * dscores[s];
  }
  for (int64_t s = 0; s < head.length; ++s) {
    dscores[s] = weights[s] * (dscores[s] - mean);
    scaled(q, dscores[s] * head.scale, dkeys + s * head.row, head.dim);
    scaled(dout, weights[s], dvalues + s * head.row, head.dim);
  }
  weighted_sum(dscores, keys, head.length, head.row, head.dim, head.scale, p.dq.as<T>() + head.at);
}

void backward_head(const AttentionPoolBackward& p, int64_t index, float* dscores) {
  if (p.q.dtype == DType::f32) {
    backward_head_of<float>(p, index, dscores);
  } else {
    backward_head_of<bfloat16>(p, index, dscores);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_head);
HWY_EXPORT(backward_head);

}  // namespace

void attention_pool_forward_cpu(const AttentionPoolForward& p, const ExecContext& ctx) {
  parallel_for(ctx, p.q.size(0) * p.heads, [&](int64_t head, int) {
    HWY_DYNAMIC_DISPATCH(forward_head)(p, head);
  });
}

void attention_pool_backward_cpu(const AttentionPoolBackward& p, const ExecContext& ctx) {
  const int64_t length = p.kv.size(1);
  ScratchPlan plan;
  const auto dscores = plan.add<float>(ctx.pool->size() * length);
  plan.reserve(ctx);
  parallel_for(ctx, p.q.size(0) * p.heads, [&](int64_t head, int worker) {
    HWY_DYNAMIC_DISPATCH(backward_head)(p, head, plan[dscores] + worker * length);
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
