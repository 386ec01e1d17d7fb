#include "kernels/patch_embed/patch_embed.h"

#include "kernels/common/dispatch.h"
#include "kernels/patch_embed/patch_embed_cpu.h"
#include "kernels/patch_embed/patch_embed_cuda.h"

namespace cuclip {
namespace {

// Names of the tensors that forward and backward call differently.
struct Names {
  const char *operation, *weight, *class_token, *position, *out;
};

void check_patch_embed(const Names& names, const TensorView& image, const TensorView& weight,
                       DType weight_dtype, const TensorView& class_token, const TensorView& position,
                       const TensorView& out) {
  const auto name = [&](const char* tensor) { return fmt::format("{}: {}", names.operation, tensor); };
  CUCLIP_CHECK(
      weight.rank() == 4 && weight.size(1) == 3 && weight.size(2) == weight.size(3) && weight.size(2) > 0,
      "{}: {} must be [width, 3, p, p], got {}", names.operation, names.weight, weight.shape.to_string());
  const bool bytes = image.dtype == DType::u8;
  CUCLIP_CHECK(image.rank() == 4 && image.size(bytes ? 3 : 1) == 3,
               "{}: image must be u8 [B, H, W, 3] or f32 [B, 3, H, W], got {} {}", names.operation,
               name_of(image.dtype), image.shape.to_string());
  const int64_t width = weight.size(0), patch = weight.size(2), batch = image.size(0);
  const int64_t height = image.size(bytes ? 1 : 2), columns = image.size(bytes ? 2 : 3);
  CUCLIP_CHECK(height % patch == 0 && columns % patch == 0,
               "{}: image is {} x {}, both must be multiples of the patch size {}", names.operation, height,
               columns, patch);
  const int64_t tokens = 1 + (height / patch) * (columns / patch);
  check_tensor(name("image"), image, bytes ? DType::u8 : DType::f32, image.shape);
  check_tensor(name(names.weight), weight, weight_dtype, weight.shape);
  check_tensor(name(names.class_token), class_token, DType::f32, {width});
  check_tensor(name(names.position), position, DType::f32, {tokens, width});
  check_floating(name(names.out), out.dtype);
  check_tensor(name(names.out), out, out.dtype, {batch, tokens, width});
}

}  // namespace

void patch_embed_forward(const PatchEmbedForward& p, const ExecContext& ctx) {
  check_patch_embed({"patch_embed_forward", "weight", "class_token", "position", "out"}, p.image, p.weight,
                    p.out.dtype, p.class_token, p.position, p.out);
  if (p.out.elements() == 0) return;
  CUCLIP_DISPATCH("patch_embed_forward", ctx, patch_embed_forward_cpu(p, ctx),
                  patch_embed_forward_cuda(p, ctx));
}

void patch_embed_backward(const PatchEmbedBackward& p, const ExecContext& ctx) {
  check_patch_embed({"patch_embed_backward", "dweight", "dclass_token", "dposition", "dout"}, p.image,
                    p.dweight, DType::f32, p.dclass_token, p.dposition, p.dout);
  if (p.dout.elements() == 0) return;
  CUCLIP_DISPATCH("patch_embed_backward", ctx, patch_embed_backward_cpu(p, ctx),
                  patch_embed_backward_cuda(p, ctx));
}

}  // namespace cuclip
