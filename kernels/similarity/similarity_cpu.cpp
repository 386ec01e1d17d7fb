// Similarity on the CPU: products of tiles by oneDNN, scaled by the inverse norms while they are in cache.
#include "kernels/similarity/similarity_cpu.h"

#include <algorithm>

#include "kernels/common/scratch_plan.h"
#include "kernels/similarity/similarity_rows.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {

constexpr int64_t kElementsPerTask = 64 * 1024;  // of row-wise passes
constexpr int64_t kTileRows = 256;
constexpr int64_t kTileColumns = 256;
// cosine_similarity: columns per task.
constexpr int64_t kStripColumns = 1024;
// top_k: with few rows, columns are cut into chunks of at least this many, so that there are some 64 tasks.
constexpr int64_t kMinChunk = 4096;
constexpr int64_t kTopKTasks = 64;

// Calls body(begin, end) for ranges of the rows of an [n, d] matrix.
template <typename Body>
void for_row_ranges(int64_t n, int64_t d, const ExecContext& ctx, Body&& body) {
  const int64_t rows = std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, d));
  parallel_for(ctx, ceil_div(n, rows),
               [&](int64_t task, int) { body(task * rows, std::min(n, (task + 1) * rows)); });
}

const char* row_of(const TensorView& x, int64_t row) {
  return static_cast<const char*>(x.data) + static_cast<size_t>(row * x.size(1)) * size_of(x.dtype);
}

// out [m, n] = a[row ...] · b[column ...]ᵀ
void dot_products(const TensorView& a, int64_t row, int64_t m, const TensorView& b, int64_t column, int64_t n,
                  float* out, int64_t stride) {
  const int64_t depth = a.size(1);
  tile_product({.a = row_of(a, row),
                .b = row_of(b, column),
                .c = out,
                .m = m,
                .n = n,
                .k = depth,
                .lda = depth,
                .ldb = depth,
                .ldc = stride,
                .transpose_b = true,
                .input = a.dtype});
}

class TopKSearch {
 public:
  TopKSearch(const TopK& p, const ExecContext& ctx)
      : p_(p), ctx_(ctx), rows_(p.a.size(0)), columns_(p.b.size(0)), row_tiles_(ceil_div(rows_, kTileRows)) {
    const int64_t wanted = std::max<int64_t>(1, kTopKTasks / std::max<int64_t>(1, row_tiles_));
    const int64_t most = std::max<int64_t>(1, columns_ / kMinChunk);
    chunk_columns_ = round_up(ceil_div(columns_, std::min(wanted, most)), kTileColumns);
    chunks_ = ceil_div(columns_, chunk_columns_);
    kept_ = std::min(p.k, chunk_columns_);
    ScratchPlan plan;
    const auto a_rnorm = plan.add<float>(rows_);
    const auto b_rnorm = plan.add<float>(p.b_rnorm ? 0 : columns_);
    const auto candidates = plan.add<Candidate>(rows_ * chunks_ * kept_);
    const auto tiles = plan.add<float>(ctx.pool->size() * kTileRows * kTileColumns);
    plan.reserve(ctx);
    a_rnorm_ = plan[a_rnorm];
    computed_b_rnorm_ = p.b_rnorm ? nullptr : plan[b_rnorm];
    b_rnorm_ = p.b_rnorm ? p.b_rnorm.as<float>() : computed_b_rnorm_;
    candidates_ = plan[candidates];
    tiles_ = plan[tiles];
  }

