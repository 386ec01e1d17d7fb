// CUDA entry point of pictures as activations; arguments are already validated.
#pragma once

#include "kernels/pixels/pixels.h"

namespace cuclip {

void normalize_pixels_cuda(const NormalizePixels& p, const ExecContext& ctx);

}  // namespace cuclip
