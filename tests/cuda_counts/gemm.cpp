// The products of an MLP of width 768 over 9 pictures of 197 tokens (13.9 rows of tiles), forward and
// backward. The least traffic is that of 128 x 128 tiles: a is read once for each 128 columns of c, b once
// for each 128 rows, what is as large as c once.
#include "kernels/gemm/gemm.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kRows = 9 * 197, kWidth = 768, kHidden = 4 * kWidth;

// A product of [m, k] and [k, n] whose result is moved `results` times, all with `size` bytes per
// element.
Bounds bounds(int64_t m, int64_t n, int64_t k, int results, int64_t size) {
  const int64_t operands = ceil_div(n, 128) * m * k + ceil_div(m, 128) * n * k;
  return {.activation_bytes = static_cast<double>((operands + results * m * n) * size),
          .most_traffic = 1.0,
          .useful_flop = 2.0 * static_cast<double>(m * n * k),
          .least_useful = 0.97};
}

void forward(Counts& counts) {
  const auto bf16 = [&](int64_t m, int64_t n) {
    return counts.tensor(Role::activation, {m, n}, DType::bf16);
  };
  const Gemm up{.a = bf16(kRows, kWidth),
                .b = bf16(kHidden, kWidth),
                .c = bf16(kRows, kHidden),
                .transpose_b = true,
                .bias = counts.tensor(Role::parameter, {kHidden}, DType::f32),
                .activation = Activation::quick_gelu,
                .pre_activation = bf16(kRows, kHidden)};
  counts.run("gemm 768 to 3072 + bias + quick_gelu", bounds(kRows, kHidden, kWidth, 2, 2),
             [&](const ExecContext& ctx) { gemm(up, ctx); });
  const Gemm down{.a = bf16(kRows, kHidden),
                  .b = bf16(kWidth, kHidden),
                  .c = bf16(kRows, kWidth),
                  .transpose_b = true,
                  .bias = counts.tensor(Role::parameter, {kWidth}, DType::f32)};
  counts.run("gemm 3072 to 768 + bias", bounds(kRows, kWidth, kHidden, 1, 2),
             [&](const ExecContext& ctx) { gemm(down, ctx); });
  constexpr int64_t kFewRows = 2 * 197;
  const auto f32 = [&](int64_t m, int64_t n) { return counts.tensor(Role::activation, {m, n}, DType::f32); };
  const Gemm plain{
      .a = f32(kFewRows, kWidth), .b = f32(kWidth, kWidth), .c = f32(kFewRows, kWidth), .transpose_b = true};
  Bounds exact = bounds(kFewRows, kWidth, kWidth, 1, 4);
  exact.useful_flop = exact.least_useful = 0;  // not on tensor cores
  exact.vectors_only = false;                  // operands are copied element by element
  counts.run("gemm 768 to 768, f32", exact, [&](const ExecContext& ctx) { gemm(plain, ctx); });
  const Gemm rounded{.a = f32(kRows, kWidth), .b = f32(kWidth, kWidth), .c = f32(kRows, kWidth)};
  Bounds tf32 = bounds(kRows, kWidth, kWidth, 1, 4);
  tf32.tf32 = true;
  counts.run("gemm 768 to 768, tf32", tf32, [&](const ExecContext& ctx) { gemm(rounded, ctx); });
}

void backward(Counts& counts) {
  const auto bf16 = [&](int64_t m, int64_t n) {
    return counts.tensor(Role::activation, {m, n}, DType::bf16);
  };
  const Gemm gated{.a = bf16(kRows, kWidth),
                   .b = bf16(kWidth, kHidden),
                   .c = bf16(kRows, kHidden),
                   .activation = Activation::quick_gelu,
                   .gate = bf16(kRows, kHidden)};
  counts.run("gemm backward 768 to 3072 + gate", bounds(kRows, kHidden, kWidth, 2, 2),
             [&](const ExecContext& ctx) { gemm(gated, ctx); });
  const Gemm input{.a = bf16(kRows, kHidden), .b = bf16(kHidden, kWidth), .c = bf16(kRows, kWidth)};
  counts.run("gemm backward 3072 to 768", bounds(kRows, kWidth, kHidden, 1, 2),
             [&](const ExecContext& ctx) { gemm(input, ctx); });
}

// Scratch has the sums of all slices of the rows but the first: the fewer tiles, the more slices.
void weight_gradient(Counts& counts, int64_t n, int64_t k, double most_scratch, DType dtype = DType::bf16) {
  const GemmWeightGradient p{
      .dy = counts.tensor(Role::activation, {kRows, n}, dtype),
      .x = counts.tensor(Role::activation, {kRows, k}, dtype),
      .dweight = counts.tensor(Role::parameter, {n, k}, DType::f32),
      // A sum for each column, stored one by one: not among what has to move in vectors.
      .dbias = counts.tensor(Role::statistic, {n}, DType::f32)};
  Bounds least = bounds(n, k, kRows, 0, static_cast<int64_t>(size_of(dtype)));
  least.most_scratch = most_scratch;
  least.tf32 = dtype == DType::f32;
  counts.run(fmt::format("gemm weight gradient, {} x {} + bias{}", n, k, least.tf32 ? ", tf32" : ""), least,
             [&](const ExecContext& ctx) { gemm_weight_gradient(p, ctx); });
}

}  // namespace

void count_gemm(Counts& counts) {
  forward(counts);
  backward(counts);
  weight_gradient(counts, kHidden, kWidth, 0.15);
  weight_gradient(counts, kWidth, kHidden, 0.15);
  weight_gradient(counts, kWidth, kWidth, 0.45);
  weight_gradient(counts, kWidth, kWidth, 0.23, DType::f32);
}

}  // namespace cuclip::test
