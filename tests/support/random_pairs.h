// Random pictures and token sequences, as a model takes them.
#pragma once

#include "core/tensor.h"
#include "models/clip/clip_config.h"

namespace cuclip::test {

/// u8 [count, S, S, 3] of noise.
Tensor random_images(Context& context, const ClipConfig& config, int64_t count);

/// i32 [count, context_length], no two rows alike: start, words, end-of-text (the largest id) at a random
/// place, zeros. `longest` > 0: the first row has this many tokens and none has more.
Tensor random_tokens(Context& context, const ClipConfig& config, int64_t count, int64_t longest = 0);

}  // namespace cuclip::test
