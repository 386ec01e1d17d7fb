// Attention pooling on CUDA. A block is a picture's head. A key or value of D elements is taken by a group
// of lanes, a 16-byte vector each (several, one after the other, where D is more than a warp's), and the
// block's groups take every key in turn; what they sum over keys is added up in shared memory (4 KB in
// bf16), in order. Scores become weights where these belong in memory; the backward's are in scratch, 4
// bytes a key and head. Bytes moved: kv once, in the backward dkv too, and what belongs to a query.
#include <cmath>

#include "kernels/attention_pool/attention_pool_cuda.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/common/vec.cuh"

namespace cuclip {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kBlocks = 6;  // of a multiprocessor: up to 80 registers; left to itself, ptxas spills at 56

template <typename T>
struct Arguments {
  const T* q;
  const T* kv;
  float* weights;  // [N, H, S]
  T* out;          // forward
  const T* dout;   // backward, and what follows
  T* dq;
  T* dkv;
  float* dscores;  // [N, H, S]
  int64_t length, width;
  int heads, dim;
  int lanes;  // of a group: a power of two
  float scale;
};

// The block's head, and the thread's place in it.
template <typename T>
struct Head {
  int64_t query;   // where the head begins in [N, C]
  int64_t key;     // where its first key begins in [N, S, 2C]; values lie C behind
  int64_t row;     // from key to key
  int64_t scores;  // where it begins in [N, H, S]
  int group, groups;
  int lane;  // in the group

  __device__ __forceinline__ explicit Head(const Arguments<T>& p) {
    const int64_t picture = blockIdx.x / p.heads;
    const int head = static_cast<int>(blockIdx.x % p.heads);
    query = picture * p.width + head * p.dim;
    key = picture * p.length * 2 * p.width + head * p.dim;
    row = 2 * p.width;
    scores = blockIdx.x * p.length;
    group = static_cast<int>(threadIdx.x) / p.lanes;
    groups = kThreads / p.lanes;
    lane = static_cast<int>(threadIdx.x) % p.lanes;
  }
};

// Over the lanes of a group.
__device__ __forceinline__ float group_sum(float x, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

// out[s] = factor * query . rows[s], for rows that are head.row apart. A block-wide call, after which all of
// the block sees `out`.
template <bool kWhole, typename T>
__device__ __forceinline__ void dot_rows(const Arguments<T>& p, const Head<T>& head, const T* query,
                                         const T* rows, float factor, float* out) {
  constexpr int kSize = Vec<T>::kSize;
  for (int first = 0; first < p.dim; first += p.lanes * kSize) {
    const int d = first + head.lane * kSize;
    float q[kSize] = {};
    if (d < p.dim) unpack(load_first<kWhole>(query + d, p.dim - d), q);
      // All lanes of a warp take as many steps: groups without a key compute on zeros.
#pragma unroll 2
    for (int64_t base = 0; base < p.length; base += head.groups) {
      const int64_t s = base + head.group;
      float k[kSize] = {}, sum = 0;
      if (d < p.dim && s < p.length) unpack(load_first<kWhole>(rows + s * head.row + d, p.dim - d), k);
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum = fmaf(q[j], k[j], sum);
      sum = group_sum(sum, p.lanes) * factor;
      if (head.lane == 0 && s < p.length) out[s] = first == 0 ? sum : out[s] + sum;
    }
  }
  __syncthreads();
}

// The sum over groups, in order, of their lanes' vectors, in the first group. A block-wide call.
template <int kSize>
__device__ __forceinline__ void add_groups(float (&sum)[kSize], int lanes) {
  __shared__ float shared[kSize][kThreads];
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int j = 0; j < kSize; ++j) shared[j][thread] = sum[j];
  __syncthreads();
  if (thread < lanes) {
    for (int other = thread + lanes; other < kThreads; other += lanes) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum[j] += shared[j][other];
    }
  }
  __syncthreads();
}

