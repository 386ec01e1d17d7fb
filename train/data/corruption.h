// Corrupted pictures, to measure how robust a model is: five of the corruptions of Hendrycks and Dietterich
// 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (ImageNet-C).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/words.h"
#include "models/image/image.h"
#include "models/image/image_transform.h"
#include "models/inference/encode.h"

namespace cuclip {

enum class CorruptionKind : uint8_t { noise, blur, contrast, jpeg, pixelate };
template <>
inline constexpr std::array<std::string_view, 5> kWords<CorruptionKind>{"noise", "blur", "contrast", "jpeg",
                                                                        "pixelate"};

struct Corruption {
  CorruptionKind kind = CorruptionKind::noise;
  int severity = 1;  // 1 … 5
};

/// "blur:3". Throws InputError, which begins with `name`.
Corruption parse_corruption(std::string_view name, std::string_view text);

/// The corrupted picture, by the figures of ImageNet-C for severities 1 … 5 (x in 0…1, result cut to it):
///   noise     x + N(0, s²) for each channel of each pixel, s = 0.08, 0.12, 0.18, 0.26, 0.38; the random
///             numbers are determined by `picture_number`
///   blur      Gaussian with s = 1, 2, 3, 4, 6 pixels of 224 (their additional "gaussian_blur"), cut off at
///             4 s, edges repeated
///   contrast  mean + c · (x − mean), each channel, c = 0.4, 0.3, 0.2, 0.1, 0.05
///   jpeg      coded with quality 25, 18, 15, 10, 7, chroma at half the resolution, and decoded
///   pixelate  resized to 0.6, 0.5, 0.4, 0.3, 0.25 of each edge and back, both by Pillow's box filter
/// What differs: theirs are 224 x 224 files, which a model's transform resizes once more; here the picture
/// has the model's size already, and blur's s is scaled by its shorter edge / 224. Values are rounded to the
/// nearest byte, where theirs are cut off. The random numbers are others. Their files were saved as JPEG
/// of quality 85, which adds a little to each kind.
Image corrupt(const ImageView& picture, const Corruption& corruption, uint64_t picture_number);

/// For encode_picture_files: the evaluation transform and then the corruption. (The transform leaves a
/// picture that has its size already as it is.)
PictureChange corruption_after(const EvaluationTransform& transform, const Corruption& corruption);

}  // namespace cuclip
