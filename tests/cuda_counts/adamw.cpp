// AdamW over an arena of a million parameters: a weight matrix and the biases of a transformer block of width
// 768.
#include "kernels/adamw/adamw.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {

void count_adamw(Counts& counts) {
  constexpr int64_t kElements = int64_t{1} << 20;
  const std::vector<AdamWSegment> segments = {{0, kElements - 4096, 0.2f},
                                              {kElements - 4096, 2304},
                                              {kElements - 1792, 768},
                                              {kElements - 1024, 1024}};
  const auto arena = [&](DType dtype) { return counts.tensor(Role::activation, {kElements}, dtype); };
  const auto bounds = [](double bytes) {
    return Bounds{.activation_bytes = static_cast<double>(kElements) * bytes, .most_traffic = 1.0};
  };
  const auto there = [&] { return counts.values(Role::statistic, segments); };
  const auto control = [&] {
    return counts.values(Role::statistic, std::vector<AdamWControl>{{.steps = 1, .bias1 = 0.1}}).data();
  };
  const auto state = [&] {
    return AdamWStep{.weights = arena(DType::f32),
                     .gradients = arena(DType::f32),
                     .exp_avg = arena(DType::f32),
                     .exp_avg_sq = arena(DType::f32),
                     .segments = there(),
                     .control = control()};
  };
  const AdamWStep plain = state();
  counts.run("adamw", bounds(28), [&](const ExecContext& ctx) { adamw_step(plain, ctx); });
  AdamWStep all = state();
  all.weights_bf16 = arena(DType::bf16);
  all.zero_gradients = true;
  Bounds narrow = bounds(34);
  narrow.vectors_only = false;  // 16 bytes of f32 are 8 of bf16
  counts.run("adamw, bf16 copy, zeroed gradients", narrow,
             [&](const ExecContext& ctx) { adamw_step(all, ctx); });
  const AdamWBegin begin{.gradients = arena(DType::f32),
                         .segments = there(),
                         .lr = counts.tensor(Role::statistic, {1}, DType::f32),
                         .control = control()};
  counts.run("gradient norm", bounds(4), [&](const ExecContext& ctx) { adamw_begin(begin, ctx); });
}

}  // namespace cuclip::test
