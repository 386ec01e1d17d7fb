// Pointwise operations over the hidden layer of an MLP of width 768: 4 pictures of 197 tokens (their counts
// do not depend on how many).
#include "kernels/pointwise/pointwise.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kElements = 4 * 197 * 3072;

}  // namespace

void count_pointwise(Counts& counts) {
  const auto hidden = [&](DType dtype) { return counts.tensor(Role::activation, {kElements}, dtype); };
  const auto bounds = [](double bytes) {
    return Bounds{.activation_bytes = static_cast<double>(kElements) * bytes, .most_traffic = 1.0};
  };
  const Cast narrow{.x = hidden(DType::f32), .out = hidden(DType::bf16)};
  Bounds cast_bounds = bounds(6);
  cast_bounds.vectors_only = false;  // 16 bytes of f32 are 8 of bf16
  counts.run("cast f32 to bf16", cast_bounds, [&](const ExecContext& ctx) { cast(narrow, ctx); });
  const Add sum{.a = hidden(DType::bf16), .b = hidden(DType::bf16), .out = hidden(DType::bf16)};
  counts.run("add", bounds(6), [&](const ExecContext& ctx) { add(sum, ctx); });
  for (const Activation kind : {Activation::gelu, Activation::quick_gelu}) {
    const char* name = kind == Activation::gelu ? "gelu" : "quick_gelu";
    const ActivationForward forward{.x = hidden(DType::bf16), .y = hidden(DType::bf16), .kind = kind};
    counts.run(fmt::format("{} forward", name), bounds(4),
               [&](const ExecContext& ctx) { activation_forward(forward, ctx); });
    const ActivationBackward backward{
        .x = hidden(DType::bf16), .dy = hidden(DType::bf16), .dx = hidden(DType::bf16), .kind = kind};
    counts.run(fmt::format("{} backward", name), bounds(6),
               [&](const ExecContext& ctx) { activation_backward(backward, ctx); });
  }
}

}  // namespace cuclip::test
