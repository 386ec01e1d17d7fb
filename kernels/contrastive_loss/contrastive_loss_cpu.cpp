// The contrastive loss on the CPU, forward: of a whole matrix, and of a part of one.
//
// A task owns a strip of rows and walks over S in tiles that stay in the second-level cache. Row statistics
// live as long as a row of tiles; column statistics are kept for each strip and combined in strip order at
// the end.
#include <algorithm>
#include <cmath>

#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/contrastive_loss/logit_products.h"

namespace cuclip {
namespace {

// Bounds the memory of the strips' column statistics: 8·Nc bytes each.
constexpr int64_t kMaxStrips = 64;
// Columns, or elements of parts' statistics, that a task merges.
constexpr int64_t kMergeBlock = 1024;

// Σ exp(x − max); a sum of which all was left out is not 0, since exp_clamped() is never below 4e-38, while
// any other sum has a term of 1.
struct MergedSum {
  float max = kLowestLogit;
  double sum = 0;
  double value() const { return sum < 1e-20 ? 0.0 : sum; }
};

// Of element `at` of `parts` statistics that are `stride` elements apart, in their order.
MergedSum merged(const LogitStatistics& statistics, int64_t parts, int64_t stride, int64_t at) {
  MergedSum m;
  for (int64_t s = 0; s < parts; ++s) m.max = std::max(m.max, statistics.max[s * stride + at]);
  for (int64_t s = 0; s < parts; ++s) {
    const int64_t i = s * stride + at;
    m.sum += static_cast<double>(statistics.sum[i] * std::exp(statistics.max[i] - m.max));
  }
  return m;
}

// Writes log Σ exp; returns the cross-entropy, 0 without a positive. The maximum and the positive logit
// cancel before the logarithm is added: a small loss keeps its digits at large scales.
double finish(const MergedSum& m, float& lse, const float* positive) {
  const auto max = static_cast<double>(m.max);
  const double log_sum = std::log(m.value());
  lse = static_cast<float>(max + log_sum);
  return positive ? (max - static_cast<double>(*positive)) + log_sum : 0.0;
}

// The walk of one forward call over S: its cut into tasks and its scratch.
template <typename Params>
class Strips {
 public:
  Strips(const Params& p, const ExecContext& ctx)
      : p_(p), ctx_(ctx), rows_(p.image.size(0)), columns_(p.text.size(0)), tile_rows_(tile_rows_for(rows_)) {
    const int64_t row_tiles = ceil_div(rows_, tile_rows_);
    strip_rows_ = tile_rows_ * ceil_div(row_tiles, kMaxStrips);
    strips_ = ceil_div(rows_, strip_rows_);
    scale_ = std::exp(*p.log_scale.template as<float>());
  }

  void add_scratch(ScratchPlan& plan) {
    column_max_ = plan.add<float>(strips_ * columns_);
    column_sum_ = plan.add<float>(strips_ * columns_);
    workspace_ = plan.add<Workspace>(ctx_.pool->size());
  }

  int64_t count() const { return strips_; }

  /// `positive`, [rows], gets the positive logits. Calls finish_rows(strip, first row, rows, their
  /// statistics) for each tile of rows, those of a strip in order.
  template <typename FinishRows>
  void run(const ScratchPlan& plan, float* positive, FinishRows&& finish_rows) {
    column_ = {plan[column_max_], plan[column_sum_]};
    positive_ = positive;
    parallel_for(ctx_, strips_, [&](int64_t strip, int worker) {
      Workspace& w = plan[workspace_][worker];
      const LogitStatistics column{column_.max + strip * columns_, column_.sum + strip * columns_};
      std::fill_n(column.max, columns_, kLowestLogit);
      std::fill_n(column.sum, columns_, 0.0f);
      const int64_t end = std::min(rows_, (strip + 1) * strip_rows_);
      for (int64_t row = strip * strip_rows_; row < end; row += tile_rows_) {
        const int64_t rows = std::min(tile_rows_, end - row);
        row_tile_statistics(row, rows, column, w);
        finish_rows(strip, row, rows, LogitStatistics{w.row_max, w.row_sum});
      }
    });
  }

  /// After run().
  MergedSum column(int64_t j) const { return merged(column_, strips_, columns_, j); }

  /// Calls body(block, first column, end) for blocks of columns.
  template <typename Body>
  void for_column_blocks(Body&& body) const {
    parallel_for(ctx_, column_blocks(), [&](int64_t block, int) {
      body(block, block * kMergeBlock, std::min(columns_, (block + 1) * kMergeBlock));
    });
  }
  int64_t column_blocks() const { return ceil_div(columns_, kMergeBlock); }

 private:
  struct Workspace {
    float products[kLogitTileRows * kLogitTileColumns];
    float new_max[kLogitTileColumns];
    float row_max[kLogitTileRows];
    float row_sum[kLogitTileRows];
  };

