// How large a model is and how much work it does.
#pragma once

#include <cstdint>

#include "models/clip/clip_config.h"

namespace cuclip {

/// Learned values, the temperature included.
int64_t parameter_count(const ClipConfig& config);

/// Floating-point operations (a multiply-add is two) of the matrix products of a forward pass over one
/// picture or one text of `length` tokens. What the pass needs is counted: the last block's output projection
/// and feed-forward layer for only one row (TransformerBlock::forward_pooled), causal attention at half of
/// the square. `patches`: how many of a picture's patches are seen (all of them, without patch dropout).
/// Norms, activations, softmax and additions are left out, as is usual.
double image_forward_flops(const ClipConfig& config, int64_t patches);
double text_forward_flops(const ClipConfig& config, int64_t length);

/// Operations of a training step of `pairs` pairs with texts of `length` tokens: three times the forward pass
/// (the backward pass has two products for each), and 8·N²·E for the loss. What a step computes twice
/// (gradient recomputation, accumulation, attention's scores) is counted once.
double training_step_flops(const ClipConfig& config, int64_t pairs, int64_t length, int64_t patches);

}  // namespace cuclip
