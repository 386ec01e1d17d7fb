// Attention backward of heads of dimension 64 in bf16 that a block holds whole, in five products
// (key_strips.cuh). A block is one (batch, head); q, k, v, out, dout and lse are read once, dq, dk and dv
// written once.
//
// Up to 80 tokens: a warp for each strip of 16 keys, everything in shared memory, three or four blocks on a
// multiprocessor. Longer: a warp has two strips, and 8 warps take all registers of a multiprocessor; queries
// come 64 at a time through two buffers, and dq leaves in between. dS takes the place of v, which the warps
// hold.
#include <algorithm>

#include "kernels/attention/attention_whole.h"
#include "kernels/attention/extra_strip.cuh"
#include "kernels/attention/key_strips.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/tuning.h"

namespace cuclip {
namespace {

using Arguments = AttentionBackwardArguments<bfloat16>;
using Strips = KeyStripShape;
using Tile = HeadTile<Strips::kHeadDim>;
using Head = BackwardHead<bfloat16>;

constexpr int kChunks = Tile::kChunks;
constexpr int kHeadBytes = 128;  // for a Head
constexpr int kShortStrips = 5;
constexpr int kShortBlocks = 3;  // of a multiprocessor: 128 registers
constexpr int kWholeWarps = Tuning::Attention::kMaxWarps;
constexpr int kOwnedStrips = 2 * kWholeWarps;  // at most
constexpr int kBlockRows = kBlockStrips * kStripRows;
constexpr int kBufferBytes = kBlockStrips * Strips::kQueryStripBytes;
constexpr int kOutBytes = kBlockRows * Strips::kHeadDim * 2;

// Copies a matrix of a head to shared memory, whole strips, with zeros beyond its last row.
__device__ __forceinline__ void copy_matrix(const HeadLayout& layout, char* tile, const bfloat16* matrix,
                                            int strips) {
  const int length = static_cast<int>(layout.length);
  for_each_chunk<Strips::kHeadDim>(
      strips * kStripRows, fresh_thread(), static_cast<int>(blockDim.x), [&](int row, int chunk) {
        async_copy_16(shared_address(reinterpret_cast<Vec<bfloat16>*>(tile) + swizzle<kChunks>(row, chunk)),
                      matrix + row * layout.projection_stride() + chunk * 8, row < length);
      });
}

__device__ __forceinline__ float dot8(const Vec<bfloat16>& a, const Vec<bfloat16>& b) {
  float x[8], y[8], sum = 0.0f;
  unpack(a, x);
  unpack(b, y);
#pragma unroll
  for (int i = 0; i < 8; ++i) sum = fmaf(x[i], y[i], sum);
  return sum;
}

// Notes what belongs to a row of a strip of queries.
__device__ __forceinline__ void set_query(char* strip, int row, float lse, float delta) {
  QueryPair& pair = reinterpret_cast<QueryPair*>(strip + Strips::kPairsPlace)[row / 2];
  pair.exponents[row % 2] = lse * kLog2E;
  pair.deltas[row % 2] = delta;
}

// Begins to copy a chunk of q and of dout to their places in strips of queries.
__device__ __forceinline__ void copy_query_chunk(const Arguments& p, const Head& head, char* strips, int row,
                                                 int chunk, int query) {
  const bool there = query < p.layout.length;
  char* rows = strips + row / kStripRows * Strips::kQueryStripBytes;
  const uint32_t place = shared_address(strip_tile(rows).at(0, row % kStripRows, chunk));
  async_copy_16(place, head.q + query * p.layout.projection_stride() + chunk * 8, there);
  async_copy_16(place + Strips::kStripBytes, head.dout + query * p.layout.width + chunk * 8, there);
}

// dq of a strip of queries: kSquares squares of columns from the first.
template <int kSquares>
__device__ __forceinline__ void write_query_gradient(const Arguments& p, const Head& head,
                                                     const SquareLanes& lanes, int query,
                                                     const char* gradients, const char* keys,
                                                     int first_square, const Tile& stage, int strips) {
  float sums[2 * kSquares][4] = {};
  add_query_gradient<kSquares>(sums, lanes, shared_address(gradients), shared_address(keys), first_square,
                               p.layout.causal ? query + 1 : strips);
  const int64_t row = query * kStripRows, stride = p.layout.projection_stride();
  store_columns<kSquares>(sums, p.layout.scale, stage, first_square, head.dq + row * stride, stride,
                          static_cast<int>(p.layout.length - row));
}

// Shared memory: k; q and dout, strip by strip; the queries' pairs; v, later dS.
__global__ void __launch_bounds__(kShortStrips* kWarp, kShortBlocks)
    attention_backward_short_kernel(const Arguments p) {
  extern __shared__ __align__(128) char shared[];
  const int strips = static_cast<int>(blockDim.x) / kWarp, own = fresh_thread() / kWarp,
            lane = fresh_thread() % kWarp, length = static_cast<int>(p.layout.length);
  char *keys = shared, *queries = keys + strips * Strips::kStripBytes;
  Head* head_later = reinterpret_cast<Head*>(queries + strips * Strips::kQueryStripBytes);
  char* values = queries + strips * Strips::kQueryStripBytes + kHeadBytes;
  const Head head(p);
  if (threadIdx.x == 0) *head_later = head;
  copy_matrix(p.layout, keys, head.q + p.layout.width, strips);
  copy_matrix(p.layout, values, head.q + 2 * p.layout.width, strips);
  for_each_chunk<Strips::kHeadDim>(
      strips * kStripRows, fresh_thread(), static_cast<int>(blockDim.x),
      [&](int row, int chunk) { copy_query_chunk(p, head, queries, row, chunk, row); });
  async_commit();

  // A warp's lanes have four rows of its strip's out at a time, a chunk each.
  constexpr int kRounds = kStripRows * kChunks / kWarp;
  Vec<bfloat16> out[kRounds] = {};
  float lse[kRounds] = {};
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int row = own * kStripRows + i * (kWarp / kChunks) + lane / kChunks;
    if (row >= length) continue;
    out[i] = load_vec(head.out + row * p.layout.width + lane % kChunks * 8);
    if (lane % kChunks == 0) lse[i] = head.lse[row];
  }
  async_wait<0>();
  __syncthreads();

