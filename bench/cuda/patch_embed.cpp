#include "kernels/patch_embed/patch_embed.h"

#include "bench/cuda/naive.h"
#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "kernels/pixels/pixels.h"

namespace cuclip::bench {
namespace {

// CLIP's.
constexpr std::array<float, 3> kMean{0.48145466f, 0.4578275f, 0.40821073f};
constexpr std::array<float, 3> kStddev{0.26862954f, 0.26130258f, 0.27577711f};

// Those that an ideal kernel does not move are the composition's: pictures that are normalised, filters with
// the channels last, patches without class token and position.
std::vector<TensorSpec> tensors(const Pictures& p, DType dtype) {
  const int64_t patches = p.side / p.patch;
  const float deviation = 1.0f / static_cast<float>(p.patch);
  return {{"image", {p.batch, p.side, p.side, 3}, DType::u8, Fill::bytes},
          {"weight_planar", {p.width, 3, p.patch, p.patch}, dtype, Fill::derived},
          {"class_token", {p.width}, DType::f32, Fill::normal},
          {"position", {1 + p.patches(), p.width}, DType::f32, Fill::normal},
          {"out", {p.batch, 1 + p.patches(), p.width}, dtype},
          {"x", {p.batch, p.side, p.side, 3}, dtype, Fill::zeros, 1, 0},
          {"weight", {p.width, p.patch, p.patch, 3}, dtype, Fill::normal, deviation, 0},
          {"y", {p.batch, patches, patches, p.width}, dtype, Fill::zeros, 1, 0}};
}

Contestant by_cudnn(const Pictures& p) {
  const CudnnConvolution problem{.batch = p.batch,
                                 .height = p.side,
                                 .width = p.side,
                                 .channels = 3,
                                 .outputs = p.width,
                                 .kernel = p.patch,
                                 .stride = p.patch,
                                 .padding = 0,
                                 .pass = ConvolutionPass::forward,
                                 .dweight = ""};
  return {.name = "cudnn", .prepare = [problem](Lab& lab, const Tensors& first) -> Launch {
            const Launch convolution = cudnn(problem).prepare(lab, first);
            return [convolution, context = lab.context](const Tensors& t) {
              normalize_pixels({.image = t.at("image"), .mean = kMean, .stddev = kStddev, .out = t.at("x")},
                               context->exec());
              convolution(t);
              naive::place_tokens(t.at("y"), t.at("class_token"), t.at("position"), t.at("out"),
                                  context->exec());
            };
          }};
}

/// The patch of a picture [H, W, 3] in the order of weight_planar, normalised.
Doubles patch_of(const std::vector<double>& bytes, const Pictures& p, int64_t patch) {
  Doubles values;
  const int64_t top = patch / (p.side / p.patch) * p.patch, left = patch % (p.side / p.patch) * p.patch;
  for (size_t c = 0; c < 3; ++c) {
    for (int64_t y = top; y < top + p.patch; ++y) {
      for (int64_t x = left; x < left + p.patch; ++x) {
        const double byte = bytes[static_cast<size_t>((y * p.side + x) * 3) + c];
        values.push_back((byte / 255 - static_cast<double>(kMean[c])) / static_cast<double>(kStddev[c]));
      }
    }
  }
  return values;
}

std::vector<Deviation> deviations(const Pictures& p, const Tensors& t) {
  Comparison comparison;
  const Doubles weight = all_of(t.at("weight_planar")), class_token = all_of(t.at("class_token"));
  for (const int64_t b : spread(p.batch, 2)) {
    const Doubles out = row_of(t.at("out"), b), image = row_of(t.at("image"), b);
    for (const int64_t token : spread(1 + p.patches(), 4)) {
      const Doubles position = row_of(t.at("position"), token);
      const Doubles patch = token == 0 ? Doubles() : patch_of(image, p, token - 1);
      for (size_t w = 0; w < position.size(); ++w) {
        double sum = token == 0 ? class_token[w] : 0;
        for (size_t i = 0; i < patch.size(); ++i) sum += patch[i] * weight[w * patch.size() + i];
        comparison.add("out", out[static_cast<size_t>(token) * position.size() + w], sum + position[w]);
      }
    }
  }
  return comparison.deviations();
}

}  // namespace

Operation patch_embed_forward(const Pictures& p, Precision precision) {
  return {.name = "patch_embed_forward",
          .shape = fmt::format("B{}_S{}_P{}_W{}", p.batch, p.side, p.patch, p.width),
          .precision = precision,
          .flop = 2.0 * static_cast<double>(p.batch * p.patches()) *
                  static_cast<double>(p.width * 3 * p.patch * p.patch),
          .tensors = tensors(p, activation_dtype(precision)),
          .derive =
              [](const Tensors& t, const ExecContext& ctx) {
                naive::channels_first(t.at("weight"), t.at("weight_planar"), ctx);
              },
          .contestants = {ours([](const Tensors& t, const ExecContext& ctx) {
                            cuclip::patch_embed_forward({.image = t.at("image"),
                                                         .mean = kMean,
                                                         .stddev = kStddev,
                                                         .weight = t.at("weight_planar"),
                                                         .class_token = t.at("class_token"),
                                                         .position = t.at("position"),
                                                         .out = t.at("out")},
                                                        ctx);
                          }),
                          by_cudnn(p)},
          .deviations = [p](const Tensors& t) { return deviations(p, t); }};
}

}  // namespace cuclip::bench
