// The contrastive loss on the CPU.
//
// Forward: a task owns a strip of rows and walks over S in tiles that stay in the second-level cache. Row
// statistics live as long as a row of tiles; column statistics are kept for each strip and combined in strip
// order at the end.
//
// Backward: the gradient G with respect to S is worked through in blocks of kBlockRows × kBlockColumns. First
// every task turns some rows of the block into gradients, adding their product with the block's texts to its
// rows of dimage; then dtext of the block's columns gets the transposed block times the images. Each logit is
// computed once, 6·Nr·Nc·D FLOP; one block of G is all that is held. (Recomputing S for dtext would need no
// block, but 8·Nr·Nc·D.)
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/contrastive_loss/left_out_pairs.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {

// 256 × 256 logits are 256 KiB: with their 256 images and texts of 256 features they fit a 1 MiB cache, and
// oneDNN runs such products at its full rate.
constexpr int64_t kTileRows = 256;
constexpr int64_t kTileColumns = 256;
// Bounds the memory of the strips' column statistics: 8·Nc bytes each.
constexpr int64_t kMaxStrips = 64;
constexpr int64_t kColumnBlock = 1024;
// A block of G is 16 MiB in f32 and stays in a third-level cache; dimage is read and written once for each
// 1024 columns, dtext once for each 4096 rows. Its dtext is cut into tasks of 64 texts and 256 features,
// summed over 2048 rows at once.
constexpr int64_t kBlockRows = 4096;
constexpr int64_t kBlockColumns = 1024;
constexpr int64_t kTextRows = 64;
constexpr int64_t kTextFeatures = 256;
constexpr int64_t kReduceRows = 2048;

// Rows of a tile: fewer for small batches, so that there are some eight tasks.
int64_t tile_rows_for(int64_t rows) {
  return std::clamp<int64_t>(round_up(ceil_div(rows, 8), 32), 32, kTileRows);
}

char* row_of(const TensorView& x, int64_t row) {
  return static_cast<char*>(x.data) + static_cast<size_t>(row * x.size(1)) * size_of(x.dtype);
}

// products [rows, columns], row stride kTileColumns, = image[row ...] · text[column ...]ᵀ
void similarity_tile(const TensorView& image, int64_t row, int64_t rows, const TensorView& text,
                     int64_t column, int64_t columns, float* products) {
  const int64_t depth = image.size(1);
  tile_product({.a = row_of(image, row),
                .b = row_of(text, column),
                .c = products,
                .m = rows,
                .n = columns,
                .k = depth,
                .lda = depth,
                .ldb = depth,
                .ldc = kTileColumns,
                .transpose_b = true,
                .input = image.dtype});
}

// Leaves pairs out of such products, in a forward or backward call that was given words.
template <typename Params>
void leave_pairs_out(const Params& p, int64_t row, int64_t rows, int64_t column, int64_t columns,
                     float* products) {
  leave_pairs_out(WordsTile{.products = products,
                            .stride = kTileColumns,
                            .rows = rows,
                            .columns = columns,
                            .row_words = p.image_words.template as<int32_t>() + row * kWordsOfSet,
                            .column_words = p.text_words.template as<int32_t>() + column * kWordsOfSet,
                            .first_positive = p.label_offset + row - column});
}

// One forward call: its cut into tasks, its scratch, and the steps.
class Forward {
 public:
  Forward(const ContrastiveLossForward& p, const ExecContext& ctx)
      : p_(p), ctx_(ctx), rows_(p.image.size(0)), columns_(p.text.size(0)), tile_rows_(tile_rows_for(rows_)) {
    const int64_t row_tiles = ceil_div(rows_, tile_rows_);
    strip_rows_ = tile_rows_ * ceil_div(row_tiles, kMaxStrips);
    strips_ = ceil_div(rows_, strip_rows_);
    column_blocks_ = ceil_div(columns_, kColumnBlock);
    const int64_t workers = ctx.pool->size();
    ScratchPlan plan;
    const auto column_max = plan.add<float>(strips_ * columns_);
    const auto column_sum = plan.add<float>(strips_ * columns_);
    const auto positive = plan.add<float>(rows_);
    const auto losses = plan.add<double>(strips_ + column_blocks_);
    const auto workspaces = plan.add<Workspace>(workers);
    plan.reserve(ctx);
    column_ = {plan[column_max], plan[column_sum]};
    positive_ = p.positive ? p.positive.as<float>() : plan[positive];
    losses_ = plan[losses];
    workspaces_ = plan[workspaces];
    scale_ = std::exp(*p.log_scale.as<float>());
  }

  void run() {
    parallel_for(ctx_, strips_,
                 [&](int64_t strip, int worker) { strip_statistics(strip, workspaces_[worker]); });
    parallel_for(ctx_, column_blocks_, [&](int64_t block, int) { combine_columns(block); });
    double loss = 0;
    for (int64_t i = 0; i < strips_ + column_blocks_; ++i) loss += losses_[i];
    *p_.loss.as<float>() = static_cast<float>(0.5 * loss / static_cast<double>(rows_));
  }

 private:
  struct Workspace {
    float products[kTileRows * kTileColumns];
    float new_max[kTileColumns];
    float row_max[kTileRows];
    float row_sum[kTileRows];
  };

  void strip_statistics(int64_t strip, Workspace& w) {
    const LogitStatistics column{column_.max + strip * columns_, column_.sum + strip * columns_};
    std::fill_n(column.max, columns_, kLowestLogit);
    std::fill_n(column.sum, columns_, 0.0f);
    double loss = 0;
    const int64_t end = std::min(rows_, (strip + 1) * strip_rows_);
    for (int64_t row = strip * strip_rows_; row < end; row += tile_rows_) {
      loss += row_tile_statistics(row, std::min(tile_rows_, end - row), column, w);
    }
    losses_[strip] = loss;
  }

  // Returns the sum of these rows' cross-entropies.
  double row_tile_statistics(int64_t row, int64_t rows, LogitStatistics column, Workspace& w) {
    std::fill_n(w.row_max, rows, kLowestLogit);
    std::fill_n(w.row_sum, rows, 0.0f);
    for (int64_t j = 0; j < columns_; j += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, columns_ - j);
      similarity_tile(p_.image, row, rows, p_.text, j, columns, w.products);
      if (p_.image_words) leave_pairs_out(p_, row, rows, j, columns, w.products);
      add_tile_statistics({w.products, kTileColumns, rows, columns, scale_}, {w.row_max, w.row_sum},
                          {column.max + j, column.sum + j}, w.new_max);
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t positive = p_.label_offset + row + i - j;
        if (positive >= 0 && positive < columns) {
          positive_[row + i] = scale_ * w.products[i * kTileColumns + positive];
        }
      }
    }
    double loss = 0;
    float* lse = p_.row_lse.as<float>() + row;
    for (int64_t i = 0; i < rows; ++i) {
      loss += finish(w.row_max[i], static_cast<double>(w.row_sum[i]), lse[i], positive_ + row + i);
    }
    return loss;
  }

  void combine_columns(int64_t block) {
    const int64_t end = std::min(columns_, (block + 1) * kColumnBlock);
    double loss = 0;
    for (int64_t j = block * kColumnBlock; j < end; ++j) {
      float max = kLowestLogit;
      for (int64_t s = 0; s < strips_; ++s) max = std::max(max, column_.max[s * columns_ + j]);
      double sum = 0;
      for (int64_t s = 0; s < strips_; ++s) {
        const int64_t at = s * columns_ + j;
        sum += static_cast<double>(column_.sum[at] * std::exp(column_.max[at] - max));
      }
      const int64_t row = j - p_.label_offset;
      const float* positive = row >= 0 && row < rows_ ? positive_ + row : nullptr;
      loss += finish(max, sum, p_.column_lse.as<float>()[j], positive);
    }
    losses_[strips_ + block] = loss;
  }

  // Writes log Σ exp; returns the cross-entropy, 0 without a positive. A sum of which all was left out is not
  // 0, since exp_clamped() is never below 4e-38; any other sum has a term of 1. The maximum and the positive
  // logit cancel before the logarithm is added: a small loss keeps its digits at large scales.
  static double finish(float max, double sum, float& lse, const float* positive) {
    const double log_sum = std::log(sum < 1e-20 ? 0.0 : sum);
    lse = static_cast<float>(static_cast<double>(max) + log_sum);
    return positive ? (static_cast<double>(max) - static_cast<double>(*positive)) + log_sum : 0.0;
  }

  const ContrastiveLossForward& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, tile_rows_;
  int64_t strip_rows_ = 0, strips_ = 0, column_blocks_ = 0;
  LogitStatistics column_;  // [strips, columns]
  float* positive_ = nullptr;
  double* losses_ = nullptr;
  Workspace* workspaces_ = nullptr;
  float scale_ = 1.0f;
};

