// The contrastive loss on CUDA, forward, of a whole matrix and of a part of one: every logit is computed
// once, and none is stored.
//
// A block of threads computes a tile of 128 x 128 logits (product.cuh: bf16 and tf32 on tensor cores, f32
// with fused multiply-adds) and reduces it in registers to a maximum and a sum of exponentials for each row
// and column (tile_statistics.cuh), 8 bytes each, in scratch; positive logits are read off. A second kernel
// merges the tiles' statistics, in order, into the log-sum-exps and into sums of cross-entropies, which a
// third adds up; of a part it stores the statistics. With more than 16,384 rows or columns S is computed in
// blocks of that size, one launch each, whose tiles merge into what earlier blocks' tiles have written:
// scratch is at most 8 * 128 bytes per row and per column. No atomics; the cut follows from the shape.
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
  const int64_t first = p.first_positive + at.row - at.column;
  // Of a part, positives may lie in columns that the tile has and the part has not.
  store_positive(product, first, static_cast<int>(min(int64_t{rows}, columns - first)), p.positive + at.row);
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

// The tiles' statistics of a side.
struct TileSums {
  const PackedLogSum* sums;  // [tiles, count]
  int64_t tiles;
  int64_t count;
};

// What the merging kernel needs of a side of a whole matrix.
struct MergedSide : TileSums {
  float* lse;
  int64_t first_positive;  // the element that has the first positive logit
};

// And of a part.
struct PartSide : TileSums {
  float* max;
  float* sum;
};

using WarpSums = PackedLogSum[kMergeWarps][kWarp];

// Each block merges the statistics of 32 rows or columns, rows first: each warp those of every eighth tile,
// and the first warp the warps'. Calls finish(side, element, total) for each element, on a lane of the
// first warp.
template <typename Side, typename Finish>
__device__ __forceinline__ void merge_tiles(const Side& rows, const Side& columns, WarpSums& shared,
                                            Finish&& finish) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row_blocks = (rows.count + kWarp - 1) / kWarp;
  const bool is_row = blockIdx.x < row_blocks;
  const Side side = is_row ? rows : columns;
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
  if (warp > 0 || element >= side.count) return;
  for (int other = 1; other < kMergeWarps; ++other) total = merge(total, unpack(shared[other][lane]));
  finish(side, element, total);
}

// The log-sum-exps, and for each block the sum of its cross-entropies.
__global__ void __launch_bounds__(kMergeThreads)
    merge_statistics_kernel(const MergedSide rows, const MergedSide columns, const float* positive,
                            double* losses) {
  __shared__ WarpSums shared;
  double loss = 0;
  merge_tiles(rows, columns, shared, [&](const MergedSide& side, int64_t element, const LogSum& total) {
    // The maximum and the positive logit cancel before the logarithm is added: a small loss keeps its digits
    // at large scales.
    const double max = total.max, log_sum = log(static_cast<double>(total.sum));
    side.lse[element] = static_cast<float>(max + log_sum);
    const int64_t row = element - side.first_positive;
    if (row >= 0 && row < rows.count) loss = (max - positive[row]) + log_sum;
  });
  if (threadIdx.x >= kWarp) return;
  loss = warp_sum(loss);
  if (threadIdx.x == 0) losses[blockIdx.x] = loss;
}

