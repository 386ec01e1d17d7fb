// CUDA entry points of the token embedding; shapes are already validated.
#pragma once

#include "kernels/token_embed/token_embed.h"

namespace cuclip {

void token_embed_forward_cuda(const TokenEmbedForward& p, const ExecContext& ctx);
void token_embed_backward_cuda(const TokenEmbedBackward& p, const ExecContext& ctx);

}  // namespace cuclip