// One backward call. The gradient matrix G is worked through in blocks; see the top of the file.
class Backward {
 public:
  Backward(const ContrastiveLossBackward& p, const ExecContext& ctx)
      : p_(p),
        ctx_(ctx),
        rows_(p.image.size(0)),
        columns_(p.text.size(0)),
        depth_(p.image.size(1)),
        dtype_(p.image.dtype),
        tile_rows_(tile_rows_for(rows_)) {
    block_rows_ = std::min(round_up(rows_, tile_rows_), kBlockRows);
    block_columns_ = std::min(round_up(columns_, kTileColumns), kBlockColumns);
    row_tiles_ = ceil_div(rows_, tile_rows_);
    const bool f32 = dtype_ == DType::f32;
    ScratchPlan plan;
    const auto block = plan.add<char>(block_rows_ * block_columns_ * static_cast<int64_t>(size_of(dtype_)));
    const auto sums = plan.add<double>(row_tiles_);
    const auto tiles = plan.add<float>(f32 ? 0 : ctx.pool->size() * kTileRows * kTileColumns);
    const auto dimage = plan.add<float>(f32 ? 0 : rows_ * depth_);
    const auto dtext = plan.add<float>(f32 ? 0 : block_columns_ * depth_);
    plan.reserve(ctx);
    block_ = plan[block];
    sums_ = plan[sums];
    tiles_ = plan[tiles];
    dimage_ = f32 ? p.dimage.as<float>() : plan[dimage];
    dtext_ = plan[dtext];
    scale_ = std::exp(*p.log_scale.as<float>());
    factor_ = *p.dloss.as<float>() / (2.0f * static_cast<float>(rows_));
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
    *p_.dlog_scale.as<float>() += static_cast<float>(static_cast<double>(factor_) * sum);
  }

