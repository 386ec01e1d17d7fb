// The contrastive loss on CUDA, forward: every logit is computed once, and none is stored.
//
// A block computes tiles of 128 x 128 logits (gemm_tile.cuh: bf16 on tensor cores, f32 with fused
// multiply-adds) and reduces each in registers to a maximum and a sum of exponentials for each row and column
// (tile_statistics.cuh), 8 bytes each, in scratch. Its positive logits are read off. A second kernel merges
// what the blocks left, in their order, into the log-sum-exps and sums of cross-entropies, which a third adds
// up. The tiles of more than 16,384 rows or columns are taken by 128 groups of blocks, whose blocks merge
// into what they have written: scratch is at most 8 * 128 bytes a row and a column. No atomics; the cut
// follows from the shape.
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"
#include "kernels/contrastive_loss/tile_statistics.cuh"
#include "kernels/gemm/ffma_product.cuh"
#include "kernels/gemm/mma_product.cuh"

namespace cuclip {
namespace {

constexpr int64_t kMaxGroups = 128;
constexpr int kMergeWarps = 8;
constexpr int kMergeThreads = kMergeWarps * kWarp;
constexpr int kSumThreads = 256;

// How the tiles of one side are cut into groups, and the group's statistics of the other side's elements.
struct Side {
  int64_t count;  // rows or columns
  int tiles;      // of a group
  int groups;
  LogSum* sums = nullptr;  // [groups of the other side, count]

