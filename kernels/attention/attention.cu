// Attention forward on CUDA: bf16 on tensor cores, head dimensions 32, 64, 80 and 128.
//
// Threads: a warp takes 16 queries at a time (forward_strip.cuh). A block is one (batch, head), blockIdx.x.
// Where they fit, the K and V of all keys are in shared memory: length * head_dim * 4 bytes, plus a strip of
// Q, later of the result, for each warp. Then Q, K and V are read once and out and lse are written once:
// 8 * head_dim + 4 bytes per token and head. Where they do not fit, a block has 128 queries (blockIdx.y), and
// the keys stream through two buffers, 64 at a time, once for each block.
#include "kernels/attention/attention_any.h"
#include "kernels/attention/attention_cuda.h"
#include "kernels/attention/forward_strip.cuh"
#include "kernels/attention/tensor_core_heads.cuh"

namespace cuclip {
namespace {

using Arguments = AttentionForwardArguments<bfloat16>;

constexpr int kStreamedKeys = Tuning::Attention::kForwardBufferRows;
constexpr int kBuffers = Tuning::Attention::kBuffers;

// A head's places in memory.
struct Head {
  const bfloat16* q;
  bfloat16* out;
  float* lse;

  __device__ __forceinline__ explicit Head(const Arguments& p)
      : q(p.qkv + p.layout.projections(blockIdx.x)),
        out(p.out + p.layout.activations(blockIdx.x)),
        lse(p.lse ? p.lse + p.layout.statistics(blockIdx.x) : nullptr) {}
};

// Copies the strip of queries that starts at `row` to the warp's rows of `stage`.
template <int kHeadDim>
__device__ __forceinline__ void stage_queries(const Arguments& p, const Head& head, int row,
                                              const HeadTile<kHeadDim>& stage, int stage_row) {
  stage_strip(stage, stage_row, head.q + row * p.layout.projection_stride(),
              static_cast<int>(p.layout.projection_stride()), static_cast<int>(p.layout.length) - row);
}

// Begins to copy keys and values, starting at `first`.
template <int kHeadDim>
__device__ __forceinline__ void copy_keys(const Arguments& p, const Head& head, int first,
                                          const HeadTile<kHeadDim>& k, const HeadTile<kHeadDim>& v) {
  const bfloat16* keys = head.q + p.layout.width + first * p.layout.projection_stride();
  const int valid = static_cast<int>(p.layout.length) - first;
  copy_in(k, keys, p.layout.projection_stride(), valid);
  copy_in(v, keys + p.layout.width, p.layout.projection_stride(), valid);
}

template <int kHeadDim>
__global__ void __launch_bounds__(kMaxThreads, Tuning::Attention::forward_blocks(kHeadDim))
    attention_forward_kernel(const Arguments p) {
  using Tile = HeadTile<kHeadDim>;
  extern __shared__ Vec<bfloat16> shared[];
  const int length = static_cast<int>(p.layout.length),
            rows = (length + kStripRows - 1) / kStripRows * kStripRows;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, warps = static_cast<int>(blockDim.x) / kWarp;
  const Tile k{shared, rows}, v{k.chunks + Tile::chunks_of(rows), rows};
  const Tile stage{v.chunks + Tile::chunks_of(rows), warps * kStripRows};
  const Head head(p);
  copy_keys(p, head, 0, k, v);
  async_commit();
  const int warp_row = warp * kStripRows;
  for (int row = warp_row; row < length; row += warps * kStripRows) {
    stage_queries(p, head, row, stage, warp_row);
    if (row == warp_row) {  // every warp has a first strip
      async_wait<0>();
      __syncthreads();
    }
    ForwardStrip<kHeadDim> strip(p.layout, row, stage, warp_row);
    strip.attend(k, v, 0, length);
    strip.finish(stage, warp_row, head.out, head.lse);
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kMaxThreads, Tuning::Attention::forward_blocks(kHeadDim))
    attention_forward_streamed_kernel(const Arguments p) {
  using Tile = HeadTile<kHeadDim>;
  extern __shared__ Vec<bfloat16> shared[];
  const int length = static_cast<int>(p.layout.length);
  const int warp_row = static_cast<int>(threadIdx.x) / kWarp * kStripRows;
  const int first = static_cast<int>(blockIdx.y) * kStreamedRows;
  const Tile stage{shared, kStreamedRows};
  const auto buffer = [&](int block, int matrix) {
    const int number = block % kBuffers * 2 + matrix;
    return Tile{shared + Tile::chunks_of(kStreamedRows + number * kStreamedKeys), kStreamedKeys};
  };
  const Head head(p);
  const int end = p.layout.visible_keys(min(first + kStreamedRows, length) - 1);
  const int blocks = (end + kStreamedKeys - 1) / kStreamedKeys;
  copy_keys(p, head, 0, buffer(0, 0), buffer(0, 1));
  async_commit();
  stage_queries(p, head, first + warp_row, stage, warp_row);
  async_wait<0>();
  __syncthreads();
  ForwardStrip<kHeadDim> strip(p.layout, first + warp_row, stage, warp_row);
  for (int block = 0; block < blocks; ++block) {
    if (block + 1 < blocks) {
      copy_keys(p, head, (block + 1) * kStreamedKeys, buffer(block + 1, 0), buffer(block + 1, 1));
    }
    async_commit();
    const int key = block * kStreamedKeys;
    if (first + warp_row < length) {  // the last block may have warps without queries
      strip.attend(buffer(block, 0), buffer(block, 1), key, min(key + kStreamedKeys, length));
    }
    async_wait<0>();
    __syncthreads();
  }
  strip.finish(stage, warp_row, head.out, head.lse);
}

template <int kHeadDim>
void launch_forward(const Arguments& p, const ExecContext& ctx) {
  using Tile = HeadTile<kHeadDim>;
  const int warps = warps_of_head(p.layout.length);
  const int64_t resident =
      Tile::bytes_of(1) * (2 * round_up(p.layout.length, kStripRows) + warps * kStripRows);
  if (resident <= static_cast<int64_t>(max_shared_bytes())) {
    launch({.kernel = "attention_forward_kernel",
            .grid = {p.layout.count},
            .threads = warps * kWarp,
            .shared_bytes = static_cast<size_t>(resident)},
           attention_forward_kernel<kHeadDim>, ctx, p);
    return;
  }
  launch({.kernel = "attention_forward_streamed_kernel",
          .grid = {p.layout.count, ceil_div(p.layout.length, kStreamedRows)},
          .threads = kMaxThreads,
          .shared_bytes = Tile::bytes_of(kStreamedRows + 2 * kBuffers * kStreamedKeys)},
         attention_forward_streamed_kernel<kHeadDim>, ctx, p);
}

}  // namespace

void attention_forward_cuda(const AttentionForward& p, const ExecContext& ctx) {
  const HeadLayout layout(p.qkv, p.heads, p.causal);
  const auto launch_it = [&](auto head_dim) { launch_forward<decltype(head_dim)::value>(Arguments(p), ctx); };
  if (layout.count > 0 && !with_tensor_cores(layout, p.qkv.dtype, launch_it, p.qkv.data, p.out.data)) {
    attention_forward_any(p, ctx);
  }
}

}  // namespace cuclip
