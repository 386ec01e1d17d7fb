// CLIP's initialisation.
#pragma once

#include <cstdint>

#include "core/parameter.h"
#include "models/clip/clip_config.h"

namespace cuclip {

/// Fills every parameter of a CLIP model:
///   text         as open_clip's TextTransformer.init_parameters
///   vision       class token, positions and projection are width^-½ · N(0, 1), the rest PyTorch's defaults
///   attention    biases 0
///   norms        1 and 0
///   logit_scale  ln(1/0.07)
/// Each parameter draws from its own Philox stream, named by its index.
void initialise_parameters(Context& context, const ClipConfig& config, ParameterStore& store, uint64_t seed);

}  // namespace cuclip
