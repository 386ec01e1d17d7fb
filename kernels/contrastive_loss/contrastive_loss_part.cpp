#include "kernels/contrastive_loss/contrastive_loss_part.h"

#include "kernels/common/dispatch.h"
#include "kernels/contrastive_loss/contrastive_loss_check.h"
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"

namespace cuclip {
namespace {

template <typename Params>
void check_part(const char* operation, const Params& p) {
  check_features(operation, p);
  CUCLIP_CHECK(p.text.size(0) >= 1, "{}: text must have at least one row, got {}", operation,
               p.text.shape.to_string());
}

}  // namespace

void contrastive_loss_part_forward(const ContrastiveLossPartForward& p, const ExecContext& ctx) {
  check_part("contrastive_loss_part_forward", p);
  const Shape rows{p.image.size(0)}, columns{p.text.size(0)};
  check_tensor("contrastive_loss_part_forward: row_max", p.row_max, DType::f32, rows);
  check_tensor("contrastive_loss_part_forward: row_sum", p.row_sum, DType::f32, rows);
  check_tensor("contrastive_loss_part_forward: column_max", p.column_max, DType::f32, columns);
  check_tensor("contrastive_loss_part_forward: column_sum", p.column_sum, DType::f32, columns);
  check_tensor("contrastive_loss_part_forward: positive", p.positive, DType::f32, rows);
  CUCLIP_DISPATCH("contrastive_loss_part_forward", ctx, contrastive_loss_part_forward_cpu(p, ctx),
                  contrastive_loss_part_forward_cuda(p, ctx));
}

void contrastive_loss_merge(const ContrastiveLossMerge& p, const ExecContext& ctx) {
  CUCLIP_CHECK(p.max.rank() == 2 && p.max.size(0) >= 1 && p.max.size(1) >= 1,
               "contrastive_loss_merge: max must be [parts, elements], at least one of each, got {}",
               p.max.shape.to_string());
  const int64_t elements = p.max.size(1), groups = std::ssize(p.losses);
  check_tensor("contrastive_loss_merge: max", p.max, DType::f32, p.max.shape);
  check_tensor("contrastive_loss_merge: sum", p.sum, DType::f32, p.max.shape);
  check_tensor("contrastive_loss_merge: lse", p.lse, DType::f32, {elements});
  if (p.positive || groups > 0) {
    check_tensor("contrastive_loss_merge: positive", p.positive, DType::f32, {elements});
    CUCLIP_CHECK(groups >= 1 && elements % groups == 0,
                 "contrastive_loss_merge: {} elements cannot be cut into {} groups, one for each of losses",
                 elements, groups);
  }
  CUCLIP_DISPATCH("contrastive_loss_merge", ctx, contrastive_loss_merge_cpu(p, ctx),
                  contrastive_loss_merge_cuda(p, ctx));
}

void contrastive_loss_total(const ContrastiveLossTotal& p, const ExecContext& ctx) {
  check_tensor("contrastive_loss_total: total", p.total, DType::f32, {1});
  CUCLIP_DISPATCH("contrastive_loss_total", ctx, contrastive_loss_total_cpu(p),
                  contrastive_loss_total_cuda(p, ctx));
}

void contrastive_loss_part_backward(const ContrastiveLossPartBackward& p, const ExecContext& ctx) {
  check_part("contrastive_loss_part_backward", p);
  check_tensor("contrastive_loss_part_backward: row_lse", p.row_lse, DType::f32, {p.image.size(0)});
  check_tensor("contrastive_loss_part_backward: column_lse", p.column_lse, DType::f32, {p.text.size(0)});
  check_tensor("contrastive_loss_part_backward: dloss", p.dloss, DType::f32, {1});
  CUCLIP_CHECK(p.pairs >= 1, "contrastive_loss_part_backward: pairs must be at least 1, got {}", p.pairs);
  if (p.dimage) {
    check_tensor("contrastive_loss_part_backward: dimage", p.dimage, DType::f32, p.image.shape);
  }
  check_tensor("contrastive_loss_part_backward: dtext", p.dtext, DType::f32, p.text.shape);
  CUCLIP_CHECK(p.logit_sum.size() == 1,
               "contrastive_loss_part_backward: logit_sum must have 1 element, got {}", p.logit_sum.size());
  CUCLIP_DISPATCH("contrastive_loss_part_backward", ctx, contrastive_loss_part_backward_cpu(p, ctx),
                  contrastive_loss_part_backward_cuda(p, ctx));
}

}  // namespace cuclip
