// CPU entry point of pictures as activations; arguments are already validated.
#pragma once

#include "kernels/pixels/pixels.h"

namespace cuclip {

void normalize_pixels_cpu(const NormalizePixels& p, const ExecContext& ctx);

}  // namespace cuclip
