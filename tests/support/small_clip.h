// A CLIP model small enough for tests, with fresh random weights and inputs.
#pragma once

#include "models/clip.h"

namespace cuclip::test {

/// Sizes that are odd, differ between the encoders, and are no multiples of a vector or a tile.
ClipConfig small_clip_config();

/// Weights as after some training: what initialise() draws, and biases, norms and temperature moved away from
/// their zeros and ones.
void randomise(Clip& model);

/// u8 [count, S, S, 3] of noise.
Tensor random_images(Context& context, const ClipConfig& config, int64_t count);
/// i32 [count, context_length]: start, words, end-of-text (the largest id) at a random place, zeros.
Tensor random_tokens(Context& context, const ClipConfig& config, int64_t count);

}  // namespace cuclip::test
