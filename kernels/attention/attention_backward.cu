// Attention backward on CUDA: bf16 on tensor cores, head dimensions 32, 64, 80 and 128.
//
// Threads: a warp takes 16 keys at a time for dk and dv, then 16 queries for dq (gradient_strip.cuh): seven
// products instead of five, but every sum stays in one warp's registers, without atomics and in one order. A
// block is one (batch, head), blockIdx.x. Where they fit, q, k, v, dout, lse and delta are in shared memory,
// 8 * head_dim + 8 bytes per token, plus a strip for each warp, through which results are written: q, k, v,
// out, dout and lse are read once, dq, dk and dv written once. Where they do not fit, a block has 128
// queries or keys (blockIdx.y), and the other side streams through two buffers, 32 rows at a time; the
// queries' kernel runs first and leaves delta to the keys'.
#include "kernels/attention/attention_any.h"
#include "kernels/attention/attention_cuda.h"
#include "kernels/attention/attention_whole.h"
#include "kernels/attention/gradient_strip.cuh"
#include "kernels/attention/tensor_core_heads.cuh"
#include "kernels/common/scratch_plan.h"

namespace cuclip {
namespace {

using Arguments = AttentionBackwardArguments<bfloat16>;
using Head = BackwardHead<bfloat16>;

constexpr int kBufferRows = Tuning::Attention::kBackwardBufferRows;
constexpr int kBuffers = Tuning::Attention::kBuffers;

// Begins to copy rows of a side's two matrices, starting at `row`.
template <bool kKeys, int kHeadDim>
__device__ __forceinline__ void copy_side(const Arguments& p, const Head& head, int row,
                                          const HeadTile<kHeadDim>& first, const HeadTile<kHeadDim>& second) {
  const int64_t stride = p.layout.projection_stride(), width = p.layout.width;
  const int valid = static_cast<int>(p.layout.length) - row;
  const bfloat16* q = head.q + row * stride;
  copy_in(first, kKeys ? q + width : q, stride, valid);
  copy_in(second, kKeys ? q + 2 * width : head.dout + row * width, kKeys ? stride : width, valid);
}

__device__ __forceinline__ void copy_exponents(const Arguments& p, const Head& head, int row, int rows,
                                               float* exponents) {
  const int left = static_cast<int>(p.layout.length) - row;
  for (int i = static_cast<int>(threadIdx.x); i < rows; i += static_cast<int>(blockDim.x)) {
    exponents[i] = i < left ? head.lse[row + i] * kLog2E : 0.0f;
  }
}

// delta = dout . out for the tile's rows, which are the head's rows from `row` onwards.
template <int kHeadDim>
__device__ __forceinline__ void find_delta(const Arguments& p, const Head& head, int row,
                                           const HeadTile<kHeadDim>& dout, float* delta) {
  constexpr int kChunks = HeadTile<kHeadDim>::kChunks, kLanes = kChunks < 8 ? kChunks : 8;
  const int lane = static_cast<int>(threadIdx.x) % kLanes, step = static_cast<int>(blockDim.x) / kLanes;
  // Whole warps: a warp's rows are 4 or 8 of the tile's, which has a multiple of 16.
  for (int i = static_cast<int>(threadIdx.x) / kLanes; i < dout.rows; i += step) {
    float sum = 0.0f;
    for (int chunk = lane; chunk < kChunks; chunk += kLanes) {
      if (row + i >= p.layout.length) break;
      float a[8], b[8];
      unpack(load_vec(head.out + (row + i) * p.layout.width + chunk * 8), a);
      unpack(*dout.at(0, i, chunk), b);
#pragma unroll
      for (int j = 0; j < 8; ++j) sum = fmaf(a[j], b[j], sum);
    }
    sum = warp_sum<kLanes>(sum);
    if (lane == 0) delta[i] = sum;
  }
}

template <bool kKeys, int kHeadDim>
__device__ __forceinline__ void write_gradients(const Arguments& p, const Head& head,
                                                const HeadTile<kHeadDim> (&own)[2],
                                                const HeadTile<kHeadDim> (&other)[2],
                                                const QueryStatistics& queries,
                                                const HeadTile<kHeadDim>& stage) {
  const int length = static_cast<int>(p.layout.length),
            warp_row = static_cast<int>(threadIdx.x) / kWarp * kStripRows;
  for (int row = warp_row; row < length; row += stage.rows) {
    GradientStrip<kHeadDim, kKeys> strip(p.layout, row, own[0], own[1], row);
    strip.attend(other[0], other[1], queries, 0, length);
    strip.finish(stage, warp_row, kKeys ? head.dq + p.layout.width : head.dq);
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kMaxThreads) attention_backward_kernel(const Arguments p) {
  using Tile = HeadTile<kHeadDim>;
  extern __shared__ Vec<bfloat16> shared[];
  const int length = static_cast<int>(p.layout.length),
            rows = (length + kStripRows - 1) / kStripRows * kStripRows;
  const auto tile = [&](int number) { return Tile{shared + number * Tile::chunks_of(rows), rows}; };
  const Tile queries[] = {tile(0), tile(1)}, keys[] = {tile(2), tile(3)};
  const Tile stage{tile(4).chunks, static_cast<int>(blockDim.x) / kWarp * kStripRows};
  float* exponents = reinterpret_cast<float*>(stage.chunks + Tile::chunks_of(stage.rows));
  const QueryStatistics statistics{exponents, exponents + rows};
  const Head head(p);
  copy_side<false>(p, head, 0, queries[0], queries[1]);
  copy_side<true>(p, head, 0, keys[0], keys[1]);
  async_commit();
  copy_exponents(p, head, 0, rows, statistics.exponents);
  async_wait<0>();
  __syncthreads();
  find_delta(p, head, 0, queries[1], statistics.delta);
  __syncthreads();
  write_gradients<true>(p, head, keys, queries, statistics, stage);
  write_gradients<false>(p, head, queries, keys, statistics, stage);
}

// kKeys: the block owns keys, and queries stream; otherwise the other way round. Shared memory: the own rows'
// two matrices, later the results; the buffers; the statistics of the own queries or of each buffer's.
template <int kHeadDim, bool kKeys>
__global__ void __launch_bounds__(kMaxThreads) attention_backward_streamed_kernel(const Arguments p) {
  using Tile = HeadTile<kHeadDim>;
  extern __shared__ Vec<bfloat16> shared[];
  const int length = static_cast<int>(p.layout.length);
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kStripRows;
  const int row = static_cast<int>(blockIdx.y) * kStreamedRows;
  const Tile own[] = {{shared, kStreamedRows}, {shared + Tile::chunks_of(kStreamedRows), kStreamedRows}};
  Vec<bfloat16>* buffers = shared + Tile::chunks_of(2 * kStreamedRows);
  const auto buffer = [&](int block, int matrix) {
    return Tile{buffers + Tile::chunks_of((block % kBuffers * 2 + matrix) * kBufferRows), kBufferRows};
  };
  float* floats = reinterpret_cast<float*>(buffers + Tile::chunks_of(2 * kBuffers * kBufferRows));
  const auto statistics = [&](int block) {
    float* exponents = floats + (kKeys ? block % kBuffers * kBufferRows : 0);
    return QueryStatistics{exponents, exponents + kStreamedRows};
  };
  const Head head(p);
  const auto copy_block = [&](int block) {
    const int first = block * kBufferRows;
    copy_side<!kKeys>(p, head, first, buffer(block, 0), buffer(block, 1));
    if constexpr (kKeys) {
      copy_exponents(p, head, first, kBufferRows, statistics(block).exponents);
      const int i = static_cast<int>(threadIdx.x);
      if (i < kBufferRows) statistics(block).delta[i] = first + i < length ? head.delta[first + i] : 0.0f;
    }
  };
  const int end = kKeys ? length : p.layout.visible_keys(min(row + kStreamedRows, length) - 1);
  const int begin_block = kKeys && p.layout.causal ? row / kBufferRows : 0;
  const int end_block = (end + kBufferRows - 1) / kBufferRows;
  copy_side<kKeys>(p, head, row, own[0], own[1]);
  copy_block(begin_block);
  async_commit();
  if constexpr (!kKeys) copy_exponents(p, head, row, kStreamedRows, statistics(0).exponents);
  async_wait<0>();
  __syncthreads();
  if constexpr (!kKeys) {
    find_delta(p, head, row, own[1], statistics(0).delta);
    __syncthreads();
    const int i = static_cast<int>(threadIdx.x);
    if (i < kStreamedRows && row + i < length) head.delta[row + i] = statistics(0).delta[i];
  }
  GradientStrip<kHeadDim, kKeys> strip(p.layout, row + warp_row, own[0], own[1], warp_row);
  for (int block = begin_block; block < end_block; ++block) {
    if (block + 1 < end_block) copy_block(block + 1);
    async_commit();
    const int first = block * kBufferRows;
    if (row + warp_row < length) {  // the last block may have warps without rows
      strip.attend(buffer(block, 0), buffer(block, 1), statistics(block), first,
                   min(first + kBufferRows, length));
    }
    async_wait<0>();
    __syncthreads();
  }
  strip.finish(own[0], warp_row, kKeys ? head.dq + p.layout.width : head.dq);
}

template <int kHeadDim>
void launch_streamed(const AttentionBackward& p, Arguments a, const ExecContext& ctx) {
  ScratchPlan plan;
  const auto delta = plan.add<float>(p.lse.elements());
  plan.reserve(ctx);
  a.delta = plan[delta];
  const LaunchConfig config{
      .kernel = "attention_backward_streamed_kernel",
      .grid = {a.layout.count, ceil_div(a.layout.length, kStreamedRows)},
      .threads = kMaxThreads,
      .shared_bytes = HeadTile<kHeadDim>::bytes_of(2 * (kStreamedRows + kBuffers * kBufferRows)) +
                      2 * kStreamedRows * sizeof(float)};
  launch(config, attention_backward_streamed_kernel<kHeadDim, false>, ctx, a);
  launch(config, attention_backward_streamed_kernel<kHeadDim, true>, ctx, a);
}

template <int kHeadDim>
void launch_backward(const AttentionBackward& p, const ExecContext& ctx) {
  if constexpr (kHeadDim == 64) {
    if (attention_backward_whole(p, ctx)) return;
  }
  const Arguments a(p);
  const int warps = warps_of_head(a.layout.length);
  const int64_t rows = round_up(a.layout.length, kStripRows);
  const int64_t resident = HeadTile<kHeadDim>::bytes_of(1) * (4 * rows + warps * kStripRows) +
                           2 * rows * static_cast<int64_t>(sizeof(float));
  if (resident > static_cast<int64_t>(max_shared_bytes())) return launch_streamed<kHeadDim>(p, a, ctx);
  launch({.kernel = "attention_backward_kernel",
          .grid = {a.layout.count},
          .threads = warps * kWarp,
          .shared_bytes = static_cast<size_t>(resident)},
         attention_backward_kernel<kHeadDim>, ctx, a);
}

}  // namespace

void attention_backward_cuda(const AttentionBackward& p, const ExecContext& ctx) {
  const HeadLayout layout(p.qkv, p.heads, p.causal);
  const auto launch_it = [&](auto head_dim) { launch_backward<decltype(head_dim)::value>(p, ctx); };
  if (layout.count > 0 &&
      !with_tensor_cores(layout, p.qkv.dtype, launch_it, p.qkv.data, p.out.data, p.dout.data, p.dqkv.data)) {
    attention_backward_any(p, ctx);
  }
}

}  // namespace cuclip
