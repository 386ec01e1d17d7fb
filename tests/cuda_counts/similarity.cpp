// Normalisation of 512 features of width 512, and the similarities of 256 pictures with 512 captions: the
// matrix, and the 10 best; the 10 best of 8,192 for 128 captions and for one (retrieval and search), whose
// norms an index keeps. The least traffic of the products is that of 128 x 128 tiles (a is read once for each
// 128 rows of b, and the other way round), of norms that are computed each input once, of the matrix once.
#include "kernels/similarity/similarity.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kRows = 256, kColumns = 512, kDepth = 512;

void normalize(Counts& counts) {
  const auto features = [&] { return counts.tensor(Role::activation, {kColumns, kDepth}, DType::bf16); };
  const auto norms = [&] { return counts.tensor(Role::statistic, {kColumns}, DType::f32); };
  const double bytes = kColumns * kDepth * 2.0;
  const L2NormalizeForward forward{.x = features(), .y = features(), .rnorm = norms()};
  counts.run("l2_normalize forward", {.activation_bytes = 2 * bytes, .most_traffic = 1.0},
             [&](const ExecContext& ctx) { l2_normalize_forward(forward, ctx); });
  const L2NormalizeBackward backward{.dy = features(), .y = features(), .rnorm = norms(), .dx = features()};
  counts.run("l2_normalize backward", {.activation_bytes = 3 * bytes, .most_traffic = 1.0},
             [&](const ExecContext& ctx) { l2_normalize_backward(backward, ctx); });
}

double input_bytes(int64_t rows, int64_t columns, bool norms_given = false) {
  const int64_t products = ceil_div(columns, 128) * rows + ceil_div(rows, 128) * columns;
  const int64_t norms = norms_given ? rows : rows + columns;
  return static_cast<double>((products + norms) * kDepth * 2);
}

double flop(int64_t rows, int64_t columns) { return 2.0 * static_cast<double>(rows * columns * kDepth); }

void matrix(Counts& counts) {
  const CosineSimilarity p{.a = counts.tensor(Role::activation, {kRows, kDepth}, DType::bf16),
                           .b = counts.tensor(Role::activation, {kColumns, kDepth}, DType::bf16),
                           .scale = 100.0f,
                           .out = counts.tensor(Role::activation, {kRows, kColumns}, DType::f32)};
  counts.run("cosine similarity, 256 x 512",
             {.activation_bytes = input_bytes(kRows, kColumns) + kRows * kColumns * 4.0,
              .most_traffic = 1.0,
              .useful_flop = flop(kRows, kColumns),
              .least_useful = 1.0},
             [&](const ExecContext& ctx) { cosine_similarity(p, ctx); });
}

void best(Counts& counts, int64_t rows, int64_t columns, const Bounds& targets, bool norms_given = false) {
  constexpr int64_t kBest = 10;
  TopK p{.a = counts.tensor(Role::activation, {rows, kDepth}, DType::bf16),
         .b = counts.tensor(Role::activation, {columns, kDepth}, DType::bf16),
         .k = kBest,
         .values = counts.tensor(Role::statistic, {rows, kBest}, DType::f32),
         .indices = counts.tensor(Role::statistic, {rows, kBest}, DType::i32)};
  if (norms_given) p.b_rnorm = counts.tensor(Role::statistic, {columns}, DType::f32);
  Bounds bounds = targets;
  bounds.activation_bytes = input_bytes(rows, columns, norms_given);
  bounds.most_traffic = 1.0;
  bounds.useful_flop = flop(rows, columns);
  counts.run(fmt::format("top-k of {}, {} x {}{}", kBest, rows, columns, norms_given ? ", norms given" : ""),
             bounds, [&](const ExecContext& ctx) { top_k(p, ctx); });
}

}  // namespace

void count_similarity(Counts& counts) {
  normalize(counts);
  matrix(counts);
  // Scratch: the inverse norms, and 80 bytes for each row and each 64 columns, in and out. Of one row's tile
  // of products 127 rows are padding.
  best(counts, kRows, kColumns, {.most_scratch = 0.16, .least_useful = 1.0});
  best(counts, 128, 8192, {.most_scratch = 0.15, .least_useful = 1.0});
  best(counts, 1, 8192, {.most_scratch = 0.04});
  best(counts, 1, 8192, {.most_scratch = 0.01}, true);
}

}  // namespace cuclip::test