__global__ void __launch_bounds__(kMergeThreads)
    store_statistics_kernel(const PartSide rows, const PartSide columns) {
  __shared__ WarpSums shared;
  merge_tiles(rows, columns, shared, [](const PartSide& side, int64_t element, const LogSum& total) {
    side.max[element] = total.max;
    side.sum[element] = total.sum;
  });
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

// One call, of a whole matrix or of a part.
template <template <Along, Along, bool, bool> typename Product, typename T, typename Params>
class Forward {
 public:
  Forward(const Params& p, const ExecContext& ctx)
      : p_(p), ctx_(ctx), rows_(p.image.size(0)), columns_(p.text.size(0)), depth_(p.image.size(1)) {
    const int64_t row_tiles = std::min(tiles_of(rows_), SumOrder::kLogitTiles);
    const int64_t column_tiles = std::min(tiles_of(columns_), SumOrder::kLogitTiles);
    ScratchPlan plan;
    const auto row_sums = plan.add<PackedLogSum>(column_tiles * rows_);
    const auto column_sums = plan.add<PackedLogSum>(row_tiles * columns_);
    const auto own_positive = plan.add<float>(p.positive ? 0 : rows_);
    const auto losses = plan.add<double>(merge_blocks());
    plan.reserve(ctx);
    row_sums_ = plan[row_sums];
    column_sums_ = plan[column_sums];
    merged_rows_ = {row_sums_, column_tiles, rows_};
    merged_columns_ = {column_sums_, row_tiles, columns_};
    positive_ = p.positive ? p.positive.template as<float>() : plan[own_positive];
    losses_ = plan[losses];
  }

  void run() const {
    for (int64_t row = 0; row < rows_; row += kBlockSide) {
      for (int64_t column = 0; column < columns_; column += kBlockSide) {
        const ForwardArguments<T> a = block(row, column);
        if (p_.image_words) {
          run_block<Product>(ForwardArgumentsWithWords<T>{a, words_from(p_, row, column)}, ctx_);
        } else {
          run_block<Product>(a, ctx_);
        }
      }
    }
    finish();
  }

 private:
  int64_t merge_blocks() const { return ceil_div(rows_, kWarp) + ceil_div(columns_, kWarp); }

  // The block of S that begins at this row and column.
  ForwardArguments<T> block(int64_t row, int64_t column) const {
    const int64_t rows = std::min(rows_ - row, kBlockSide), columns = std::min(columns_ - column, kBlockSide);
    return {.image = {p_.image.template as<T>() + row * depth_, depth_, rows},
            .text = {p_.text.template as<T>() + column * depth_, depth_, columns},
            .depth = depth_,
            .log_scale = p_.log_scale.template as<float>(),
            .first_positive = p_.label_offset + row - column,
            .row_tiles = static_cast<int>(tiles_of(rows)),
            .column_tiles = static_cast<int>(tiles_of(columns)),
            .rows = {row_sums_ + row, rows_, column == 0},
            .columns = {column_sums_ + column, columns_, row == 0},
            .positive = positive_ + row};
  }

  void finish() const {
    if constexpr (std::same_as<Params, ContrastiveLossPartForward>) {
      const PartSide rows{merged_rows_, p_.row_max.template as<float>(), p_.row_sum.template as<float>()};
      const PartSide columns{merged_columns_, p_.column_max.template as<float>(),
                             p_.column_sum.template as<float>()};
      launch({.kernel = "store_statistics_kernel", .grid = {merge_blocks()}, .threads = kMergeThreads},
             store_statistics_kernel, ctx_, rows, columns);
    } else {
      const MergedSide rows{merged_rows_, p_.row_lse.template as<float>(), 0};
      const MergedSide columns{merged_columns_, p_.column_lse.template as<float>(), p_.label_offset};
      launch({.kernel = "merge_statistics_kernel", .grid = {merge_blocks()}, .threads = kMergeThreads},
             merge_statistics_kernel, ctx_, rows, columns, positive_, losses_);
      launch({.kernel = "mean_loss_kernel", .grid = {1}, .threads = kSumThreads}, mean_loss_kernel, ctx_,
             losses_, merge_blocks(), rows_, p_.loss.template as<float>());
    }
  }

  const Params& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, depth_;
  PackedLogSum* row_sums_ = nullptr;     // [tiles of columns, rows]
  PackedLogSum* column_sums_ = nullptr;  // [tiles of rows, columns]
  TileSums merged_rows_{}, merged_columns_{};
  float* positive_ = nullptr;
  double* losses_ = nullptr;  // of the merging kernel's blocks
};

template <typename Params>
void forward(const Params& p, const ExecContext& ctx) {
  if (p.image.dtype == DType::f32) {
    product_policy(ctx).tf32 ? Forward<Tf32Product, float, Params>(p, ctx).run()
                             : Forward<FfmaProduct, float, Params>(p, ctx).run();
  } else {
    Forward<MmaProduct, bfloat16, Params>(p, ctx).run();
  }
}

}  // namespace

void contrastive_loss_forward_cuda(const ContrastiveLossForward& p, const ExecContext& ctx) {
  forward(p, ctx);
}

void contrastive_loss_part_forward_cuda(const ContrastiveLossPartForward& p, const ExecContext& ctx) {
  forward(p, ctx);
}

}  // namespace cuclip
