// Attention on CUDA in f32, and in bf16 where the tensor-core kernels do not fit: any head dimension, any
// alignment. Sums are f32 on the ordinary cores.
//
// Threads: a warp owns 4 rows (attention_any.cuh). A block has 8 warps in the forward and 4 in the backward;
// blockIdx.x is its (batch, head), blockIdx.y its rows. Shared memory: the block's own rows and a tile of 32
// of the other side's, two matrices each in the backward: (D|1) * 96 floats. Bytes moved: the block's own
// rows once, the other side's once for every 32 (backward: 16) rows.
//
// The backward runs twice: first with queries as its rows, for dq and for the second run's delta, then with
// keys, for dk and dv. Each element is summed by one lane in a fixed order.
#include "kernels/attention/attention_any.h"

#include "kernels/attention/attention_any.cuh"
#include "kernels/attention/attention_arguments.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/common/tuning.h"

namespace cuclip {
namespace {

constexpr int kForwardWarps = 8;
constexpr int kBackwardWarps = 4;
constexpr int kSharedRows = 96;  // for both directions
static_assert(kSharedRows == kForwardWarps * kRows + 2 * kTileRows);
static_assert(kSharedRows == 2 * (kBackwardWarps * kRows + kTileRows));

// The online softmax of one row: the sum over the scores seen so far, relative to their maximum.
struct RunningRow {
  float max = -INFINITY;
  float sum = 0.0f;  // this lane's share
};

// Turns the next scores, one per lane, some of them perhaps hidden, into probabilities relative to the new
// maximum. What was summed before has to be scaled by the factor returned.
__device__ __forceinline__ float to_probabilities(RunningRow& row, float& score, bool visible) {
  const float max = nan_max(row.max, warp_max(visible ? score : -INFINITY));
  const float factor = expf(row.max - max);
  score = visible ? expf(score - max) : 0.0f;
  row.sum = fmaf(row.sum, factor, score);
  row.max = max;
  return factor;
}

template <typename T>
__global__ void __launch_bounds__(kForwardWarps* kWarp)
    attention_forward_any_kernel(const AttentionForwardArguments<T> p) {
  extern __shared__ float shared[];
  const HeadLayout& layout = p.layout;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const unsigned head = blockIdx.x;
  const int64_t block_row = static_cast<int64_t>(blockIdx.y) * kForwardWarps * kRows;
  const int64_t row = block_row + warp * kRows;
  const T* q = p.qkv + layout.projections(head);
  float* k_tile = shared + kForwardWarps * kRows * tile_stride(layout.head_dim);
  float* v_tile = k_tile + kTileRows * tile_stride(layout.head_dim);
  const float* own = shared + warp * kRows * tile_stride(layout.head_dim);
  load_tile(q, layout.projection_stride(), block_row, layout.length, layout.head_dim, kForwardWarps * kRows,
            shared);

  RunningRow state[kRows];
  float sums[kRows][kLaneDims] = {};
  const int64_t end = layout.visible_keys(block_row + kForwardWarps * kRows - 1);
  for (int64_t first = 0; first < end; first += kTileRows) {
    load_tile(q + layout.width, layout.projection_stride(), first, layout.length, layout.head_dim, kTileRows,
              k_tile);
    load_tile(q + 2 * layout.width, layout.projection_stride(), first, layout.length, layout.head_dim,
              kTileRows, v_tile);
    __syncthreads();
    float scores[kRows];
    dot_rows(scores, own, k_tile, layout.head_dim);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      scores[r] *= layout.scale;
      const float factor = to_probabilities(state[r], scores[r], first + lane < layout.visible_keys(row + r));
#pragma unroll
      for (int i = 0; i < kLaneDims; ++i) sums[r][i] *= factor;
    }
    add_rows(sums, scores, v_tile, layout.head_dim);
    __syncthreads();
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = warp_sum(state[r].sum);
    if (row + r >= layout.length) continue;
    store_row(p.out + layout.activations(head) + (row + r) * layout.width, sums[r], 1.0f / sum,
              layout.head_dim);
    if (p.lse && lane == 0) p.lse[layout.statistics(head) + row + r] = state[r].max + logf(sum);
  }
}

// dout . out of the warp's rows, for this kernel and the next.
template <typename T>
__device__ __forceinline__ void find_delta(const AttentionBackwardArguments<T>& p, unsigned head, int64_t row,
                                           const float* dout, float (&delta)[kRows]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const T* out = p.out + p.layout.activations(head) + (row + r) * p.layout.width;
    float sum = 0.0f;
    if (row + r < p.layout.length) {
      for (int d = lane; d < p.layout.head_dim; d += kWarp) {
        sum = fmaf(dout[r * tile_stride(p.layout.head_dim) + d], to_float(out[d]), sum);
      }
    }
    delta[r] = warp_sum(sum);
    if (lane == 0 && row + r < p.layout.length) p.delta[p.layout.statistics(head) + row + r] = delta[r];
  }
}

// The gradients of a warp's rows: of k and v, or of q.
template <typename T, bool kKeys>
__device__ __forceinline__ void store_gradients(const AttentionBackwardArguments<T>& p, unsigned head,
                                                int64_t row, const float (&first_sums)[kRows][kLaneDims],
                                                const float (&second_sums)[kRows][kLaneDims]) {
  const HeadLayout& layout = p.layout;
  T* gradient = p.dqkv + layout.projections(head) + (kKeys ? layout.width : 0);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (row + r >= layout.length) continue;
    T* to = gradient + (row + r) * layout.projection_stride();
    store_row(to, first_sums[r], layout.scale, layout.head_dim);
    if constexpr (kKeys) store_row(to + layout.width, second_sums[r], 1.0f, layout.head_dim);
  }
}