// The larger of every thread's values, for all of them; NaN wins.
__device__ __forceinline__ float block_max(float x, float* shared) {
  x = warp_max(x);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = x;
  __syncthreads();
  x = shared[0];
  for (int other = 1; other < kWarps; ++other) x = nan_max(x, shared[other]);
  __syncthreads();
  return x;
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads, kBlocks) attention_pool_forward_kernel(const Arguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  __shared__ float shared[kWarp];
  const Head<T> head(p);
  float* weights = p.weights + head.scores;
  dot_rows<kWhole>(p, head, p.q + head.query, p.kv + head.key, p.scale, weights);
  float max = -INFINITY, total = 0;
  for (int64_t s = threadIdx.x; s < p.length; s += kThreads) max = nan_max(max, weights[s]);
  max = block_max(max, shared);
  for (int64_t s = threadIdx.x; s < p.length; s += kThreads) {
    const float e = expf(weights[s] - max);
    weights[s] = e;
    total += e;
  }
  const float factor = 1.0f / block_sum(total, shared);
  for (int64_t s = threadIdx.x; s < p.length; s += kThreads) weights[s] *= factor;
  __syncthreads();
  const T* values = p.kv + head.key + p.width;
  for (int first = 0; first < p.dim; first += p.lanes * kSize) {
    const int d = first + head.lane * kSize;
    float sum[kSize] = {};
#pragma unroll 2
    for (int64_t s = head.group; d < p.dim && s < p.length; s += head.groups) {
      float v[kSize];
      unpack(load_first<kWhole>(values + s * head.row + d, p.dim - d), v);
      const float weight = weights[s];
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum[j] = fmaf(weight, v[j], sum[j]);
    }
    add_groups(sum, p.lanes);
    if (head.group == 0 && d < p.dim) store_columns<kWhole>(p.out + head.query + d, p.dim - d, sum);
  }
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads, kBlocks) attention_pool_backward_kernel(const Arguments<T> p) {
  constexpr int kSize = Vec<T>::kSize;
  __shared__ float shared[kWarp];
  const Head<T> head(p);
  const float* weights = p.weights + head.scores;
  float* dscores = p.dscores + head.scores;
  dot_rows<kWhole>(p, head, p.dout + head.query, p.kv + head.key + p.width, 1.0f, dscores);
  float mean = 0;  // of dweights, weighted
  for (int64_t s = threadIdx.x; s < p.length; s += kThreads) mean = fmaf(weights[s], dscores[s], mean);
  mean = block_sum(mean, shared);
  for (int first = 0; first < p.dim; first += p.lanes * kSize) {
    const int d = first + head.lane * kSize;
    float sum[kSize] = {}, q[kSize] = {}, dout[kSize] = {};
    if (d < p.dim) {
      unpack(load_first<kWhole>(p.q + head.query + d, p.dim - d), q);
      unpack(load_first<kWhole>(p.dout + head.query + d, p.dim - d), dout);
    }
    for (int64_t s = head.group; d < p.dim && s < p.length; s += head.groups) {
      const int64_t at = head.key + s * head.row + d;
      const float weight = weights[s], dscore = weight * (dscores[s] - mean) * p.scale;
      float k[kSize], dk[kSize], dv[kSize];
      unpack(load_first<kWhole>(p.kv + at, p.dim - d), k);
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        sum[j] = fmaf(dscore, k[j], sum[j]);
        dk[j] = dscore * q[j];
        dv[j] = weight * dout[j];
      }
      store_columns<kWhole>(p.dkv + at, p.dim - d, dk);
      store_columns<kWhole>(p.dkv + at + p.width, p.dim - d, dv);
    }
    add_groups(sum, p.lanes);
    if (head.group == 0 && d < p.dim) store_columns<kWhole>(p.dq + head.query + d, p.dim - d, sum);
  }
}

// What both directions have.
template <typename T>
Arguments<T> arguments(const TensorView& q, const TensorView& kv, const TensorView& weights, int64_t heads) {
  const int64_t dim = q.size(1) / heads;
  int lanes = 1;
  while (lanes < kWarp && lanes * Vec<T>::kSize < dim) lanes *= 2;
  return {.q = q.as<T>(),
          .kv = kv.as<T>(),
          .weights = weights.as<float>(),
          .out = nullptr,
          .dout = nullptr,
          .dq = nullptr,
          .dkv = nullptr,
          .dscores = nullptr,
          .length = kv.size(1),
          .width = q.size(1),
          .heads = static_cast<int>(heads),
          .dim = static_cast<int>(dim),
          .lanes = lanes,
          .scale = 1.0f / std::sqrt(static_cast<float>(dim))};
}

template <typename T>
bool whole_vectors(const Arguments<T>& a) {
  return a.dim % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.q, a.kv, a.out, a.dout, a.dq, a.dkv);
}

template <typename T>
void forward(const AttentionPoolForward& p, const ExecContext& ctx) {
  Arguments<T> a = arguments<T>(p.q, p.kv, p.weights, p.heads);
  a.out = p.out.as<T>();
  launch({.kernel = "attention_pool_forward_kernel", .grid = {p.q.size(0) * p.heads}, .threads = kThreads},
         whole_vectors(a) ? attention_pool_forward_kernel<true, T> : attention_pool_forward_kernel<false, T>,
         ctx, a);
}

template <typename T>
void backward(const AttentionPoolBackward& p, const ExecContext& ctx) {
  Arguments<T> a = arguments<T>(p.q, p.kv, p.weights, p.heads);
  a.dout = p.dout.as<T>();
  a.dq = p.dq.as<T>();
  a.dkv = p.dkv.as<T>();
  ScratchPlan plan;
  const auto dscores = plan.add<float>(p.weights.elements());
  plan.reserve(ctx);
  a.dscores = plan[dscores];
  launch(
      {.kernel = "attention_pool_backward_kernel", .grid = {p.q.size(0) * p.heads}, .threads = kThreads},
      whole_vectors(a) ? attention_pool_backward_kernel<true, T> : attention_pool_backward_kernel<false, T>,
      ctx, a);
}

}  // namespace

void attention_pool_forward_cuda(const AttentionPoolForward& p, const ExecContext& ctx) {
  if (p.q.dtype == DType::f32) {
    forward<float>(p, ctx);
  } else {
    forward<bfloat16>(p, ctx);
  }
}

void attention_pool_backward_cuda(const AttentionPoolBackward& p, const ExecContext& ctx) {
  if (p.q.dtype == DType::f32) {
    backward<float>(p, ctx);
  } else {
    backward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