  const SquareLanes lanes(threadIdx.x);
  const Tile own_queries = strip_tile(queries + own * Strips::kQueryStripBytes),
             own_dout = strip_tile(queries + own * Strips::kQueryStripBytes + Strips::kStripBytes);
#pragma unroll
  for (int i = 0; i < kRounds; ++i) {
    const int row = i * (kWarp / kChunks) + lane / kChunks;
    const float delta = warp_sum<kChunks>(dot8(out[i], *own_dout.at(0, row, lane % kChunks)));
    if (lane % kChunks == 0) set_query(queries + own * Strips::kQueryStripBytes, row, lse[i], delta);
  }
  KeyStrips<1> strip(p.layout, lanes, shared_address(keys), shared_address(values), 1, 1);
  __syncthreads();  // the pairs are there, and v is in registers
  const auto gradients = [&](int query) { return values + query * strips * Strips::kWeightBytes; };
  for (int query = p.layout.causal ? own : 0; query < strips; ++query) {
    strip.attend(query, queries + query * Strips::kQueryStripBytes, gradients(query));
  }
  __syncthreads();
  // What follows is computed again, so that registers need not keep it: the loop above has none to spare.
  const int warp = fresh_thread() / kWarp, last_strips = static_cast<int>(blockDim.x) / kWarp;
  char* later_queries = shared + last_strips * Strips::kStripBytes + warp * Strips::kQueryStripBytes;
  const Head* later =
      reinterpret_cast<Head*>(shared + last_strips * (Strips::kStripBytes + Strips::kQueryStripBytes));
  const char* later_gradients =
      reinterpret_cast<const char*>(later) + kHeadBytes + warp * last_strips * Strips::kWeightBytes;
  strip.finish(later->dq + p.layout.width,
               [&](int) { return strip_tile(later_queries + Strips::kStripBytes); });
  write_query_gradient<Strips::kSquares>(p, *later, SquareLanes(threadIdx.x), warp, later_gradients, shared,
                                         0, strip_tile(later_queries), last_strips);
}

// Shared memory: k; dS of a block of queries, over v but for the extra strip's; two buffers of strips of
// queries; out and lse of a block; the head's places. With an extra strip: that, and where dq is rearranged,
// elsewhere in its q.
struct WholePlaces {
  int values, gradients, buffers, out, lse, head, extra, stage, end;

