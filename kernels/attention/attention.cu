// Attention forward on CUDA: bf16 on tensor cores, head dimensions 32, 64, 80 and 128.
//
// Threads: a warp takes a strip of 16 queries at a time, or of 32, so that what it loads of K and V serves
// both halves (forward_strip.cuh). A block is one (batch, head), blockIdx.x. Where a multiprocessor has room
// for two such blocks, of which one loads while the other computes, the K and V of all keys are in shared
// memory: length * head_dim * 4 bytes, plus 16 rows of Q, later of the result, for each warp. Then Q, K and V
// are read once and out and lse are written once: 8 * head_dim + 4 bytes per token and head. (Head dimensions
// of 80 and 128 have one block on a multiprocessor.) Where they do not fit, a block has 128 queries
// (blockIdx.y), and the keys stream through two buffers, 64 at a time, once for each block.
#include "kernels/attention/attention_any.h"
#include "kernels/attention/attention_cuda.h"
#include "kernels/attention/forward_strip.cuh"
#include "kernels/attention/tensor_core_heads.cuh"

namespace cuclip {
namespace {

using Arguments = AttentionForwardArguments<bfloat16>;

constexpr int kStreamedKeys = Tuning::Attention::kForwardBufferRows;
constexpr int kBuffers = Tuning::Attention::kBuffers;
constexpr int kTallWarps = Tuning::Attention::kTallWarps;

// Of a block that streams, with strips of so many tiles, and the rows that it owns.
constexpr int streamed_warps(int tiles) {
  return tiles == 1 ? kMaxWarps : Tuning::Attention::kTallStreamedWarps;
}
constexpr int streamed_rows(int tiles) { return streamed_warps(tiles) * tiles * kStripRows; }

// A head's places in memory. They are found where they are needed, not kept in registers meanwhile.
struct Head {
  const bfloat16* q;
  bfloat16* out;
  float* lse;

  __device__ __forceinline__ explicit Head(const Arguments& p)
      : Head(p, static_cast<unsigned>(hidden(static_cast<int>(blockIdx.x)))) {}

 private:
  __device__ __forceinline__ Head(const Arguments& p, unsigned number)
      : q(p.qkv + p.layout.projections(number)),
        out(p.out + p.layout.activations(number)),
        lse(p.lse ? p.lse + p.layout.statistics(number) : nullptr) {}
};

// The warp's number, and how many there are.
__device__ __forceinline__ int own_warp() { return hidden(static_cast<int>(threadIdx.x)) / kWarp; }
__device__ __forceinline__ int block_warps() { return hidden(static_cast<int>(blockDim.x)) / kWarp; }

// Begins to copy keys and values, starting at `first`, eight rows to a warp at a time: so a lane's places in
// the swizzle are the same for all of them.
template <int kHeadDim>
__device__ __forceinline__ void copy_keys(const Arguments& p, int first, const HeadTile<kHeadDim>& k,
                                          const HeadTile<kHeadDim>& v) {
  constexpr int kRowsTogether = 8;
  const int64_t stride = p.layout.projection_stride();
  const bfloat16* keys = Head(p).q + p.layout.width + first * stride;
  const int valid = static_cast<int>(p.layout.length) - first, rows_of_block = block_warps() * kRowsTogether;
#pragma unroll 1
  for (int row = own_warp() * kRowsTogether; row < k.rows; row += rows_of_block) {
    for_each_chunk_of_warp<kHeadDim, kRowsTogether>([&](int r, int chunk) {
      const bfloat16* key = keys + (row + r) * stride + chunk * 8;
      const bool there = row + r < valid;
      async_copy_16(shared_address(k.at(row, r, chunk)), key, there);
      async_copy_16(shared_address(v.at(row, r, chunk)), key + p.layout.width, there);
    });
  }
}

// The warp's number, as ptxas knows that all its lanes have the same: else it expects them to part.
__device__ __forceinline__ int uniform_warp() { return __shfl_sync(kAllLanes, own_warp(), 0); }

// The tiles in shared memory of a block that has a whole head.
template <int kHeadDim>
struct Places {
  using Tile = HeadTile<kHeadDim>;
  Tile k, v, stage;

