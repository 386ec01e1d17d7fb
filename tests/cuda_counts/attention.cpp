// Attention of CLIP's sequences: 50, 197 and 257 tokens of a picture (ViT-B/32, B/16, L/14) and 77 of a text.
#include "kernels/attention/attention.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kHeads = 2;

struct Case {
  int64_t length, head_dim;
  bool causal;
  double forward_useful, backward_useful;  // at least: what 16x8 tiles leave of the length, less a little
};

std::string name_of(const char* direction, const Case& c) {
  return fmt::format("attention {}, {} x {}{}", direction, c.length, c.head_dim, c.causal ? ", causal" : "");
}

// `tensors`: how many [B, S, C] are read or written once. `products`: of S x S x D that are needed.
Bounds bounds(const Case& c, int tensors, int products) {
  const auto length = static_cast<double>(c.length), width = static_cast<double>(kHeads * c.head_dim);
  const double pairs = c.causal ? length * (length + 1) / 2 : length * length;
  return {.activation_bytes = length * width * tensors * 2,
          .useful_flop = 2 * pairs * width * products,
          .most_conflicts = 0.01};
}

// Long sequences stream: their traffic is reported and has no target.
bool streamed(const Case& c) { return c.length > 257; }

void forward(Counts& counts, const Case& c) {
  const int64_t width = kHeads * c.head_dim;
  const AttentionForward p{.qkv = counts.tensor(Role::activation, {1, c.length, 3 * width}, DType::bf16),
                           .out = counts.tensor(Role::activation, {1, c.length, width}, DType::bf16),
                           .lse = counts.tensor(Role::statistic, {1, kHeads, c.length}, DType::f32),
                           .heads = kHeads,
                           .causal = c.causal};
  Bounds b = bounds(c, 4, 2);
  b.most_traffic = streamed(c) ? 0 : 1.05;
  b.least_useful = c.forward_useful;
  counts.run(name_of("forward", c), b, [&](const ExecContext& ctx) { attention_forward(p, ctx); });
}

void backward(Counts& counts, const Case& c) {
  const int64_t width = kHeads * c.head_dim;
  const auto rows = [&] { return counts.tensor(Role::activation, {1, c.length, width}, DType::bf16); };
  const AttentionBackward p{.qkv = counts.tensor(Role::activation, {1, c.length, 3 * width}, DType::bf16),
                            .out = rows(),
                            .lse = counts.tensor(Role::statistic, {1, kHeads, c.length}, DType::f32),
                            .dout = rows(),
                            .dqkv = counts.tensor(Role::activation, {1, c.length, 3 * width}, DType::bf16),
                            .heads = kHeads,
                            .causal = c.causal};
  Bounds b = bounds(c, 8, 5);
  b.most_traffic = streamed(c) || c.head_dim > 64 ? 0 : 1.15;
  b.least_useful = c.backward_useful;
  counts.run(name_of("backward", c), b, [&](const ExecContext& ctx) { attention_backward(p, ctx); });
}

}  // namespace

void count_attention(Counts& counts) {
  // The last two compute seven products in the backward.
  for (const Case& c :
       {Case{50, 64, false, 0.65, 0.64}, Case{77, 64, false, 0.88, 0.88}, Case{197, 64, false, 0.88, 0.88},
        Case{257, 64, false, 0.88, 0.88}, Case{50, 64, true, 0.50, 0.50}, Case{77, 64, true, 0.76, 0.76},
        Case{197, 64, true, 0.82, 0.82}, Case{257, 64, true, 0.83, 0.83}, Case{257, 80, false, 0.88, 0.64},
        Case{577, 64, false, 0.88, 0.68}}) {
    forward(counts, c);
    backward(counts, c);
  }
}

}  // namespace cuclip::test
