// float64 reference of the patch embedding.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/buffer.h"

namespace cuclip::test {

struct PatchEmbedShape {
  int64_t batch, height, columns, patch, width;
  int64_t patches() const { return (height / patch) * (columns / patch); }
  int64_t length() const { return 3 * patch * patch; }  // values of a patch
};

/// [B * n, length]: the patches of u8 [B, H, W, 3], normalised, or of f32 [B, 3, H, W], as they are; rounded
/// to dtype.
std::vector<double> ref_patches(const Buffer& image, const PatchEmbedShape& s, const double (&mean)[3],
                                const double (&stddev)[3], DType dtype);

/// [B, 1 + n, width] from ref_patches' result, weight [width, length], class token [width], position [1 + n,
/// width].
std::vector<double> ref_patch_embed(const std::vector<double>& patches, const std::vector<double>& weight,
                                    const std::vector<double>& class_token,
                                    const std::vector<double>& position, const PatchEmbedShape& s);

struct PatchEmbedGradients {
  std::vector<double> dweight, dclass_token, dposition;
};
PatchEmbedGradients ref_patch_embed_backward(const std::vector<double>& patches,
                                             const std::vector<double>& dout, const PatchEmbedShape& s);

}  // namespace cuclip::test
