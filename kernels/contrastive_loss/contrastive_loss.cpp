#include "kernels/contrastive_loss/contrastive_loss.h"

#include "kernels/common/dispatch.h"
#include "kernels/contrastive_loss/contrastive_loss_check.h"
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"

namespace cuclip {
namespace {

template <typename Params>
void check_inputs(const std::string& operation, const Params& p) {
  check_features(operation.c_str(), p);
  const int64_t rows = p.image.size(0), columns = p.text.size(0);
  check_tensor(operation + ": row_lse", p.row_lse, DType::f32, {rows});
  check_tensor(operation + ": column_lse", p.column_lse, DType::f32, {columns});
  CUCLIP_CHECK(p.label_offset >= 0 && p.label_offset + rows <= columns,
               "{}: rows {} to {} need a text each, but text has {} rows (label_offset {})", operation,
               p.label_offset, p.label_offset + rows - 1, columns, p.label_offset);
}

}  // namespace

void contrastive_loss_forward(const ContrastiveLossForward& p, const ExecContext& ctx) {
  check_inputs("contrastive_loss_forward", p);
  check_tensor("contrastive_loss_forward: loss", p.loss, DType::f32, {1});
  if (p.positive) {
    check_tensor("contrastive_loss_forward: positive", p.positive, DType::f32, {p.image.size(0)});
  }
  CUCLIP_DISPATCH("contrastive_loss_forward", ctx, contrastive_loss_forward_cpu(p, ctx),
                  contrastive_loss_forward_cuda(p, ctx));
}

void contrastive_loss_backward(const ContrastiveLossBackward& p, const ExecContext& ctx) {
  check_inputs("contrastive_loss_backward", p);
  check_tensor("contrastive_loss_backward: dloss", p.dloss, DType::f32, {1});
  check_tensor("contrastive_loss_backward: dimage", p.dimage, p.image.dtype, p.image.shape);
  check_tensor("contrastive_loss_backward: dtext", p.dtext, p.image.dtype, p.text.shape);
  check_tensor("contrastive_loss_backward: dlog_scale", p.dlog_scale, DType::f32, {1});
  CUCLIP_DISPATCH("contrastive_loss_backward", ctx, contrastive_loss_backward_cpu(p, ctx),
                  contrastive_loss_backward_cuda(p, ctx));
}

}  // namespace cuclip
