#include "tests/support/ref_patch_embed.h"

namespace cuclip::test {

std::vector<double> ref_patches(const Buffer& image, const PatchEmbedShape& s, const double (&mean)[3],
                                const double (&stddev)[3], DType dtype) {
  std::vector<double> patches;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t i = 0; i < s.patches(); ++i) {
      const int64_t top = i / (s.columns / s.patch) * s.patch;
      const int64_t left = i % (s.columns / s.patch) * s.patch;
      for (int64_t c = 0; c < 3; ++c) {
        for (int64_t y = top; y < top + s.patch; ++y) {
          for (int64_t x = left; x < left + s.patch; ++x) {
            const double value =
                image.dtype() == DType::u8
                    ? (image.at(((b * s.height + y) * s.columns + x) * 3 + c) / 255.0 - mean[c]) / stddev[c]
                    : image.at(((b * 3 + c) * s.height + y) * s.columns + x);
            const auto single = static_cast<float>(value);
            patches.push_back(dtype == DType::bf16 ? static_cast<float>(bfloat16(single)) : value);
          }
        }
      }
    }
  }
  return patches;
}

std::vector<double> ref_patch_embed(const std::vector<double>& patches, const std::vector<double>& weight,
                                    const std::vector<double>& class_token,
                                    const std::vector<double>& position, const PatchEmbedShape& s) {
  std::vector<double> out;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t row = 0; row <= s.patches(); ++row) {
      for (int64_t w = 0; w < s.width; ++w) {
        double sum = position[static_cast<size_t>(row * s.width + w)];
        if (row == 0) {
          sum += class_token[static_cast<size_t>(w)];
        } else {
          const double* patch = &patches[static_cast<size_t>((b * s.patches() + row - 1) * s.length())];
          const double* weights = &weight[static_cast<size_t>(w * s.length())];
          for (int64_t i = 0; i < s.length(); ++i) sum += patch[i] * weights[i];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

PatchEmbedGradients ref_patch_embed_backward(const std::vector<double>& patches,
                                             const std::vector<double>& dout, const PatchEmbedShape& s) {
  PatchEmbedGradients g{.dweight = std::vector<double>(static_cast<size_t>(s.width * s.length())),
                        .dclass_token = std::vector<double>(static_cast<size_t>(s.width)),
                        .dposition = std::vector<double>(static_cast<size_t>((1 + s.patches()) * s.width))};
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t row = 0; row <= s.patches(); ++row) {
      for (int64_t w = 0; w < s.width; ++w) {
        const double d = dout[static_cast<size_t>((b * (1 + s.patches()) + row) * s.width + w)];
        g.dposition[static_cast<size_t>(row * s.width + w)] += d;
        if (row == 0) {
          g.dclass_token[static_cast<size_t>(w)] += d;
          continue;
        }
        const double* patch = &patches[static_cast<size_t>((b * s.patches() + row - 1) * s.length())];
        double* dweight = &g.dweight[static_cast<size_t>(w * s.length())];
        for (int64_t i = 0; i < s.length(); ++i) dweight[i] += d * patch[i];
      }
    }
  }
  return g;
}

}  // namespace cuclip::test