  __device__ __forceinline__ Places(Vec<bfloat16>* shared, int tiles)
      : k{shared, tiles * kStripRows},
        v{k.chunks + Tile::chunks_of(k.rows), k.rows},
        stage{v.chunks + Tile::chunks_of(k.rows), block_warps() * kStripRows} {}
};

// A round of strips has kTiles tiles for each warp, or one where no more are left than there are warps.
// Between a strip's beginning and its end a warp keeps no more than it must: ptxas would spill the rest.
template <int kHeadDim, int kTiles>
__global__ void __launch_bounds__((kTiles == 1 ? kMaxWarps : kTallWarps) * kWarp,
                                  Tuning::Attention::forward_blocks(kHeadDim))
    attention_forward_kernel(const Arguments p) {
  extern __shared__ __align__(kTileAlignment) Vec<bfloat16> shared[];
  const int tiles = (static_cast<int>(p.layout.length) + kStripRows - 1) / kStripRows;
  const int warps = static_cast<int>(blockDim.x) / kWarp, warp = uniform_warp();
  {
    const Places<kHeadDim> places(shared, hidden(tiles));
    copy_keys(p, 0, places.k, places.v);
    async_commit();
  }
  for (int done = 0, height; done < tiles; done += warps * height) {
    height = tiles - done > warps ? kTiles : 1;
    const auto rows = [&] {
      const int tile =
          done + (kTiles == 1 ? warp : uniform_warp()) * height;  // ptxas knows it better, or anew
      return StripRows{tile * kStripRows, min(height, tiles - tile)};
    };
    ForwardStrip<kHeadDim, kTiles> strip(p.layout);
    {
      const StripRows own = rows();
      const Places<kHeadDim> places(shared, hidden(tiles));
      strip.load_queries(own, Head(p).q, places.stage, own_warp() * kStripRows);
      if (done == 0) {
        async_wait<0>();
        __syncthreads();
      }
      strip.attend(own, places.k, places.v, 0, static_cast<int>(p.layout.length));
    }
    const Places<kHeadDim> places(shared, hidden(tiles));
    const Head head(p);
    strip.finish(rows(), places.stage, own_warp() * kStripRows, head.out, head.lse);
  }
}

template <int kHeadDim, int kTiles>
__global__ void __launch_bounds__(streamed_warps(kTiles) * kWarp,
                                  kTiles == 1 ? Tuning::Attention::forward_blocks(kHeadDim)
                                              : Tuning::Attention::kTallStreamedBlocks)
    attention_forward_streamed_kernel(const Arguments p) {
  using Tile = HeadTile<kHeadDim>;
  extern __shared__ __align__(kTileAlignment) Vec<bfloat16> shared[];
  const int length = static_cast<int>(p.layout.length);
  const Tile stage{shared, streamed_warps(kTiles) * kStripRows};
  const auto buffer = [&](int key, int matrix) {
    const int number = key / kStreamedKeys % kBuffers * 2 + matrix;
    return Tile{shared + Tile::chunks_of(stage.rows + number * kStreamedKeys), kStreamedKeys};
  };
  const auto rows = [&] {  // the last block may have warps with fewer tiles, or none
    const int row =
        hidden(static_cast<int>(blockIdx.y)) * streamed_rows(kTiles) + uniform_warp() * kTiles * kStripRows;
    return StripRows{row, max(0, min(kTiles, (length - row + kStripRows - 1) / kStripRows))};
  };
  const auto end = [&] {
    if (kTiles > 1) return length;  // without a causal mask
    return p.layout.visible_keys(min((static_cast<int>(blockIdx.y) + 1) * streamed_rows(kTiles), length) - 1);
  };
  copy_keys(p, 0, buffer(0, 0), buffer(0, 1));
  async_commit();
  ForwardStrip<kHeadDim, kTiles> strip(p.layout);
  strip.load_queries(rows(), Head(p).q, stage, own_warp() * kStripRows);
  async_wait<0>();
  __syncthreads();
  for (int first = 0; first < end(); first += kStreamedKeys) {
    const int key = hidden(first), next = key + kStreamedKeys;
    if (next < end()) copy_keys(p, next, buffer(next, 0), buffer(next, 1));
    async_commit();
    strip.attend(rows(), buffer(key, 0), buffer(key, 1), key, min(next, length));
    async_wait<0>();
    __syncthreads();
  }
  const Head head(p);
  strip.finish(rows(), stage, own_warp() * kStripRows, head.out, head.lse);
}

// Whether a multiprocessor has shared memory for so many blocks. It has 1 KB more than a block may ask for,
// and takes 1 KB for each.
bool blocks_fit(int blocks, int64_t bytes) {
  return blocks * (bytes + 1024) <= static_cast<int64_t>(max_shared_bytes()) + 1024;
}

template <int kHeadDim, int kTiles>
void launch_strips(const Arguments& p, const ExecContext& ctx) {
  using Tile = HeadTile<kHeadDim>;
  const int64_t tiles = ceil_div(p.layout.length, kStripRows);
  const int warps = kTiles == 1 ? warps_of_head(p.layout.length)
                                : static_cast<int>(std::min<int64_t>(ceil_div(tiles, kTiles), kTallWarps));
  const int64_t resident = Tile::bytes_of(kStripRows) * (2 * tiles + warps);
  if (blocks_fit(Tuning::Attention::forward_blocks(kHeadDim), resident)) {
    launch({.kernel = "attention_forward_kernel",
            .grid = {p.layout.count},
            .threads = warps * kWarp,
            .shared_bytes = static_cast<size_t>(resident)},
           attention_forward_kernel<kHeadDim, kTiles>, ctx, p);
    return;
  }
  launch({.kernel = "attention_forward_streamed_kernel",
          .grid = {p.layout.count, ceil_div(p.layout.length, streamed_rows(kTiles))},
          .threads = streamed_warps(kTiles) * kWarp,
          .shared_bytes = Tile::bytes_of(streamed_warps(kTiles) * kStripRows + 2 * kBuffers * kStreamedKeys)},
         attention_forward_streamed_kernel<kHeadDim, kTiles>, ctx, p);
}

// Strips of two tiles where a head has more tiles than a block has warps, so that K and V are read half as
// often. Not with a causal mask, where the two would see different keys.
template <int kHeadDim>
void launch_forward(const Arguments& p, const ExecContext& ctx) {
  if constexpr (kHeadDim == Tuning::Attention::kTallHeadDim) {
    if (!p.layout.causal && p.layout.length > kMaxWarps * kStripRows) {
      launch_strips<kHeadDim, 2>(p, ctx);
      return;
    }
  }
  launch_strips<kHeadDim, 1>(p, ctx);
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