 private:
  struct Block {
    int64_t row, rows, column, columns;
  };

  // G[row, column], counted within the block. Tiles of kTileColumns columns lie one after the other: rows a
  // power of two apart would fall into few sets of the cache.
  char* gradient_at(int64_t row, int64_t column) const {
    const int64_t tile = column / kTileColumns;
    const int64_t element = (tile * block_rows_ + row) * kTileColumns + column % kTileColumns;
    return block_ + static_cast<size_t>(element) * size_of(dtype_);
  }

  // Fills rows [first, first + tile_rows_) of the block with G and adds G · text to their dimage.
  void image_gradient(const Block& b, int64_t first, int worker) {
    const int64_t rows = std::min(tile_rows_, b.rows - first);
    const int64_t row = b.row + first;
    float* dimage = dimage_ + row * depth_;
    for (int64_t j = 0; j < b.columns; j += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, b.columns - j);
      const int64_t column = b.column + j;
      char* gradient = gradient_at(first, j);
      float* products = dtype_ == DType::f32 ? reinterpret_cast<float*>(gradient)
                                             : tiles_ + worker * kTileRows * kTileColumns;
      similarity_tile(p_.image, row, rows, p_.text, column, columns, products);
      if (p_.image_words) leave_pairs_out(p_, row, rows, column, columns, products);
      sums_[row / tile_rows_] += gradient_tile({.tile = {products, kTileColumns, rows, columns, scale_},
                                                .row_lse = p_.row_lse.as<float>() + row,
                                                .column_lse = p_.column_lse.as<float>() + column,
                                                .first_positive = p_.label_offset + row - column,
                                                .pairs_left_out = static_cast<bool>(p_.image_words),
                                                .dtype = dtype_,
                                                .gradient = gradient,
                                                .gradient_stride = kTileColumns});
      tile_product({.a = gradient,
                    .b = row_of(p_.text, column),
                    .c = dimage,
                    .m = rows,
                    .n = depth_,
                    .k = columns,
                    .lda = kTileColumns,
                    .ldb = depth_,
                    .ldc = depth_,
                    .input = dtype_,
                    .accumulate = column > 0});
    }
    if (b.column + b.columns == columns_) finish(dimage, row_of(p_.dimage, row), rows, depth_);
  }

  // Adds the block's part to dtext of kTextRows of its columns and kTextFeatures features.
  void text_gradient(const Block& b, int64_t first, int64_t feature) {
    const int64_t texts = std::min(kTextRows, b.columns - first);
    const int64_t features = std::min(kTextFeatures, depth_ - feature);
    char* dtext = row_of(p_.dtext, b.column + first) + static_cast<size_t>(feature) * size_of(dtype_);
    float* sum = dtype_ == DType::f32 ? reinterpret_cast<float*>(dtext) : dtext_ + first * depth_ + feature;
    for (int64_t i = 0; i < b.rows; i += kReduceRows) {
      tile_product({.a = gradient_at(i, first),
                    .b = row_of(p_.image, b.row + i) + static_cast<size_t>(feature) * size_of(dtype_),
                    .c = sum,
                    .m = texts,
                    .n = features,
                    .k = std::min(kReduceRows, b.rows - i),
                    .lda = kTileColumns,
                    .ldb = depth_,
                    .ldc = depth_,
                    .transpose_a = true,
                    .input = dtype_,
                    .accumulate = b.row + i > 0});
    }
    if (b.row + b.rows == rows_) finish(sum, dtext, texts, features);
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

  const ContrastiveLossBackward& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, depth_;
  DType dtype_;
  int64_t tile_rows_, row_tiles_ = 0;
  int64_t block_rows_ = 0, block_columns_ = 0;
  char* block_ = nullptr;    // G of one block, in dtype_
  double* sums_ = nullptr;   // [row tiles]: Σ G S
  float* tiles_ = nullptr;   // [workers, kTileRows, kTileColumns], bf16 only
  float* dimage_ = nullptr;  // [rows, D]: sums before finish(); the output itself for f32
  float* dtext_ = nullptr;   // [block columns, D], bf16 only
  float scale_ = 1.0f;
  float factor_ = 1.0f;  // dloss / (2 Nr)
};

}  // namespace

void contrastive_loss_forward_cpu(const ContrastiveLossForward& p, const ExecContext& ctx) {
  Forward(p, ctx).run();
}

void contrastive_loss_backward_cpu(const ContrastiveLossBackward& p, const ExecContext& ctx) {
  Backward(p, ctx).run();
}

}  // namespace cuclip
