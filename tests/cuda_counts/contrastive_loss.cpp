// The contrastive loss of 512 pairs, and of a rank's 256 pictures with 1,024 texts, features of 512. The
// least traffic is that of 128 x 128 tiles: operands once for each 128 rows or columns of a product's result,
// what is as large as the result once.
#include "kernels/contrastive_loss/contrastive_loss.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kDepth = 512;

struct Case {
  int64_t rows, columns;
  DType dtype;
  bool tf32 = false;
  bool words = false;
};

std::string name_of(const char* direction, const Case& c) {
  return fmt::format("contrastive loss {}, {} x {}{}{}", direction, c.rows, c.columns,
                     c.tf32                  ? ", tf32"
                     : c.dtype == DType::f32 ? ", f32"
                                             : "",
                     c.words ? ", words" : "");
}

// The sets of so many rows, or none.
TensorView words(Counts& counts, const Case& c, int64_t rows) {
  return c.words ? counts.tensor(Role::statistic, {rows, 4}, DType::i32) : TensorView();
}

// For features and their gradients; `scratch` is what else has to move, in bytes. `products`: of rows x
// columns x depth that are needed.
Bounds bounds(const Case& c, double elements, double scratch, int products) {
  const bool tensor_cores = c.tf32 || c.dtype == DType::bf16;
  const double bytes = elements * static_cast<double>(size_of(c.dtype));
  // With words, tensor cores count the bits that two sets of 128 have in common, and the bits of each set.
  const int64_t depth = kDepth * products + (c.words ? 128 : 0);
  return {.activation_bytes = bytes,
          .most_traffic = 1.0,
          .most_scratch = scratch / bytes,
          .useful_flop = tensor_cores ? 2.0 * static_cast<double>(c.rows * c.columns * depth) : 0.0,
          .least_useful = !tensor_cores ? 0.0
                          : c.words     ? 0.88
                                        : 1.0,
          .vectors_only = tensor_cores,  // f32 operands are copied element by element
          .tf32 = c.tf32};
}

// Operands of the logits: images once for each 128 texts, texts once for each 128 images.
int64_t operands(const Case& c) {
  return (ceil_div(c.columns, 128) * c.rows + ceil_div(c.rows, 128) * c.columns) * kDepth;
}

void forward(Counts& counts, const Case& c) {
  const ContrastiveLossForward p{.image = counts.tensor(Role::activation, {c.rows, kDepth}, c.dtype),
                                 .text = counts.tensor(Role::activation, {c.columns, kDepth}, c.dtype),
                                 .log_scale = counts.tensor(Role::statistic, {1}, DType::f32),
                                 .image_words = words(counts, c, c.rows),
                                 .text_words = words(counts, c, c.columns),
                                 .loss = counts.tensor(Role::statistic, {1}, DType::f32),
                                 .row_lse = counts.tensor(Role::statistic, {c.rows}, DType::f32),
                                 .column_lse = counts.tensor(Role::statistic, {c.columns}, DType::f32),
                                 .positive = counts.tensor(Role::statistic, {c.rows}, DType::f32)};
  // Statistics of the tiles, 8 bytes per row and per column, written and read, and the sums of 32
  // cross-entropies: a sector written for each and 8 bytes read.
  const int64_t statistics = c.rows * ceil_div(c.columns, 128) + c.columns * ceil_div(c.rows, 128);
  const double scratch = static_cast<double>(2 * 8 * statistics + (32 + 8) * (c.rows + c.columns) / 32);
  counts.run(name_of("forward", c), bounds(c, static_cast<double>(operands(c)), scratch, 1),
             [&](const ExecContext& ctx) { contrastive_loss_forward(p, ctx); });
}

void backward(Counts& counts, const Case& c) {
  const auto features = [&](int64_t rows) {
    return counts.tensor(Role::activation, {rows, kDepth}, c.dtype);
  };
  const ContrastiveLossBackward p{.image = features(c.rows),
                                  .text = features(c.columns),
                                  .log_scale = counts.tensor(Role::statistic, {1}, DType::f32),
                                  .image_words = words(counts, c, c.rows),
                                  .text_words = words(counts, c, c.columns),
                                  .row_lse = counts.tensor(Role::statistic, {c.rows}, DType::f32),
                                  .column_lse = counts.tensor(Role::statistic, {c.columns}, DType::f32),
                                  .dloss = counts.tensor(Role::statistic, {1}, DType::f32),
                                  .dimage = features(c.rows),
                                  .dtext = features(c.columns),
                                  .dlog_scale = counts.tensor(Role::statistic, {1}, DType::f32)};
  // The gradients' products read as much again, and G, which is written once, for each 128 features; 1 % for
  // dlog_scale.
  const auto elements = static_cast<double>(2 * operands(c) + (c.rows + c.columns) * kDepth);
  const double gradient = static_cast<double>(c.rows * c.columns) * static_cast<double>(size_of(c.dtype));
  counts.run(name_of("backward", c), bounds(c, elements, gradient * (1 + 2 * kDepth / 128) * 1.01, 3),
             [&](const ExecContext& ctx) { contrastive_loss_backward(p, ctx); });
}

}  // namespace

void count_contrastive_loss(Counts& counts) {
  for (Case c : {Case{512, 512, DType::bf16}, Case{256, 1024, DType::bf16}, Case{256, 256, DType::f32},
                 Case{512, 512, DType::f32, true}}) {
    for (const bool with_words : {false, true}) {
      c.words = with_words;
      forward(counts, c);
      backward(counts, c);
    }
  }
}

}  // namespace cuclip::test
