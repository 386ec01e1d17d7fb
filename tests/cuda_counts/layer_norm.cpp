// Layer norm of the widths of CLIP's transformers over 64 pictures of 197 tokens.
#include "kernels/layer_norm/layer_norm.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kRows = 64 * 197;

// The least traffic where `tensors` activations are each read or written once.
Bounds bounds(int64_t width, int tensors, double most_traffic) {
  return {.activation_bytes = static_cast<double>(kRows * width * tensors) * 2.0,
          .most_traffic = most_traffic,
          .most_scratch = 0.10};
}

void forward(Counts& counts, int64_t width, bool residual) {
  const auto rows = [&] { return counts.tensor(Role::activation, {kRows, width}, DType::bf16); };
  const LayerNormForward p{.x = rows(),
                           .delta = residual ? rows() : TensorView(),
                           .sum = residual ? rows() : TensorView(),
                           .weight = counts.tensor(Role::parameter, {width}, DType::f32),
                           .bias = counts.tensor(Role::parameter, {width}, DType::f32),
                           .y = rows(),
                           .mean = counts.tensor(Role::statistic, {kRows}, DType::f32),
                           .rstd = counts.tensor(Role::statistic, {kRows}, DType::f32)};
  counts.run(fmt::format("layer_norm forward{}, C = {}", residual ? " + residual" : "", width),
             bounds(width, residual ? 4 : 2, 1.03),
             [&](const ExecContext& ctx) { layer_norm_forward(p, ctx); });
}

void backward(Counts& counts, int64_t width) {
  const auto rows = [&] { return counts.tensor(Role::activation, {kRows, width}, DType::bf16); };
  const LayerNormBackward p{.dy = rows(),
                            .x = rows(),
                            .weight = counts.tensor(Role::parameter, {width}, DType::f32),
                            .mean = counts.tensor(Role::statistic, {kRows}, DType::f32),
                            .rstd = counts.tensor(Role::statistic, {kRows}, DType::f32),
                            .dx = rows(),
                            .dweight = counts.tensor(Role::parameter, {width}, DType::f32),
                            .dbias = counts.tensor(Role::parameter, {width}, DType::f32)};
  counts.run(fmt::format("layer_norm backward, C = {}", width), bounds(width, 3, 1.05),
             [&](const ExecContext& ctx) { layer_norm_backward(p, ctx); });
}

}  // namespace

void count_layer_norm(Counts& counts) {
  for (const int64_t width : {512, 768, 1024}) {
    forward(counts, width, false);
    forward(counts, width, true);
    backward(counts, width);
  }
}

}  // namespace cuclip::test