  void row_tile_statistics(int64_t row, int64_t rows, LogitStatistics column, Workspace& w) {
    std::fill_n(w.row_max, rows, kLowestLogit);
    std::fill_n(w.row_sum, rows, 0.0f);
    for (int64_t j = 0; j < columns_; j += kLogitTileColumns) {
      const int64_t columns = std::min(kLogitTileColumns, columns_ - j);
      logit_products(p_, row, rows, j, columns, w.products);
      add_tile_statistics({w.products, kLogitTileColumns, rows, columns, scale_}, {w.row_max, w.row_sum},
                          {column.max + j, column.sum + j}, w.new_max);
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t positive = p_.label_offset + row + i - j;
        if (positive >= 0 && positive < columns) {
          positive_[row + i] = scale_ * w.products[i * kLogitTileColumns + positive];
        }
      }
    }
  }

  const Params& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, tile_rows_;
  int64_t strip_rows_ = 0, strips_ = 0;
  ScratchPlan::Slot<float> column_max_{}, column_sum_{};  // [strips, columns]
  ScratchPlan::Slot<Workspace> workspace_{};
  LogitStatistics column_;
  float* positive_ = nullptr;
  float scale_ = 1.0f;
};

}  // namespace

void contrastive_loss_forward_cpu(const ContrastiveLossForward& p, const ExecContext& ctx) {
  const int64_t rows = p.image.size(0);
  Strips strips(p, ctx);
  ScratchPlan plan;
  strips.add_scratch(plan);
  const auto own_positive = plan.add<float>(p.positive ? 0 : rows);
  const auto loss_slot = plan.add<double>(strips.count() + strips.column_blocks());
  plan.reserve(ctx);
  float* positive = p.positive ? p.positive.as<float>() : plan[own_positive];
  double* losses = plan[loss_slot];
  std::fill_n(losses, strips.count(), 0.0);

  strips.run(plan, positive, [&](int64_t strip, int64_t row, int64_t count, const LogitStatistics& row_sums) {
    double loss = 0;
    for (int64_t i = 0; i < count; ++i) {
      loss += finish({row_sums.max[i], static_cast<double>(row_sums.sum[i])}, p.row_lse.as<float>()[row + i],
                     positive + row + i);
    }
    losses[strip] += loss;
  });
  strips.for_column_blocks([&](int64_t block, int64_t first, int64_t end) {
    double loss = 0;
    for (int64_t j = first; j < end; ++j) {
      const int64_t row = j - p.label_offset;
      const float* of_column = row >= 0 && row < rows ? positive + row : nullptr;
      loss += finish(strips.column(j), p.column_lse.as<float>()[j], of_column);
    }
    losses[strips.count() + block] = loss;
  });
  double loss = 0;
  for (int64_t i = 0; i < strips.count() + strips.column_blocks(); ++i) loss += losses[i];
  *p.loss.as<float>() = static_cast<float>(0.5 * loss / static_cast<double>(rows));
}

void contrastive_loss_part_forward_cpu(const ContrastiveLossPartForward& p, const ExecContext& ctx) {
  Strips strips(p, ctx);
  ScratchPlan plan;
  strips.add_scratch(plan);
  plan.reserve(ctx);
  const auto store = [](const MergedSum& m, const TensorView& max, const TensorView& sum, int64_t at) {
    max.as<float>()[at] = m.max;
    sum.as<float>()[at] = static_cast<float>(m.value());
  };
  strips.run(
      plan, p.positive.as<float>(),
      [&](int64_t, int64_t row, int64_t count, const LogitStatistics& row_sums) {
        for (int64_t i = 0; i < count; ++i) {
          store({row_sums.max[i], static_cast<double>(row_sums.sum[i])}, p.row_max, p.row_sum, row + i);
        }
      });
  strips.for_column_blocks([&](int64_t, int64_t first, int64_t end) {
    for (int64_t j = first; j < end; ++j) store(strips.column(j), p.column_max, p.column_sum, j);
  });
}

void contrastive_loss_merge_cpu(const ContrastiveLossMerge& p, const ExecContext& ctx) {
  const int64_t parts = p.max.size(0), elements = p.max.size(1);
  const int64_t groups = std::max<int64_t>(std::ssize(p.losses), 1), group = elements / groups;
  const int64_t blocks = ceil_div(group, kMergeBlock);  // of each group
  const LogitStatistics statistics{p.max.as<float>(), p.sum.as<float>()};
  ScratchPlan plan;
  const auto loss_slot = plan.add<double>(groups * blocks);
  plan.reserve(ctx);
  double* losses = plan[loss_slot];
  parallel_for(ctx, groups * blocks, [&](int64_t task, int) {
    const int64_t first = task / blocks * group, block = first + task % blocks * kMergeBlock;
    double loss = 0;
    for (int64_t j = block; j < std::min(first + group, block + kMergeBlock); ++j) {
      loss += finish(merged(statistics, parts, elements, j), p.lse.as<float>()[j],
                     p.positive ? p.positive.as<float>() + j : nullptr);
    }
    losses[task] = loss;
  });
  for (int64_t g = 0; g < std::ssize(p.losses); ++g) {
    double loss = 0;
    for (int64_t b = 0; b < blocks; ++b) loss += losses[g * blocks + b];
    p.losses[static_cast<size_t>(g)] = loss;
  }
}

void contrastive_loss_total_cpu(const ContrastiveLossTotal& p) {
  double sum = 0;
  for (const double term : p.terms) sum += term;
  *p.total.as<float>() = static_cast<float>(p.factor * sum);
}

}  // namespace cuclip
