// From a picture to what the image encoder takes: torchvision's transforms as CLIP uses them, on Pillow-exact
// resizing (models/image/resample.h). Pixels stay 8-bit, a quarter of the bytes for a loader to
// pass on: patch_embed normalises them (kernels/patch_embed), normalize_pixels does for whoever needs floats.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/rng.h"
#include "models/image/image.h"
#include "models/image/resample.h"

namespace cuclip {

/// A channel's value is (pixel / 255 - mean) / stddev, in this order and in float32.
struct Normalization {
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};  // CLIP's own figures
  std::array<float, 3> stddev{0.26862954f, 0.26130258f, 0.27577711f};
};
/// The "inception" figures of some open_clip weights (LAION-2B ViT-L/14).
inline constexpr Normalization kHalfNormalization{.mean = {0.5f, 0.5f, 0.5f}, .stddev = {0.5f, 0.5f, 0.5f}};

/// How a picture becomes a square. These are open_clip's names.
enum class ResizeMode : uint8_t {
  shortest,  // the shorter edge is resized to the square's, the middle of the longer one is kept
  squash,    // both edges are resized to the square's, without regard to proportions
};

/// How a picture is prepared for evaluation.
struct EvaluationTransform {
  int size = 224;
  ResampleFilter filter = ResampleFilter::bicubic;
  ResizeMode mode = ResizeMode::shortest;

  /// A size by itself stands for the transform of CLIP's published weights.
  explicit EvaluationTransform(int size, ResampleFilter filter = ResampleFilter::bicubic,
                               ResizeMode mode = ResizeMode::shortest)
      : size(size), filter(filter), mode(mode) {}
};

/// What is computed for evaluation: the whole picture resized to width x height, of which only `window` is
/// kept.
struct EvaluationGeometry {
  int width = 0;
  int height = 0;
  PixelRect window;
};

/// torchvision's Resize(size) and CenterCrop(size): the shorter edge becomes `size`, the longer one is
/// rounded down, offsets round half to even; for a picture that is to be squashed, Resize((size, size)).
/// Throws InputError when the resized longer edge would exceed 2^31 - 1 pixels.
EvaluationGeometry evaluation_geometry(int width, int height, const EvaluationTransform& transform);

/// The evaluation transform up to 8-bit pixels: resize, centre crop. out: [size, size, 3].
void evaluation_pixels(const ImageView& image, const EvaluationTransform& transform, std::span<uint8_t> out);

/// torchvision's RandomResizedCrop, with the defaults of open_clip, and RandomHorizontalFlip.
struct TrainingTransform {
  int size = 224;
  double scale_min = 0.9;  // share of the picture's area
  double scale_max = 1.0;
  double ratio_min = 3.0 / 4.0;  // width / height of the crop
  double ratio_max = 4.0 / 3.0;
  double flip_probability = 0.0;
};

/// RandomResizedCrop's choice: ten tries of a random area and aspect ratio at a random place, then the
/// largest central crop within the range of ratios. Draws 2 numbers for each failed try and 4 for the
/// successful one.
PixelRect random_crop(int width, int height, const TrainingTransform& transform, SplitMix64& rng);

/// The training transform up to 8-bit pixels: random crop, bicubic resize, perhaps a flip. out: [size, size,
/// 3]. Throws InputError for parameters out of range.
void training_pixels(const ImageView& image, const TrainingTransform& transform, SplitMix64& rng,
                     std::span<uint8_t> out);

/// 8-bit pixels [n, size, size, 3] to the encoder's input [n, 3, size, size]; n follows from the spans'
/// sizes, which must agree.
void normalize_pixels(std::span<const uint8_t> pixels, int size, const Normalization& normalization,
                      std::span<float> out);

}  // namespace cuclip
