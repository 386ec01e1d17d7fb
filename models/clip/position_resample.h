// Position embeddings for another image resolution.
#pragma once

#include <cstdint>

namespace cuclip {

/// Position embeddings [1 + from², width] → [1 + to², width]: the row of the class token as it is, the grid
/// resampled with an antialiased bicubic filter, as open_clip does (torch.nn.functional.interpolate with
/// antialias=True, align_corners=False).
void resample_positions(const float* in, int64_t from, float* out, int64_t to, int64_t width);

}  // namespace cuclip
