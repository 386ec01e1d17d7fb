// CPU entry points of the token embedding; arguments are already validated, except for the tokens' values.
#pragma once

#include "kernels/token_embed/token_embed.h"

namespace cuclip {

void token_embed_forward_cpu(const TokenEmbedForward& p, const ExecContext& ctx);
void token_embed_backward_cpu(const TokenEmbedBackward& p, const ExecContext& ctx);

}  // namespace cuclip
