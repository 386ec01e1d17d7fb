// The contrastive loss on the CPU, backward: of a whole matrix, and of a part of one.
//
// The gradient G with respect to S is worked through in blocks of kBlockRows × kBlockColumns. First every
// task turns some rows of the block into gradients, adding their product with the block's texts to its rows
// of dimage; then dtext of the block's columns gets the transposed block times the images. Each logit is
// computed once, 6·Nr·Nc·D FLOP; one block of G is all that is held. (Recomputing S for dtext would need no
// block, but 8·Nr·Nc·D.)
//
// Of a whole matrix the factors that all elements of G share are left out until the sums are complete. A
// part's gradients are added to others': there G has the factors.
#include <algorithm>
#include <cmath>

#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/contrastive_loss/logit_products.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {

// A block of G is 16 MiB in f32 and stays in a third-level cache; dimage is read and written once for each
// 1024 columns, dtext once for each 4096 rows. Its dtext is cut into tasks of 64 texts and 256 features,
// summed over 2048 rows at once.
constexpr int64_t kBlockRows = 4096;
constexpr int64_t kBlockColumns = 1024;
constexpr int64_t kTextRows = 64;
constexpr int64_t kTextFeatures = 256;
constexpr int64_t kReduceRows = 2048;

// One backward call, of a whole matrix or of a part.
template <typename Params>
class Backward {
 public:
  Backward(const Params& p, const ExecContext& ctx)
      : p_(p),
        ctx_(ctx),
        rows_(p.image.size(0)),
        columns_(p.text.size(0)),
        depth_(p.image.size(1)),
        dtype_(p.image.dtype),
        tile_rows_(tile_rows_for(rows_)) {
    block_rows_ = std::min(round_up(rows_, tile_rows_), kBlockRows);
    block_columns_ = std::min(round_up(columns_, kLogitTileColumns), kBlockColumns);
    row_tiles_ = ceil_div(rows_, tile_rows_);
    const bool f32 = dtype_ == DType::f32, sums_in_output = kPart || f32;
    ScratchPlan plan;
    const auto block = plan.add<char>(block_rows_ * block_columns_ * static_cast<int64_t>(size_of(dtype_)));
    const auto sums = plan.add<double>(row_tiles_);
    const auto tiles = plan.add<float>(f32 ? 0 : ctx.pool->size() * kLogitTileRows * kLogitTileColumns);
    const auto dimage = plan.add<float>(sums_in_output ? 0 : rows_ * depth_);
    const auto dtext = plan.add<float>(sums_in_output ? 0 : block_columns_ * depth_);
    plan.reserve(ctx);
    block_ = plan[block];
    sums_ = plan[sums];
    tiles_ = plan[tiles];
    dimage_ = sums_in_output ? p.dimage.template as<float>() : plan[dimage];
    dtext_ = plan[dtext];
    scale_ = std::exp(*p.log_scale.template as<float>());
    int64_t pairs = rows_;
    if constexpr (kPart) pairs = p.pairs;
    factor_ = *p.dloss.template as<float>() / (2.0f * static_cast<float>(pairs));
  }

  void run() {
    std::fill_n(sums_, row_tiles_, 0.0);
    const int64_t feature_tiles = ceil_div(depth_, kTextFeatures);
    for (int64_t column = 0; column < columns_; column += block_columns_) {
      for (int64_t row = 0; row < rows_; row += block_rows_) {
        const Block b{row, std::min(block_rows_, rows_ - row), column,
                      std::min(block_columns_, columns_ - column)};
        parallel_for(ctx_, ceil_div(b.rows, tile_rows_),
                     [&](int64_t tile, int worker) { image_gradient(b, tile * tile_rows_, worker); });
        parallel_for(ctx_, ceil_div(b.columns, kTextRows) * feature_tiles, [&](int64_t task, int) {
          text_gradient(b, task / feature_tiles * kTextRows, task % feature_tiles * kTextFeatures);
        });
      }
    }
    double sum = 0;
    for (int64_t i = 0; i < row_tiles_; ++i) sum += sums_[i];
    sum *= static_cast<double>(factor_);
    if constexpr (kPart) {
      p_.logit_sum[0] += sum;
    } else {
      *p_.dlog_scale.template as<float>() += static_cast<float>(sum);
    }
  }

 private:
  static constexpr bool kPart = requires(Params p) { p.pairs; };
  struct Block {
    int64_t row, rows, column, columns;
  };

  // G[row, column], counted within the block. Tiles of kLogitTileColumns columns lie one after the other:
  // rows a power of two apart would fall into few sets of the cache.
  char* gradient_at(int64_t row, int64_t column) const {
    const int64_t tile = column / kLogitTileColumns;
    const int64_t element = (tile * block_rows_ + row) * kLogitTileColumns + column % kLogitTileColumns;
    return block_ + static_cast<size_t>(element) * size_of(dtype_);
  }

