#include "kernels/attention/attention.h"

#include "kernels/attention/attention_cpu.h"
#include "kernels/attention/attention_cuda.h"
#include "kernels/common/dispatch.h"

namespace cuclip {
namespace {

constexpr int64_t kMaxHeadDim = 256;

void check_qkv(std::string_view operation, const TensorView& qkv, int64_t heads) {
  CUCLIP_CHECK(qkv.rank() == 3 && qkv.size(2) % 3 == 0, "{}: qkv must be [B, S, 3C], got {}", operation,
               qkv.shape.to_string());
  check_floating(fmt::format("{}: qkv", operation), qkv.dtype);
  check_tensor(fmt::format("{}: qkv", operation), qkv, qkv.dtype, qkv.shape);
  const int64_t width = qkv.size(2) / 3;
  CUCLIP_CHECK(heads >= 1 && width >= 1 && width % heads == 0, "{}: {} heads do not divide a width of {}",
               operation, heads, width);
  CUCLIP_CHECK(width / heads <= kMaxHeadDim, "{}: the head dimension must be at most {}, got {}", operation,
               kMaxHeadDim, width / heads);
}

}  // namespace

void attention_forward(const AttentionForward& p, const ExecContext& ctx) {
  check_qkv("attention", p.qkv, p.heads);
  const int64_t batch = p.qkv.size(0);
  const int64_t length = p.qkv.size(1);
  check_tensor("attention: out", p.out, p.qkv.dtype, {batch, length, p.qkv.size(2) / 3});
  if (p.lse) check_tensor("attention: lse", p.lse, DType::f32, {batch, p.heads, length});
  CUCLIP_DISPATCH("attention_forward", ctx, attention_forward_cpu(p, ctx), attention_forward_cuda(p, ctx));
}

void attention_backward(const AttentionBackward& p, const ExecContext& ctx) {
  check_qkv("attention_backward", p.qkv, p.heads);
  const int64_t batch = p.qkv.size(0);
  const int64_t length = p.qkv.size(1);
  const Shape activations{batch, length, p.qkv.size(2) / 3};
  check_tensor("attention_backward: out", p.out, p.qkv.dtype, activations);
  check_tensor("attention_backward: lse", p.lse, DType::f32, {batch, p.heads, length});
  check_tensor("attention_backward: dout", p.dout, p.qkv.dtype, activations);
  check_tensor("attention_backward: dqkv", p.dqkv, p.qkv.dtype, p.qkv.shape);
  CUCLIP_DISPATCH("attention_backward", ctx, attention_backward_cpu(p, ctx), attention_backward_cuda(p, ctx));
}

}  // namespace cuclip
