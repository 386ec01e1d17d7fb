// What every attention kernel is given: the tensors, and where a head's rows lie in them.
#pragma once

#include <cmath>

#include "kernels/attention/attention.h"
#include "kernels/common/exponential.cuh"

namespace cuclip {

/// Heads are numbered b * heads + h, as the blocks of a grid are. Matrices of a head are [length, head_dim]
/// with rows of the packed tensors' strides.
struct HeadLayout {
  int64_t length;
  int64_t width;
  int64_t count;  // batch * heads
  unsigned heads;
  int head_dim;
  bool causal;
  float scale;           // of the scores: 1 / sqrt(head_dim)
  float exponent_scale;  // of the scores as exponents of 2

  HeadLayout(const TensorView& qkv, int64_t heads, bool causal)
      : length(qkv.size(1)),
        width(qkv.size(2) / 3),
        count(length > 0 ? qkv.size(0) * heads : 0),
        heads(static_cast<unsigned>(heads)),
        head_dim(static_cast<int>(width / heads)),
        causal(causal),
        scale(1.0f / std::sqrt(static_cast<float>(head_dim))),
        exponent_scale(scale * kLog2E) {}

  __device__ __forceinline__ int64_t projection_stride() const { return 3 * width; }
  /// Where the head's q begins in a tensor [B, S, 3C]; its k is `width` elements further on, its v twice
  /// that.
  __device__ __forceinline__ int64_t projections(unsigned head) const {
    return head / heads * length * projection_stride() + head % heads * head_dim;
  }
  /// Where the head begins in a tensor [B, S, C], whose rows are `width` apart.
  __device__ __forceinline__ int64_t activations(unsigned head) const {
    return head / heads * length * width + head % heads * head_dim;
  }
  /// Where the head begins in a tensor [B, H, S].
  __device__ __forceinline__ int64_t statistics(unsigned head) const { return head * length; }
  /// How many keys, from the first, a query sees. A query beyond the last sees all.
  template <typename Index>
  __device__ __forceinline__ Index visible_keys(Index query) const {
    const Index all = static_cast<Index>(length);
    return causal ? min(query + 1, all) : all;
  }
};

template <typename T>
struct AttentionForwardArguments {
  HeadLayout layout;
  const T* qkv;
  T* out;
  float* lse;  // or null

  explicit AttentionForwardArguments(const AttentionForward& p)
      : layout(p.qkv, p.heads, p.causal),
        qkv(p.qkv.as<T>()),
        out(p.out.as<T>()),
        lse(p.lse ? p.lse.as<float>() : nullptr) {}
};

template <typename T>
struct AttentionBackwardArguments {
  HeadLayout layout;
  const T* qkv;
  const T* out;
  const float* lse;
  const T* dout;
  T* dqkv;
  float* delta = nullptr;  // scratch [B, H, S], where a kernel leaves it to the next

  explicit AttentionBackwardArguments(const AttentionBackward& p)
      : layout(p.qkv, p.heads, p.causal),
        qkv(p.qkv.as<T>()),
        out(p.out.as<T>()),
        lse(p.lse.as<float>()),
        dout(p.dout.as<T>()),
        dqkv(p.dqkv.as<T>()) {}
};

/// Where the head of blockIdx.x lies in the backward's tensors. k and v, dk and dv follow q and dq.
template <typename T>
struct BackwardHead {
  const T* q;
  const T* out;
  const T* dout;
  const float* lse;
  float* delta;
  T* dq;

  __device__ __forceinline__ explicit BackwardHead(const AttentionBackwardArguments<T>& p)
      : q(p.qkv + p.layout.projections(blockIdx.x)),
        out(p.out + p.layout.activations(blockIdx.x)),
        dout(p.dout + p.layout.activations(blockIdx.x)),
        lse(p.lse + p.layout.statistics(blockIdx.x)),
        delta(p.delta + p.layout.statistics(blockIdx.x)),
        dq(p.dqkv + p.layout.projections(blockIdx.x)) {}
};

}  // namespace cuclip
