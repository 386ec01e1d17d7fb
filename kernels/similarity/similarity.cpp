#include "kernels/similarity/similarity.h"

#include <limits>

#include "kernels/common/dispatch.h"
#include "kernels/similarity/similarity_cpu.h"
#include "kernels/similarity/similarity_cuda.h"

namespace cuclip {
namespace {

// [rows, columns], f32 or bf16, contiguous.
void check_matrix(const char* what, const TensorView& x) {
  CUCLIP_CHECK(x.rank() == 2, "{} must be a matrix, got {}", what, x.shape.to_string());
  check_floating(what, x.dtype);
  check_tensor(what, x, x.dtype, x.shape);
}

}  // namespace

void l2_normalize_forward(const L2NormalizeForward& p, const ExecContext& ctx) {
  check_matrix("l2_normalize_forward: x", p.x);
  if (p.y) check_tensor("l2_normalize_forward: y", p.y, p.x.dtype, p.x.shape);
  check_tensor("l2_normalize_forward: rnorm", p.rnorm, DType::f32, {p.x.size(0)});
  CUCLIP_DISPATCH("l2_normalize_forward", ctx, l2_normalize_forward_cpu(p, ctx),
                  l2_normalize_forward_cuda(p, ctx));
}

void l2_normalize_backward(const L2NormalizeBackward& p, const ExecContext& ctx) {
  check_matrix("l2_normalize_backward: dy", p.dy);
  check_tensor("l2_normalize_backward: y", p.y, p.dy.dtype, p.dy.shape);
  check_tensor("l2_normalize_backward: rnorm", p.rnorm, DType::f32, {p.dy.size(0)});
  check_tensor("l2_normalize_backward: dx", p.dx, p.dy.dtype, p.dy.shape);
  CUCLIP_DISPATCH("l2_normalize_backward", ctx, l2_normalize_backward_cpu(p, ctx),
                  l2_normalize_backward_cuda(p, ctx));
}

void cosine_similarity(const CosineSimilarity& p, const ExecContext& ctx) {
  check_matrix("cosine_similarity: a", p.a);
  check_matrix("cosine_similarity: b", p.b);
  check_tensor("cosine_similarity: b", p.b, p.a.dtype, {p.b.size(0), p.a.size(1)});
  check_tensor("cosine_similarity: out", p.out, DType::f32, {p.a.size(0), p.b.size(0)});
  CUCLIP_DISPATCH("cosine_similarity", ctx, cosine_similarity_cpu(p, ctx), cosine_similarity_cuda(p, ctx));
}

void top_k(const TopK& p, const ExecContext& ctx) {
  check_matrix("top_k: a", p.a);
  check_matrix("top_k: b", p.b);
  check_tensor("top_k: b", p.b, p.a.dtype, {p.b.size(0), p.a.size(1)});
  if (p.b_rnorm) check_tensor("top_k: b_rnorm", p.b_rnorm, DType::f32, {p.b.size(0)});
  CUCLIP_CHECK(p.k >= 1 && p.k <= p.b.size(0), "top_k: k must be between 1 and the {} rows of b, got {}",
               p.b.size(0), p.k);
  CUCLIP_CHECK(p.b.size(0) <= std::numeric_limits<int32_t>::max(),
               "top_k: b has {} rows, more than indices can name", p.b.size(0));
  check_tensor("top_k: values", p.values, DType::f32, {p.a.size(0), p.k});
  check_tensor("top_k: indices", p.indices, DType::i32, {p.a.size(0), p.k});
  CUCLIP_DISPATCH("top_k", ctx, top_k_cpu(p, ctx), top_k_cuda(p, ctx));
}

}  // namespace cuclip
