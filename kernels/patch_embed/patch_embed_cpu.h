// The CPU implementations behind patch_embed.cpp; arguments are already checked.
#pragma once

#include "kernels/patch_embed/patch_embed.h"

namespace cuclip {
void patch_embed_forward_cpu(const PatchEmbedForward& p, const ExecContext& ctx);
void patch_embed_backward_cpu(const PatchEmbedBackward& p, const ExecContext& ctx);
}  // namespace cuclip
