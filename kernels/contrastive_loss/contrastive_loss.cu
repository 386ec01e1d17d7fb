// The contrastive loss on CUDA, forward: every logit is computed once, and none is stored.
//
// A block of threads computes a tile of 128 x 128 logits (product.cuh: bf16 and tf32 on tensor cores, f32
// with fused multiply-adds) and reduces it in registers to a maximum and a sum of exponentials for each row
// and column (tile_statistics.cuh), 8 bytes each, in scratch; positive logits are read off. A second kernel
// merges the tiles' statistics, in order, into the log-sum-exps and into sums of cross-entropies, which a
// third adds up. With more than 16,384 rows or columns S is computed in blocks of that size, one launch each,
// whose tiles merge into what earlier blocks' tiles have written: scratch is at most 8 * 128 bytes per row
// and per column. No atomics; the cut follows from the shape.
#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"
#include "kernels/contrastive_loss/left_out_pairs.cuh"
#include "kernels/contrastive_loss/tile_statistics.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

constexpr int64_t kBlockSide = SumOrder::kLogitTiles * kTile;  // of a block of S
constexpr int kMergeWarps = 8;
constexpr int kMergeThreads = kMergeWarps * kWarp;
constexpr int kSumThreads = 256;

// Statistics of one side's elements, those of a block of S first: one for each tile of the other side.
struct SideSums {
  PackedLogSum* data;  // [tiles, stride]
  int64_t stride;
  bool first;  // of the blocks along the other side: its statistics are written, others' are merged into them
};

// A block of S: image and the rows' tensors begin at its first row, text and the columns' at its first
// column.
template <typename T>
struct ForwardArguments {
  Operand<T> image;
  Operand<T> text;
  int64_t depth;
  const float* log_scale;
  int64_t first_positive;  // the column of row 0's positive, in the block or not
  int row_tiles;
  int column_tiles;
  SideSums rows;
  SideSums columns;
  float* positive;
};

template <typename T>
struct ForwardArgumentsWithWords : ForwardArguments<T> {
  PairWords words;
};

// Stores the positive logits among the tile's, if it has any; `first` is the column of row 0's positive,
// whether in the tile or not.
template <RegisterSums Product>
__device__ __forceinline__ void store_positive(Product& product, int64_t first, int rows, float* positive) {
  if (first <= -kTile || first >= kTile) return;
#pragma unroll
  for (int i = 0; i < Product::kThreadRows; ++i) {
    const int row = product.thread_row(i), column = row + static_cast<int>(first);
#pragma unroll
    for (int j = 0; j < Product::kThreadColumns; ++j) {
      if (product.thread_column(j) == column && row < rows) positive[row] = product.sum(i, j);
    }
  }
}

__device__ __forceinline__ void add_to(const SideSums& side, int64_t tile, int64_t element,
                                       const LogSum& sum) {
  PackedLogSum* slot = side.data + tile * side.stride + element;
  *slot = pack(side.first ? sum : merge(unpack(*slot), sum));
}

// Arguments: with or without words.
template <OperandProduct Product, typename Arguments>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    contrastive_loss_forward_kernel(const Arguments p) {
  using T = typename Product::Input;
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  Product product(p.image, p.text, at, p.depth, false, shared);
  run_pipeline(product, steps_of<T>(p.depth));

  const int rows = static_cast<int>(min(p.image.outer - at.row, int64_t{kTile}));
  const int columns = static_cast<int>(min(p.text.outer - at.column, int64_t{kTile}));
  if constexpr (requires { p.words; }) {
    leave_pairs_out(product, p.words, at, rows, columns, p.first_positive, shared);
  }
  const TileStatistics<Product> statistics(shared);
  statistics.make_logits(product, expf(*p.log_scale), rows, columns);
  store_positive(product, p.first_positive + at.row - at.column, rows, p.positive + at.row);
  statistics.reduce(product);
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < 2 * kTile; e += Product::kThreads) {
    const int i = e % kTile;
    if (e < kTile) {
      if (i < rows) add_to(p.rows, at.column / kTile, at.row + i, statistics.row(i));
    } else {
      if (i < columns) add_to(p.columns, at.row / kTile, at.column + i, statistics.column(i));
    }
  }
}

// What the merging kernel needs of a side.
struct MergedSide {
  const PackedLogSum* sums;  // [tiles, count]
  int64_t tiles;
  int64_t count;
  float* lse;
  int64_t first_positive;  // the element that has the first positive logit
};

