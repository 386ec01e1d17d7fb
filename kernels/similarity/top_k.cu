// The k most similar rows on CUDA: similarities are judged in registers, and none is stored.
//
// A block takes kTile rows of a and walks over tiles of kTile rows of b: over all of them or, where a has few
// rows, over every second, third, ... of them, so that there are some Tuning::TopK::kBlocks blocks. After a
// tile's product (product.cuh) a warp compares its similarities with the value of the last key that is kept
// for their row, a bound in shared memory, and offers those that are better to the row's list
// (best_keys.cuh). A row has a list for each block and each warp that shares it, sorted, in scratch; it is
// loaded only when something better was found: some k ln(N / k) times where the order of columns is random. A
// second kernel merges each row's lists. No two keys are equal, so that the result does not depend on the
// blocks.
//
// A list has kWarp keys at most. For a larger k all this is done once for each kWarp of k, each time for the
// keys that come after those found before.
//
// Bytes moved: the products as in cosine_similarity.cu, b's rows once more for norms that are not given; a
// list's keys, 8 bytes each, in and out when better ones were found, and once to merge it. Shared memory: 49
// KB, so that two blocks fit in 100.
#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/similarity/best_keys.cuh"
#include "kernels/similarity/similarity_cuda.h"
#include "kernels/similarity/similarity_tile.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

constexpr int kMergeWarps = 8;
constexpr int kMergeThreads = kMergeWarps * kWarp;

template <typename T>
struct BestArguments {
  SimilarityOperands<T> of;
  unsigned column_tiles;
  int kept;               // keys of a list
  int64_t lists_a_row;    // for each block and each warp that shares the row
  uint64_t* lists;        // [rows, lists_a_row, kept]
  const uint64_t* found;  // optional [rows]: only later keys count
};

// Offers to their row's list what `lanes` found to be better than its bound, and moves the bound. Half the
// warp's lanes have four neighbours each of one row, the other half of another. first: nothing was offered
// before.
template <typename T>
__device__ __forceinline__ void offer_rows(const BestArguments<T>& p, uint32_t lanes, int64_t row, int list,
                                           bool first, int64_t column, int n, const float (&v)[4],
                                           float* bound) {
  constexpr int kHalf = kWarp / 2;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  // All lanes take part in either row: the lower half with columns 0 and 1 of each four, the upper with 2, 3.
  const bool upper = lane >= kHalf;
  const float own[] = {upper ? v[2] : v[0], upper ? v[3] : v[1]};
  const float other[] = {__shfl_xor_sync(kAllLanes, upper ? v[0] : v[2], kHalf),
                         __shfl_xor_sync(kAllLanes, upper ? v[1] : v[3], kHalf)};
  const int inside = max(n, __shfl_xor_sync(kAllLanes, n, kHalf)) - (upper ? 2 : 0);
  column += upper ? 2 : 0;
#pragma unroll 1
  for (int half = 0; half < 2; ++half) {
    if ((lanes >> half * kHalf & 0xffffu) == 0) continue;
    const int64_t list_row = __shfl_sync(kAllLanes, row, half * kHalf);
    uint64_t* keys = p.lists + (list_row * p.lists_a_row + list) * p.kept;
    const uint64_t found = p.found ? p.found[list_row] : 0;  // no key is 0
    BestKeys best(p.kept, first || lane >= p.kept ? kNoKey : keys[lane]);
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const uint64_t key = key_of(upper == (half == 1) ? own[j] : other[j], column + j);
      best.offer(j < inside && key > found ? key : kNoKey);
    }
    if (lane < p.kept) keys[lane] = best.key();
    if (lane == half * kHalf) *bound = value_of(best.worst());
  }
  __syncwarp();
}

template <RegisterSums Product>
constexpr int kBestBytes = kPipelineBytes + Product::kRowWarps* kTile* static_cast<int>(sizeof(float));

template <OperandProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    best_similarities_kernel(const BestArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  // The value of the last key of each list: only what is above it may enter. NaN, which everything passes,
  // while there are fewer keys. Columns come in ascending order, so equal values come too late.
  float* bounds = reinterpret_cast<float*>(shared + kPipelineBytes / sizeof(uint4));
  for (int i = static_cast<int>(threadIdx.x); i < kTile * Product::kRowWarps; i += Product::kThreads) {
    bounds[i] = NAN;
  }
#pragma unroll 1
  for (unsigned tile = blockIdx.y; tile < p.column_tiles; tile += gridDim.y) {
    // The compiler must not see that a tile's addresses follow from the last one's: it would keep them in
    // registers that the sums need.
    int64_t depth = p.of.depth;
    asm volatile("" : "+l"(depth));
    const TilePlace at(static_cast<int64_t>(blockIdx.x) * kTile, static_cast<int64_t>(tile) * kTile);
    Product product({p.of.a.data, depth, p.of.a.outer}, {p.of.b.data, depth, p.of.b.outer}, at, depth, false,
                    shared);
    __syncthreads();  // the tile before has been read
    run_pipeline(product, steps_of<T>(depth));
    for_each_similarity<1>(product, p.of, at, [&](int row, int column, int n, const auto& v) {
      float* bound = bounds + product.row_warp() * kTile + row;
      const float value = *bound;
      bool better = false;
#pragma unroll
      for (int j = 0; j < 4; ++j) better |= j < n && !(v[j] <= value);
      const uint32_t lanes = __ballot_sync(kAllLanes, better);
      if (lanes == 0) return;
      // Of a row's columns in the block's first tile, those that the warp reads first.
      const bool first = tile == blockIdx.y && column < (product.row_warp() + 1) * kHalfWarpColumns;
      offer_rows(p, lanes, at.row + row,
                 static_cast<int>(blockIdx.y) * Product::kRowWarps + product.row_warp(), first,
                 at.column + column, n, v, bound);
    });
  }
}

