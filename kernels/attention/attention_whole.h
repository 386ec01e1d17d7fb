// Attention backward of heads that a block holds whole: bf16 on tensor cores, head dimension 64.
#pragma once

#include "kernels/attention/attention.h"

namespace cuclip {

/// Whether a block has the room for the head on this device; if so, does it. The tensors allow 16-byte
/// access.
bool attention_backward_whole(const AttentionBackward& p, const ExecContext& ctx);

}  // namespace cuclip
