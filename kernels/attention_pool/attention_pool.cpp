#include "kernels/attention_pool/attention_pool.h"

#include "kernels/attention_pool/attention_pool_cpu.h"
#include "kernels/attention_pool/attention_pool_cuda.h"
#include "kernels/common/dispatch.h"

namespace cuclip {
namespace {

// Checks what forward and backward both have.
void check_attention_pool(const std::string& operation, const TensorView& q, const TensorView& kv,
                          const TensorView& weights, int64_t heads) {
  CUCLIP_CHECK(q.rank() == 2, "{}: q must be [N, C], got {}", operation, q.shape.to_string());
  CUCLIP_CHECK(kv.rank() == 3 && kv.size(1) >= 1, "{}: kv must be [N, S, 2C] with S at least 1, got {}",
               operation, kv.shape.to_string());
  const int64_t batch = q.size(0), width = q.size(1), length = kv.size(1);
  CUCLIP_CHECK(heads >= 1 && width >= 1 && width % heads == 0,
               "{}: the number of heads must be a divisor of the width {}, got {}", operation, width, heads);
  check_floating(operation + ": q", q.dtype);
  check_tensor(operation + ": q", q, q.dtype, q.shape);
  check_tensor(operation + ": kv", kv, q.dtype, {batch, length, 2 * width});
  check_tensor(operation + ": weights", weights, DType::f32, {batch, heads, length});
}

}  // namespace

void attention_pool_forward(const AttentionPoolForward& p, const ExecContext& ctx) {
  check_attention_pool("attention_pool_forward", p.q, p.kv, p.weights, p.heads);
  check_tensor("attention_pool_forward: out", p.out, p.q.dtype, p.q.shape);
  CUCLIP_DISPATCH("attention_pool_forward", ctx, attention_pool_forward_cpu(p, ctx),
                  attention_pool_forward_cuda(p, ctx));
}

void attention_pool_backward(const AttentionPoolBackward& p, const ExecContext& ctx) {
  check_attention_pool("attention_pool_backward", p.q, p.kv, p.weights, p.heads);
  check_tensor("attention_pool_backward: dout", p.dout, p.q.dtype, p.q.shape);
  check_tensor("attention_pool_backward: dq", p.dq, p.q.dtype, p.q.shape);
  check_tensor("attention_pool_backward: dkv", p.dkv, p.q.dtype, p.kv.shape);
  CUCLIP_DISPATCH("attention_pool_backward", ctx, attention_pool_backward_cpu(p, ctx),
                  attention_pool_backward_cuda(p, ctx));
}

}  // namespace cuclip