// Ranks first .. first + kept - 1 of each row, of `count` keys in its lists.
__global__ void __launch_bounds__(kMergeThreads)
    merge_lists_kernel(const uint64_t* lists, int64_t count, int kept, int64_t first, int64_t k,
                       float* values, int32_t* indices, uint64_t* found) {
  __shared__ uint64_t shared[kMergeWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = blockIdx.x;
  BestKeys best(kept, kNoKey);
  for (int64_t i = warp * kWarp; i < count; i += kMergeThreads) {
    best.offer(i + lane < count ? lists[row * count + i + lane] : kNoKey);
  }
  shared[warp][lane] = best.key();
  __syncthreads();
  if (warp > 0) return;
#pragma unroll 1
  for (int other = 1; other < kMergeWarps; ++other) best.offer(shared[other][lane]);
  if (lane < kept) {
    values[row * k + first + lane] = value_of(best.key());
    indices[row * k + first + lane] = index_of(best.key());
  }
  if (lane == 0) found[row] = best.worst();
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const TopK& p, const ExecContext& ctx) {
  const int64_t rows = p.a.size(0), columns = p.b.size(0), depth = p.a.size(1);
  const int64_t row_tiles = tiles_of(rows), column_tiles = tiles_of(columns);
  const int64_t shares =
      std::clamp<int64_t>(Tuning::TopK::kBlocks / std::max<int64_t>(row_tiles, 1), 1, column_tiles);
  const Operand<T> a{p.a.as<T>(), depth, rows}, b{p.b.as<T>(), depth, columns};
  with_product<Product, Along::reduction, Along::reduction, false>(
      vector_lines(a) && vector_lines(b), [&]<typename P>(std::type_identity<P>) {
        // The last warp's first columns may lie outside: it has no list.
        const int64_t lists_a_row = std::min(shares * P::kRowWarps, ceil_div(columns, kHalfWarpColumns));
        ScratchPlan plan;
        const auto a_rnorm = plan.add<float>(rows), b_rnorm = plan.add<float>(p.b_rnorm ? 0 : columns);
        const auto lists = plan.add<uint64_t>(rows * lists_a_row * std::min<int64_t>(p.k, kWarp));
        const auto found = plan.add<uint64_t>(rows);
        plan.reserve(ctx);
        inverse_norms_cuda(p.a, plan[a_rnorm], ctx);
        if (!p.b_rnorm) inverse_norms_cuda(p.b, plan[b_rnorm], ctx);
        const SimilarityOperands<T> of{.a = a,
                                       .b = b,
                                       .depth = depth,
                                       .a_rnorm = plan[a_rnorm],
                                       .b_rnorm = p.b_rnorm ? p.b_rnorm.as<float>() : plan[b_rnorm],
                                       .scale = p.scale};
        for (int64_t first = 0; first < p.k; first += kWarp) {
          const int kept = static_cast<int>(std::min<int64_t>(p.k - first, kWarp));
          launch({.kernel = "best_similarities_kernel",
                  .grid = {row_tiles, shares},
                  .threads = P::kThreads,
                  .shared_bytes = kBestBytes<P>},
                 best_similarities_kernel<P>, ctx,
                 BestArguments<T>{.of = of,
                                  .column_tiles = static_cast<unsigned>(column_tiles),
                                  .kept = kept,
                                  .lists_a_row = lists_a_row,
                                  .lists = plan[lists],
                                  .found = first == 0 ? nullptr : plan[found]});
          launch({.kernel = "merge_lists_kernel", .grid = {rows}, .threads = kMergeThreads},
                 merge_lists_kernel, ctx, plan[lists], lists_a_row * kept, kept, first, p.k,
                 p.values.as<float>(), p.indices.as<int32_t>(), plan[found]);
        }
      });
}

}  // namespace

void top_k_cuda(const TopK& p, const ExecContext& ctx) {
  if (p.a.dtype == DType::bf16) {
    run<MmaProduct, bfloat16>(p, ctx);
  } else {
    product_policy(ctx).tf32 ? run<Tf32Product, float>(p, ctx) : run<FfmaProduct, float>(p, ctx);
  }
}

}  // namespace cuclip