  // Fills rows [first, first + tile_rows_) of the block with G and adds G · text to their dimage.
  void image_gradient(const Block& b, int64_t first, int worker) {
    const int64_t rows = std::min(tile_rows_, b.rows - first);
    const int64_t row = b.row + first;
    float* dimage = dimage_ ? dimage_ + row * depth_ : nullptr;
    for (int64_t j = 0; j < b.columns; j += kLogitTileColumns) {
      const int64_t columns = std::min(kLogitTileColumns, b.columns - j);
      const int64_t column = b.column + j;
      char* gradient = gradient_at(first, j);
      float* products = dtype_ == DType::f32 ? reinterpret_cast<float*>(gradient)
                                             : tiles_ + worker * kLogitTileRows * kLogitTileColumns;
      logit_products(p_, row, rows, column, columns, products);
      sums_[row / tile_rows_] += gradient_tile({.tile = {products, kLogitTileColumns, rows, columns, scale_},
                                                .row_lse = p_.row_lse.template as<float>() + row,
                                                .column_lse = p_.column_lse.template as<float>() + column,
                                                .first_positive = p_.label_offset + row - column,
                                                .pairs_left_out = static_cast<bool>(p_.image_words),
                                                .factor = kPart ? scale_ * factor_ : 1.0f,
                                                .dtype = dtype_,
                                                .gradient = gradient,
                                                .gradient_stride = kLogitTileColumns});
      if (!dimage) continue;
      tile_product({.a = gradient,
                    .b = row_of(p_.text, column),
                    .c = dimage,
                    .m = rows,
                    .n = depth_,
                    .k = columns,
                    .lda = kLogitTileColumns,
                    .ldb = depth_,
                    .ldc = depth_,
                    .input = dtype_,
                    .accumulate = kPart || column > 0});
    }
    if (!kPart && b.column + b.columns == columns_) finish(dimage, row_of(p_.dimage, row), rows, depth_);
  }

  // Adds the block's part to dtext of kTextRows of its columns and kTextFeatures features.
  void text_gradient(const Block& b, int64_t first, int64_t feature) {
    const int64_t texts = std::min(kTextRows, b.columns - first);
    const int64_t features = std::min(kTextFeatures, depth_ - feature);
    char* dtext = row_of(p_.dtext, b.column + first) + static_cast<size_t>(feature) * size_of(p_.dtext.dtype);
    float* sum =
        p_.dtext.dtype == DType::f32 ? reinterpret_cast<float*>(dtext) : dtext_ + first * depth_ + feature;
    for (int64_t i = 0; i < b.rows; i += kReduceRows) {
      tile_product({.a = gradient_at(i, first),
                    .b = row_of(p_.image, b.row + i) + static_cast<size_t>(feature) * size_of(dtype_),
                    .c = sum,
                    .m = texts,
                    .n = features,
                    .k = std::min(kReduceRows, b.rows - i),
                    .lda = kLogitTileColumns,
                    .ldb = depth_,
                    .ldc = depth_,
                    .transpose_a = true,
                    .input = dtype_,
                    .accumulate = kPart || b.row + i > 0});
    }
    if (!kPart && b.row + b.rows == rows_) finish(sum, dtext, texts, features);
  }

  // Multiplies the complete sums by the factors that were left out of G, in the gradient's dtype. All rows
  // are depth_ apart.
  void finish(const float* sum, char* gradient, int64_t rows, int64_t columns) const {
    scale_tile({.from = sum,
                .to = gradient,
                .stride = depth_,
                .dtype = dtype_,
                .rows = rows,
                .columns = columns,
                .factor = scale_ * factor_});
  }

  const Params& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, depth_;
  DType dtype_;
  int64_t tile_rows_, row_tiles_ = 0;
  int64_t block_rows_ = 0, block_columns_ = 0;
  char* block_ = nullptr;    // G of one block, in dtype_
  double* sums_ = nullptr;   // [row tiles]: Σ G S
  float* tiles_ = nullptr;   // [workers, kLogitTileRows, kLogitTileColumns], bf16 only
  float* dimage_ = nullptr;  // [rows, D]: sums before finish(); the output itself where that is f32
  float* dtext_ = nullptr;   // [block columns, D], where the output is bf16
  float scale_ = 1.0f;
  float factor_ = 1.0f;  // dloss / (2 pairs)
};

}  // namespace

void contrastive_loss_backward_cpu(const ContrastiveLossBackward& p, const ExecContext& ctx) {
  Backward(p, ctx).run();
}

void contrastive_loss_part_backward_cpu(const ContrastiveLossPartBackward& p, const ExecContext& ctx) {
  Backward(p, ctx).run();
}

}  // namespace cuclip