// Each block computes the log-sum-exps of 32 rows or columns, rows first, and the sum of their
// cross-entropies. Each warp merges the statistics of every eighth tile, and the first warp merges the
// warps'.
__global__ void __launch_bounds__(kMergeThreads)
    merge_statistics_kernel(const MergedSide rows, const MergedSide columns, const float* positive,
                            double* losses) {
  __shared__ PackedLogSum shared[kMergeWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row_blocks = (rows.count + kWarp - 1) / kWarp;
  const bool is_row = blockIdx.x < row_blocks;
  const MergedSide side = is_row ? rows : columns;
  const int64_t element = (blockIdx.x - (is_row ? 0 : row_blocks)) * kWarp + lane;
  LogSum total = empty_log_sum();
  if (element < side.count) {
#pragma unroll 4
    for (int64_t tile = warp; tile < side.tiles; tile += kMergeWarps) {
      total = merge(total, unpack(side.sums[tile * side.count + element]));
    }
  }
  shared[warp][lane] = pack(total);
  __syncthreads();
  if (warp > 0) return;
  double loss = 0;
  if (element < side.count) {
    for (int other = 1; other < kMergeWarps; ++other) total = merge(total, unpack(shared[other][lane]));
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
  const double sum = block_sum_of(losses, count, shared);
  if (threadIdx.x == 0) *loss = static_cast<float>(0.5 * sum / static_cast<double>(rows));
}

template <template <Along, Along, bool, bool> typename Product, typename Arguments>
void run_block(const Arguments& a, const ExecContext& ctx) {
  with_product<Product, Along::reduction, Along::reduction, false>(
      vector_lines(a.image) && vector_lines(a.text), [&]<typename P>(std::type_identity<P>) {
        static_assert(TileStatistics<P>::kBytes <= kPipelineBytes);
        launch({.kernel = "contrastive_loss_forward_kernel",
                .grid = {int64_t{a.row_tiles} * a.column_tiles},
                .threads = P::kThreads,
                .shared_bytes = kPipelineBytes},
               contrastive_loss_forward_kernel<P, Arguments>, ctx, a);
      });
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const ContrastiveLossForward& p, const ExecContext& ctx) {
  const int64_t rows = p.image.size(0), columns = p.text.size(0), depth = p.image.size(1);
  const int64_t row_tiles = std::min(tiles_of(rows), SumOrder::kLogitTiles);
  const int64_t column_tiles = std::min(tiles_of(columns), SumOrder::kLogitTiles);
  const int64_t merge_blocks = ceil_div(rows, kWarp) + ceil_div(columns, kWarp);
  ScratchPlan plan;
  const auto row_sums = plan.add<PackedLogSum>(column_tiles * rows);
  const auto column_sums = plan.add<PackedLogSum>(row_tiles * columns);
  const auto own_positive = plan.add<float>(p.positive ? 0 : rows);
  const auto losses = plan.add<double>(merge_blocks);
  plan.reserve(ctx);
  float* positive = p.positive ? p.positive.as<float>() : plan[own_positive];

  for (int64_t row = 0; row < rows; row += kBlockSide) {
    for (int64_t column = 0; column < columns; column += kBlockSide) {
      const int64_t block_rows = std::min(rows - row, kBlockSide);
      const int64_t block_columns = std::min(columns - column, kBlockSide);
      const ForwardArguments<T> a{.image = {p.image.as<T>() + row * depth, depth, block_rows},
                                  .text = {p.text.as<T>() + column * depth, depth, block_columns},
                                  .depth = depth,
                                  .log_scale = p.log_scale.as<float>(),
                                  .first_positive = p.label_offset + row - column,
                                  .row_tiles = static_cast<int>(tiles_of(block_rows)),
                                  .column_tiles = static_cast<int>(tiles_of(block_columns)),
                                  .rows = {plan[row_sums] + row, rows, column == 0},
                                  .columns = {plan[column_sums] + column, columns, row == 0},
                                  .positive = positive + row};
      if (p.image_words) {
        run_block<Product>(ForwardArgumentsWithWords<T>{a, words_from(p, row, column)}, ctx);
      } else {
        run_block<Product>(a, ctx);
      }
    }
  }
  const MergedSide merged_rows{plan[row_sums], column_tiles, rows, p.row_lse.as<float>(), 0};
  const MergedSide merged_columns{plan[column_sums], row_tiles, columns, p.column_lse.as<float>(),
                                  p.label_offset};
  launch({.kernel = "merge_statistics_kernel", .grid = {merge_blocks}, .threads = kMergeThreads},
         merge_statistics_kernel, ctx, merged_rows, merged_columns, positive, plan[losses]);
  launch({.kernel = "mean_loss_kernel", .grid = {1}, .threads = kSumThreads}, mean_loss_kernel, ctx,
         plan[losses], merge_blocks, rows, p.loss.as<float>());
}

}  // namespace

void contrastive_loss_forward_cuda(const ContrastiveLossForward& p, const ExecContext& ctx) {
  if (p.image.dtype == DType::f32) {
    product_policy(ctx).tf32 ? run<Tf32Product, float>(p, ctx) : run<FfmaProduct, float>(p, ctx);
  } else {
    run<MmaProduct, bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
