// A CLIP model that is small enough to run in milliseconds, and pictures for it.
#pragma once

#include "models/clip/clip.h"
#include "models/image/image.h"
#include "models/text/tokenizer.h"

namespace cuclip::test {

/// 12 x 12 pixels, 519 tokens, 7 of them at most. Every extent differs from every other, so that nothing that
/// is mixed up fits by chance.
ClipConfig tiny_config(int image_size = 12);

/// The same texts beside a modified ResNet for pictures of 64 x 64.
ClipConfig tiny_resnet_config();

/// Gives every parameter its own random values, away from the zeros and ones of a fresh model.
void randomise(ClipModel& model);

/// What batch normalisation has measured, all of it in the parameters' order.
std::vector<float> statistics(const ClipModel& model);

/// Merges for the byte symbols alone and a few pairs: vocabulary 519.
Tokenizer tiny_tokenizer();

/// Random pixels.
Image random_image(int width, int height);

/// The same as a BMP file's bytes.
std::string bmp_bytes(const Image& image);

}  // namespace cuclip::test