  explicit Side(int64_t count)
      : count(count),
        tiles(static_cast<int>(ceil_div(tiles_of(count), kMaxGroups))),
        groups(static_cast<int>(ceil_div(tiles_of(count), tiles))) {}
};

template <typename T>
struct ForwardArguments {
  Operand<T> image;
  Operand<T> text;
  int64_t depth;
  const float* log_scale;
  int64_t label_offset;
  Side rows;
  Side columns;
  float* positive;
};

// Stores the positive logits among the tile's, where it has any.
template <typename Product>
__device__ __forceinline__ void store_positive(Product& product, const TilePlace& at, int64_t rows,
                                               int64_t label_offset, float* positive) {
  const int64_t first = label_offset + at.row - at.column;  // the column of row 0's, in the tile
  if (first <= -kTile || first >= kTile) return;
#pragma unroll
  for (int i = 0; i < Product::kThreadRows; ++i) {
    const int row = product.thread_row(i);
#pragma unroll
    for (int j = 0; j < Product::kThreadColumns; ++j) {
      if (product.thread_column(j) - row == static_cast<int>(first) && at.row + row < rows) {
        positive[at.row + row] = product.sum(i, j);
      }
    }
  }
}

// Element `index` of a side: its group's first tile writes, the others merge.
__device__ __forceinline__ void add_to(const Side& side, int other_group, int64_t index, bool first,
                                       const LogSum& sum) {
  if (index >= side.count) return;
  LogSum* slot = side.sums + other_group * side.count + index;
  *slot = first ? sum : merge(*slot, sum);
}

template <typename Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    contrastive_loss_forward_kernel(const ForwardArguments<T> p) {
  extern __shared__ uint4 shared[];
  const TilePlace group(static_cast<int>(blockIdx.x), p.rows.groups, p.columns.groups);
  const int row_group = static_cast<int>(group.row / kTile);
  const int column_group = static_cast<int>(group.column / kTile);
  const int tiles = p.rows.tiles * p.columns.tiles;
  const float scale = expf(*p.log_scale);
  const TileStatistics<Product> statistics(shared);
  for (int tile = 0; tile < tiles; ++tile) {
    const int i = tile / p.columns.tiles, j = tile % p.columns.tiles;
    TilePlace at = group;
    at.row = group.row * p.rows.tiles + i * kTile;
    at.column = group.column * p.columns.tiles + j * kTile;
    if (at.row >= p.rows.count || at.column >= p.columns.count) continue;
    Product product(p.image, p.text, at, p.depth, false, shared);
    run_pipeline(product, steps_of<T>(p.depth));
    statistics.make_logits(product, scale, p.rows.count - at.row, p.columns.count - at.column);
    store_positive(product, at, p.rows.count, p.label_offset, p.positive);
    statistics.reduce(product);
    __syncthreads();
    // The same thread has a row or column in every tile: it finds its own statistics.
    for (int e = static_cast<int>(threadIdx.x); e < 2 * kTile; e += Product::kThreads) {
      if (e < kTile) {
        add_to(p.rows, column_group, at.row + e, j == 0, statistics.row(e));
      } else {
        const int column = e - kTile;
        add_to(p.columns, row_group, at.column + column, i == 0, statistics.column(column));
      }
    }
    __syncthreads();
  }
}

// What the merging kernel needs of a side.
struct MergedSide {
  const LogSum* sums;  // [groups, count]
  int64_t groups;
  int64_t count;
  float* lse;
  int64_t first_positive;  // the element that has the first positive logit
};

// log-sum-exps of 32 rows or columns a block, rows first, and the sum of their cross-entropies. Each warp
// merges every eighth group, and the first merges the warps'.
__global__ void __launch_bounds__(kMergeThreads)
    merge_statistics_kernel(const MergedSide rows, const MergedSide columns, const float* positive,
                            double* losses) {
  __shared__ LogSum shared[kMergeWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row_blocks = (rows.count + kWarp - 1) / kWarp;
  const bool is_row = blockIdx.x < row_blocks;
  const MergedSide& side = is_row ? rows : columns;
  const int64_t element = (blockIdx.x - (is_row ? 0 : row_blocks)) * kWarp + lane;
  LogSum total = empty_log_sum();
  if (element < side.count) {
#pragma unroll 4
    for (int64_t group = warp; group < side.groups; group += kMergeWarps) {
      total = merge(total, side.sums[group * side.count + element]);
    }
  }
  shared[warp][lane] = total;
  __syncthreads();
  if (warp > 0) return;
  double loss = 0;
  if (element < side.count) {
    for (int other = 1; other < kMergeWarps; ++other) total = merge(total, shared[other][lane]);
    // The maximum and the positive logit cancel before the logarithm is added: a small loss keeps its digits
    // at large scales.
    const double max = total.max, log_sum = log(static_cast<double>(total.sum));
    side.lse[element] = static_cast<float>(max + log_sum);
    const int64_t row = element - side.first_positive;
    if (row >= 0 && row < rows.count) loss = (max - positive[row]) + log_sum;
  }
  loss = warp_sum(loss);
  if (lane == 0) losses[blockIdx.x] = loss;
}

__global__ void __launch_bounds__(kSumThreads)
    mean_loss_kernel(const double* losses, int64_t count, int64_t rows, float* loss) {
  __shared__ double shared[kWarp];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kSumThreads) sum += losses[i];
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) *loss = static_cast<float>(0.5 * sum / static_cast<double>(rows));
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run_statistics(const ForwardArguments<T>& a, const ExecContext& ctx) {
  const auto run = [&](auto kernel, int threads) {
    launch({.kernel = "contrastive_loss_forward_kernel",
            .grid = {int64_t{a.rows.groups} * a.columns.groups},
            .threads = threads,
            .shared_bytes = kPipelineBytes},
           kernel, ctx, a);
  };
  using Vectors = Product<Along::reduction, Along::reduction, true, false>;
  using Elements = Product<Along::reduction, Along::reduction, false, false>;
  static_assert(TileStatistics<Vectors>::kBytes <= kPipelineBytes);
  vector_lines(a.image) && vector_lines(a.text)
      ? run(contrastive_loss_forward_kernel<Vectors>, Vectors::kThreads)
      : run(contrastive_loss_forward_kernel<Elements>, Elements::kThreads);
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const ContrastiveLossForward& p, const ExecContext& ctx) {
  const int64_t rows = p.image.size(0), columns = p.text.size(0), depth = p.image.size(1);
  ForwardArguments<T> a{.image = {p.image.as<T>(), depth, rows},
                        .text = {p.text.as<T>(), depth, columns},
                        .depth = depth,
                        .log_scale = p.log_scale.as<float>(),
                        .label_offset = p.label_offset,
                        .rows = Side(rows),
                        .columns = Side(columns),
                        .positive = nullptr};
  const int64_t blocks = ceil_div(rows, kWarp) + ceil_div(columns, kWarp);
  ScratchPlan plan;
  const auto row_sums = plan.add<LogSum>(a.columns.groups * rows);
  const auto column_sums = plan.add<LogSum>(a.rows.groups * columns);
  const auto positive = plan.add<float>(p.positive ? 0 : rows);
  const auto losses = plan.add<double>(blocks);
  plan.reserve(ctx);
  a.rows.sums = plan[row_sums];
  a.columns.sums = plan[column_sums];
  a.positive = p.positive ? p.positive.as<float>() : plan[positive];
  run_statistics<Product>(a, ctx);

  const MergedSide merged_rows{a.rows.sums, a.columns.groups, rows, p.row_lse.as<float>(), 0};
  const MergedSide merged_columns{a.columns.sums, a.rows.groups, columns, p.column_lse.as<float>(),
                                  p.label_offset};
  launch({.kernel = "merge_statistics_kernel", .grid = {blocks}, .threads = kMergeThreads},
         merge_statistics_kernel, ctx, merged_rows, merged_columns, a.positive, plan[losses]);
  launch({.kernel = "mean_loss_kernel", .grid = {1}, .threads = kSumThreads}, mean_loss_kernel, ctx,
         plan[losses], blocks, rows, p.loss.as<float>());
}

}  // namespace

void contrastive_loss_forward_cuda(const ContrastiveLossForward& p, const ExecContext& ctx) {
  if (p.image.dtype == DType::f32) {
    run<FfmaProduct, float>(p, ctx);
  } else {
    run<MmaProduct, bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
