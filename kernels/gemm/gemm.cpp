#include "kernels/gemm/gemm.h"

#include "kernels/common/dispatch.h"
#include "kernels/gemm/gemm_cpu.h"
#include "kernels/gemm/gemm_cuda.h"

namespace cuclip {

void gemm(const Gemm& p, const ExecContext& ctx) {
  CUCLIP_CHECK(p.a.rank() == 2, "gemm: a must have 2 dimensions, got {}", p.a.shape.to_string());
  CUCLIP_CHECK(p.b.rank() == 2, "gemm: b must have 2 dimensions, got {}", p.b.shape.to_string());
  check_floating("gemm: a", p.a.dtype);
  const int64_t m = p.a.size(0), k = p.a.size(1), n = p.b.size(p.transpose_b ? 0 : 1);
  CUCLIP_CHECK(p.c.dtype == p.a.dtype || p.c.dtype == DType::f32, "gemm: c must be f32 or {}, got {}",
               name_of(p.a.dtype), name_of(p.c.dtype));
  const DType out = p.c.dtype;
  check_tensor("gemm: a", p.a, p.a.dtype, {m, k});
  check_tensor("gemm: b", p.b, p.a.dtype, p.transpose_b ? Shape{n, k} : Shape{k, n});
  check_tensor("gemm: c", p.c, out, {m, n});
  if (p.bias) check_tensor("gemm: bias", p.bias, DType::f32, {n});
  if (p.pre_activation) check_tensor("gemm: pre_activation", p.pre_activation, out, {m, n});
  if (p.gate) check_tensor("gemm: gate", p.gate, out, {m, n});
  CUCLIP_CHECK(p.activation || (!p.pre_activation && !p.gate),
               "gemm: pre_activation and gate need an activation, none was given");
  CUCLIP_CHECK(!p.gate || (!p.bias && !p.pre_activation), "gemm: gate excludes bias and pre_activation");
  if (m == 0 || n == 0) return;
  CUCLIP_DISPATCH("gemm", ctx, gemm_cpu(p, ctx), gemm_cuda(p, ctx));
}

void gemm_weight_gradient(const GemmWeightGradient& p, const ExecContext& ctx) {
  CUCLIP_CHECK(p.dy.rank() == 2 && p.x.rank() == 2,
               "gemm_weight_gradient: dy and x must have 2 dimensions, got {} and {}", p.dy.shape.to_string(),
               p.x.shape.to_string());
  check_floating("gemm_weight_gradient: dy", p.dy.dtype);
  const int64_t m = p.dy.size(0), n = p.dy.size(1), k = p.x.size(1);
  check_tensor("gemm_weight_gradient: dy", p.dy, p.dy.dtype, {m, n});
  check_tensor("gemm_weight_gradient: x", p.x, p.dy.dtype, {m, k});
  check_tensor("gemm_weight_gradient: dweight", p.dweight, DType::f32, {n, k});
  if (p.dbias) check_tensor("gemm_weight_gradient: dbias", p.dbias, DType::f32, {n});
  if (m == 0 || n == 0) return;
  CUCLIP_DISPATCH("gemm_weight_gradient", ctx, gemm_weight_gradient_cpu(p, ctx),
                  gemm_weight_gradient_cuda(p, ctx));
}

}  // namespace cuclip
