// CUDA entry points of the patch embedding; arguments are already validated, and there is a picture.
#pragma once

#include "kernels/patch_embed/patch_embed.h"

namespace cuclip {

void patch_embed_forward_cuda(const PatchEmbedForward& p, const ExecContext& ctx);
void patch_embed_backward_cuda(const PatchEmbedBackward& p, const ExecContext& ctx);

}  // namespace cuclip
