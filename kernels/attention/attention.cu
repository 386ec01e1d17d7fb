#include "kernels/attention/attention_any.h"
#include "kernels/attention/attention_cuda.h"

namespace cuclip {

void attention_forward_cuda(const AttentionForward& p, const ExecContext& ctx) {
  attention_forward_any(p, ctx);
}

void attention_backward_cuda(const AttentionBackward& p, const ExecContext& ctx) {
  attention_backward_any(p, ctx);
}

}  // namespace cuclip