  __host__ __device__ constexpr WholePlaces(int strips, bool has_extra)
      : values((strips + (has_extra ? 1 : 0)) * Strips::kStripBytes),
        gradients(strips * Strips::kStripBytes),
        buffers(values + strips * Strips::kStripBytes),
        out(buffers + 2 * kBufferBytes),
        lse(out + kOutBytes),
        head(lse + kBlockRows * 4),
        extra(head + kHeadBytes),
        stage(extra + (has_extra ? ExtraStrip::kBytes : 0)),
        end(stage + (has_extra ? kBlockStrips * Strips::kStripBytes : 0)) {}
};

// A head's shared memory, and the copies to it. A block of queries is kBlockStrips strips from the first.
struct WholeHead {
  const Arguments& p;
  char* shared;
  int strips;
  WholePlaces places;

  __device__ __forceinline__ char* keys() const { return shared; }
  __device__ __forceinline__ char* values() const { return shared + places.values; }
  __device__ __forceinline__ Head* head() const { return reinterpret_cast<Head*>(shared + places.head); }
  __device__ __forceinline__ char* queries(int strip) const {
    return shared + places.buffers + in_block(strip, 2 * kBlockStrips) * Strips::kQueryStripBytes;
  }
  __device__ __forceinline__ char* weights(int query, int key) const {
    return shared + places.gradients + (in_block(query) * strips + key) * Strips::kWeightBytes;
  }
  __device__ __forceinline__ int end_of(int first) const { return min(first + kBlockStrips, strips); }
  __device__ __forceinline__ int chunks_of(int first) const {
    return (end_of(first) - first) * kStripRows * kChunks;
  }

  __device__ __forceinline__ void copy_block(int first, const Head& from) const {
    const int length = static_cast<int>(p.layout.length);
    for (int i = fresh_thread(); i < chunks_of(first); i += static_cast<int>(blockDim.x)) {
      const int row = i / kChunks, chunk = i % kChunks, query = first * kStripRows + row;
      copy_query_chunk(p, from, queries(first), row, chunk, query);
      async_copy_16(shared_address(shared + places.out) + i * kVecBytes,
                    from.out + query * p.layout.width + chunk * 8, query < length);
      if (chunk == 0) {
        async_copy_4(shared_address(shared + places.lse) + row * 4, from.lse + query, query < length);
      }
    }
  }

  __device__ __forceinline__ void copy_head() const {
    const Head here(p);
    if (threadIdx.x == 0) *head() = here;
    copy_matrix(p.layout, keys(), here.q + p.layout.width, strips);
    copy_matrix(p.layout, values(), here.q + 2 * p.layout.width, strips);
    copy_block(0, here);
  }

