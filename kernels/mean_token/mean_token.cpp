#include "kernels/mean_token/mean_token.h"

#include "kernels/common/dispatch.h"
#include "kernels/mean_token/mean_token_cpu.h"
#include "kernels/mean_token/mean_token_cuda.h"

namespace cuclip {
namespace {

// Checks [N, S, C] and returns the shape with one more token.
Shape check_sequences(const std::string& what, const TensorView& sequences) {
  CUCLIP_CHECK(sequences.rank() == 3 && sequences.size(1) >= 1,
               "{} must be [N, S, C] with S at least 1, got {}", what, sequences.shape.to_string());
  check_floating(what, sequences.dtype);
  check_tensor(what, sequences, sequences.dtype, sequences.shape);
  return {sequences.size(0), sequences.size(1) + 1, sequences.size(2)};
}

}  // namespace

void mean_token_forward(const MeanTokenForward& p, const ExecContext& ctx) {
  const Shape longer = check_sequences("mean_token_forward: x", p.x);
  check_tensor("mean_token_forward: positions", p.positions, DType::f32, {longer[1], longer[2]});
  check_tensor("mean_token_forward: y", p.y, p.x.dtype, longer);
  CUCLIP_DISPATCH("mean_token_forward", ctx, mean_token_forward_cpu(p, ctx), mean_token_forward_cuda(p, ctx));
}

void mean_token_backward(const MeanTokenBackward& p, const ExecContext& ctx) {
  const Shape longer = check_sequences("mean_token_backward: dx", p.dx);
  check_tensor("mean_token_backward: dy", p.dy, p.dx.dtype, longer);
  check_tensor("mean_token_backward: dpositions", p.dpositions, DType::f32, {longer[1], longer[2]});
  CUCLIP_DISPATCH("mean_token_backward", ctx, mean_token_backward_cpu(p, ctx),
                  mean_token_backward_cuda(p, ctx));
}

}  // namespace cuclip