// kKeys: the warp's rows are keys and the tiles' queries, otherwise the other way round. A side's first
// matrix is q or k, its second dout or v.
template <typename T, bool kKeys>
__global__ void __launch_bounds__(kBackwardWarps* kWarp, Tuning::Attention::kAnyBackwardBlocks)
    attention_backward_any_kernel(const AttentionBackwardArguments<T> p) {
  constexpr int kBlockRows = kBackwardWarps * kRows;
  extern __shared__ float shared[];
  const HeadLayout& layout = p.layout;
  const int stride = tile_stride(layout.head_dim);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const unsigned head = blockIdx.x;
  const int64_t block_row = static_cast<int64_t>(blockIdx.y) * kBlockRows;
  const int64_t row = block_row + warp * kRows;
  const T* q = p.qkv + layout.projections(head);
  const T* dout = p.dout + layout.activations(head);
  const auto load_side = [&](bool keys, int64_t first, int rows, float* tile) {
    load_tile(keys ? q + layout.width : q, layout.projection_stride(), first, layout.length, layout.head_dim,
              rows, tile);
    load_tile(keys ? q + 2 * layout.width : dout, keys ? layout.projection_stride() : layout.width, first,
              layout.length, layout.head_dim, rows, tile + rows * stride);
  };
  float* tile = shared + 2 * kBlockRows * stride;
  load_side(kKeys, block_row, kBlockRows, shared);
  __syncthreads();
  const float* own = shared + warp * kRows * stride;
  const float* own_second = own + kBlockRows * stride;

  const float* lse = p.lse + layout.statistics(head);
  float own_lse[kRows], own_delta[kRows];
  if constexpr (!kKeys) {
    find_delta(p, head, row, own_second, own_delta);
#pragma unroll
    for (int r = 0; r < kRows; ++r) own_lse[r] = row + r < layout.length ? lse[row + r] : 0.0f;
  }
  float first_sums[kRows][kLaneDims] = {}, second_sums[kRows][kLaneDims] = {};
  const int64_t begin = kKeys && layout.causal ? block_row / kTileRows * kTileRows : 0;
  const int64_t end = kKeys ? layout.length : layout.visible_keys(block_row + kBlockRows - 1);
  for (int64_t first = begin; first < end; first += kTileRows) {
    load_side(!kKeys, first, kTileRows, tile);
    __syncthreads();
    float probabilities[kRows], gradients[kRows];
    dot_rows(probabilities, own, tile, layout.head_dim);
    dot_rows(gradients, own_second, tile + kTileRows * stride, layout.head_dim);
    const int64_t other = first + lane;
    const float tile_lse = kKeys && other < layout.length ? lse[other] : 0.0f;
    const float tile_delta = kKeys && other < layout.length ? p.delta[layout.statistics(head) + other] : 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int64_t query = kKeys ? other : row + r, key = kKeys ? row + r : other;
      const bool visible = query < layout.length && key < layout.visible_keys(query);
      const float score = fmaf(probabilities[r], layout.scale, -(kKeys ? tile_lse : own_lse[r]));
      probabilities[r] = visible ? expf(score) : 0.0f;
      const float centred = gradients[r] - (kKeys ? tile_delta : own_delta[r]);
      gradients[r] = visible ? probabilities[r] * centred : 0.0f;
    }
    add_rows(first_sums, gradients, tile, layout.head_dim);
    if constexpr (kKeys) add_rows(second_sums, probabilities, tile + kTileRows * stride, layout.head_dim);
    __syncthreads();
  }
  store_gradients<T, kKeys>(p, head, row, first_sums, second_sums);
}

LaunchConfig configure(const char* kernel, const HeadLayout& layout, int warps) {
  return {.kernel = kernel,
          .grid = {layout.count, ceil_div(layout.length, warps * kRows)},
          .threads = warps * kWarp,
          .shared_bytes = static_cast<size_t>(kSharedRows * tile_stride(layout.head_dim)) * sizeof(float)};
}

template <typename T>
void forward(const AttentionForward& p, const ExecContext& ctx) {
  const AttentionForwardArguments<T> a(p);
  launch(configure("attention_forward_any_kernel", a.layout, kForwardWarps), attention_forward_any_kernel<T>,
         ctx, a);
}

template <typename T>
void backward(const AttentionBackward& p, const ExecContext& ctx) {
  AttentionBackwardArguments<T> a(p);
  ScratchPlan plan;
  const auto delta = plan.add<float>(p.lse.elements());
  plan.reserve(ctx);
  a.delta = plan[delta];
  const LaunchConfig config = configure("attention_backward_any_kernel", a.layout, kBackwardWarps);
  launch(config, attention_backward_any_kernel<T, false>, ctx, a);
  launch(config, attention_backward_any_kernel<T, true>, ctx, a);
}

}  // namespace

void attention_forward_any(const AttentionForward& p, const ExecContext& ctx) {
  p.qkv.dtype == DType::f32 ? forward<float>(p, ctx) : forward<bfloat16>(p, ctx);
}

void attention_backward_any(const AttentionBackward& p, const ExecContext& ctx) {
  p.qkv.dtype == DType::f32 ? backward<float>(p, ctx) : backward<bfloat16>(p, ctx);
}

}  // namespace cuclip