  __device__ __forceinline__ void set_queries(int first) const {
    for (int i = fresh_thread(); i < chunks_of(first); i += static_cast<int>(blockDim.x)) {
      const int row = i / kChunks % kStripRows, chunk = i % kChunks;
      char* strip = queries(first) + i / (kChunks * kStripRows) * Strips::kQueryStripBytes;
      const float delta = warp_sum<kChunks>(
          dot8(load_shared_vec<bfloat16>(shared_address(shared + places.out) + i * kVecBytes),
               load_shared_vec<bfloat16>(
                   shared_address(strip_tile(strip + Strips::kStripBytes).at(0, row, chunk)))));
      if (chunk == 0) {
        set_query(strip, row, reinterpret_cast<const float*>(shared + places.lse)[i / kChunks], delta);
      }
    }
  }
};

template <bool kExtra>
__global__ void __launch_bounds__(kWholeWarps* kWarp) attention_backward_whole_kernel(const Arguments p) {
  extern __shared__ __align__(128) char shared[];
  const int strips = (static_cast<int>(p.layout.length) + kStripRows - 1) / kStripRows,
            owned = kExtra ? strips - 1 : strips, warp = fresh_thread() / kWarp,
            warps = static_cast<int>(blockDim.x) / kWarp;
  const WholeHead whole{p, shared, strips, WholePlaces(strips, kExtra)};
  whole.copy_head();
  async_commit();
  async_wait<0>();
  __syncthreads();
  const SquareLanes lanes(threadIdx.x);
  KeyStrips<2> own(p.layout, lanes, shared_address(whole.keys()), shared_address(whole.values()), warps,
                   kExtra || warp + warps < owned ? 2 : 1);
  const ExtraStrip extra(p.layout, lanes, owned, whole.keys() + owned * Strips::kStripBytes,
                         whole.values() + owned * Strips::kStripBytes, shared + whole.places.extra);
  whole.set_queries(0);
  __syncthreads();  // v is in registers, and dS may take its place

  for (int query = 0; query < strips;) {
    if (query + kBlockStrips < strips) whole.copy_block(query + kBlockStrips, *whole.head());
    async_commit();
    if constexpr (kExtra) {
      const int each = query + fresh_thread() / kWarp;
      if (each < whole.end_of(query)) extra.attend(each, whole.queries(each), whole.weights(each, owned));
    }
    do {
      own.attend(query, whole.queries(query), whole.weights(query, 0));
    } while (in_block(++query) != 0 && query < strips);
    async_wait<0>();
    __syncthreads();
    const int first = query - 1 - in_block(query - 1);
    // A piece of dq is half of a strip's columns.
    for (int piece = fresh_thread() / kWarp; piece < 2 * (query - first); piece += warps) {
      const int each = first + piece / 2;
      char* stage =
          kExtra ? shared + whole.places.stage + piece / 2 * Strips::kStripBytes : whole.queries(each);
      write_query_gradient<2>(p, *whole.head(), lanes, each, whole.weights(each, 0), whole.keys(),
                              piece % 2 * 2, strip_tile(stage), strips);
    }
    if constexpr (kExtra) {
      const int piece = fresh_thread() / kWarp;
      if (piece < ExtraStrip::kPieces) {
        extra.add(piece, first, query, whole.queries(first),
                  [&](int each) { return whole.weights(each, owned); });
      }
    }
    if (query < strips) whole.set_queries(query);
    __syncthreads();
  }
  bfloat16* gradient = whole.head()->dq + p.layout.width;
  own.finish(gradient, [&](int i) { return strip_tile(whole.keys() + own.strip(i) * Strips::kStripBytes); });
  if constexpr (kExtra) {
    const int piece = fresh_thread() / kWarp;
    if (piece < ExtraStrip::kPieces) extra.finish(piece, gradient, shared + whole.places.stage);
  }
}

void launch_short(const Arguments& a, int strips, const ExecContext& ctx) {
  const int values = std::max(strips * Strips::kStripBytes, strips * strips * Strips::kWeightBytes);
  launch({.kernel = "attention_backward_short_kernel",
          .grid = {a.layout.count},
          .threads = strips * kWarp,
          .shared_bytes = strips * (Strips::kStripBytes + Strips::kQueryStripBytes) + kHeadBytes +
                          static_cast<size_t>(values)},
         attention_backward_short_kernel, ctx, a);
}

}  // namespace

bool attention_backward_whole(const AttentionBackward& p, const ExecContext& ctx) {
  const Arguments a(p);
  const int64_t strips = ceil_div(a.layout.length, kStripRows);
  if (strips <= kShortStrips) {
    launch_short(a, static_cast<int>(strips), ctx);
    return true;
  }
  if (strips > kOwnedStrips + 1) return false;
  const bool extra = strips > kOwnedStrips;
  const LaunchConfig config{
      .kernel = "attention_backward_whole_kernel",
      .grid = {a.layout.count},
      .threads = (strips <= kWholeWarps ? kWholeWarps / 2 : kWholeWarps) * kWarp,
      .shared_bytes = static_cast<size_t>(WholePlaces(static_cast<int>(strips), extra).end)};
  if (config.shared_bytes > max_shared_bytes()) return false;
  launch(config, extra ? attention_backward_whole_kernel<true> : attention_backward_whole_kernel<false>, ctx,
         a);
  return true;
}

}  // namespace cuclip