  void run() {
    for_row_ranges(rows_, p_.a.size(1), ctx_,
                   [&](int64_t begin, int64_t end) { inverse_norms(p_.a, begin, end, a_rnorm_); });
    // With one tile of rows each row of b is visited once, and its norm is taken on that visit.
    if (computed_b_rnorm_ && row_tiles_ > 1) {
      for_row_ranges(columns_, p_.b.size(1), ctx_,
                     [&](int64_t begin, int64_t end) { inverse_norms(p_.b, begin, end, computed_b_rnorm_); });
    }
    parallel_for(ctx_, row_tiles_ * chunks_, [&](int64_t task, int worker) {
      search(task / chunks_ * kTileRows, task % chunks_, tiles_ + worker * kTileRows * kTileColumns);
    });
    for_row_ranges(rows_, chunks_ * kept_, ctx_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) merge(i);
    });
  }

 private:
  Candidate* candidates_of(int64_t row, int64_t chunk) const {
    return candidates_ + (row * chunks_ + chunk) * kept_;
  }

  // The kept_ best of one chunk of columns for each row of a tile.
  void search(int64_t row, int64_t chunk, float* tile) {
    const int64_t rows = std::min(kTileRows, rows_ - row);
    const int64_t end = std::min(columns_, (chunk + 1) * chunk_columns_);
    CandidateHeap heaps[kTileRows];
    for (int64_t i = 0; i < rows; ++i)
      heaps[i] = {.items = candidates_of(row + i, chunk), .size = 0, .capacity = kept_};
    for (int64_t j = chunk * chunk_columns_; j < end; j += kTileColumns) {
      const int64_t columns = std::min(kTileColumns, end - j);
      if (computed_b_rnorm_ && row_tiles_ == 1) inverse_norms(p_.b, j, j + columns, computed_b_rnorm_);
      dot_products(p_.a, row, rows, p_.b, j, columns, tile, kTileColumns);
      for (int64_t i = 0; i < rows; ++i) {
        float* products = tile + i * kTileColumns;
        scale_row(products, b_rnorm_ + j, a_rnorm_[row + i] * p_.scale, columns);
        offer_row(products, columns, j, heaps[i]);
      }
    }
  }

  void merge(int64_t row) {
    Candidate* begin = candidates_of(row, 0);
    // Every chunk gave kept_ candidates, except perhaps the last, which may have fewer columns.
    const int64_t last_columns = columns_ - (chunks_ - 1) * chunk_columns_;
    Candidate* end = begin + (chunks_ - 1) * kept_ + std::min(kept_, last_columns);
    std::partial_sort(begin, begin + p_.k, end, ranks_before);
    for (int64_t i = 0; i < p_.k; ++i) {
      p_.values.as<float>()[row * p_.k + i] = begin[i].value;
      p_.indices.as<int32_t>()[row * p_.k + i] = begin[i].index;
    }
  }

  const TopK& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, row_tiles_;
  int64_t chunks_ = 0, chunk_columns_ = 0, kept_ = 0;
  float* a_rnorm_ = nullptr;
  float* computed_b_rnorm_ = nullptr;  // b_rnorm_, if nobody gave it
  const float* b_rnorm_ = nullptr;
  Candidate* candidates_ = nullptr;  // [rows, chunks, kept]
  float* tiles_ = nullptr;           // [workers, kTileRows, kTileColumns]
};

}  // namespace

void l2_normalize_forward_cpu(const L2NormalizeForward& p, const ExecContext& ctx) {
  for_row_ranges(p.x.size(0), p.x.size(1), ctx, [&](int64_t begin, int64_t end) {
    p.y ? l2_normalize_rows(p, begin, end) : inverse_norms(p.x, begin, end, p.rnorm.as<float>());
  });
}

void l2_normalize_backward_cpu(const L2NormalizeBackward& p, const ExecContext& ctx) {
  for_row_ranges(p.dy.size(0), p.dy.size(1), ctx,
                 [&](int64_t begin, int64_t end) { l2_normalize_rows_backward(p, begin, end); });
}

void cosine_similarity_cpu(const CosineSimilarity& p, const ExecContext& ctx) {
  const int64_t rows = p.a.size(0), columns = p.b.size(0);
  ScratchPlan plan;
  const auto a_slot = plan.add<float>(rows), b_slot = plan.add<float>(columns);
  plan.reserve(ctx);
  float* a_rnorm = plan[a_slot];
  float* b_rnorm = plan[b_slot];
  for_row_ranges(rows, p.a.size(1), ctx,
                 [&](int64_t i, int64_t end) { inverse_norms(p.a, i, end, a_rnorm); });
  for_row_ranges(columns, p.b.size(1), ctx,
                 [&](int64_t j, int64_t end) { inverse_norms(p.b, j, end, b_rnorm); });
  const int64_t strips = ceil_div(columns, kStripColumns);
  parallel_for(ctx, ceil_div(rows, kTileRows) * strips, [&](int64_t task, int) {
    const int64_t row = task / strips * kTileRows, m = std::min(kTileRows, rows - row);
    const int64_t end = std::min(columns, (task % strips + 1) * kStripColumns);
    for (int64_t j = task % strips * kStripColumns; j < end; j += kTileColumns) {
      const int64_t n = std::min(kTileColumns, end - j);
      float* out = p.out.as<float>() + row * columns + j;
      dot_products(p.a, row, m, p.b, j, n, out, columns);
      for (int64_t i = 0; i < m; ++i)
        scale_row(out + i * columns, b_rnorm + j, a_rnorm[row + i] * p.scale, n);
    }
  });
}

void top_k_cpu(const TopK& p, const ExecContext& ctx) { TopKSearch(p, ctx).run(); }

}  // namespace cuclip
