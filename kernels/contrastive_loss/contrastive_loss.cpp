#include "kernels/contrastive_loss/contrastive_loss.h"

#include "kernels/common/dispatch.h"
#include "kernels/contrastive_loss/contrastive_loss_cpu.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"

namespace cuclip {
namespace {

template <typename Params>
void check_inputs(const char* operation, const Params& p) {
  const auto name = [&](const char* tensor) { return fmt::format("{}: {}", operation, tensor); };
  CUCLIP_CHECK(p.image.rank() == 2, "{} must be [rows, D], got {}", name("image"), p.image.shape.to_string());
  CUCLIP_CHECK(p.text.rank() == 2, "{} must be [columns, D], got {}", name("text"), p.text.shape.to_string());
  const int64_t rows = p.image.size(0), depth = p.image.size(1), columns = p.text.size(0);
  check_floating(name("image"), p.image.dtype);
  CUCLIP_CHECK(rows >= 1 && depth >= 1, "{}: image must have at least one row and one feature, got {}",
               operation, p.image.shape.to_string());
  check_tensor(name("image"), p.image, p.image.dtype, {rows, depth});
  check_tensor(name("text"), p.text, p.image.dtype, {columns, depth});
  check_tensor(name("log_scale"), p.log_scale, DType::f32, {1});
  check_tensor(name("row_lse"), p.row_lse, DType::f32, {rows});
  check_tensor(name("column_lse"), p.column_lse, DType::f32, {columns});
  CUCLIP_CHECK(p.label_offset >= 0 && p.label_offset + rows <= columns,
               "{}: rows {} to {} need a text each, but text has {} rows (label_offset {})", operation,
               p.label_offset, p.label_offset + rows - 1, columns, p.label_offset);
  if (p.image_words || p.text_words) {
    check_tensor(name("image_words"), p.image_words, DType::i32, {rows, 4});
    check_tensor(name("text_words"), p.text_words, DType::i32, {columns, 4});
  }
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
