#include "kernels/patch_embed/patch_embed.h"
#include "core/ops.h"

namespace cuclip::ops {

Tensor patch_embed(Tape& tape, const Tensor& image, const PatchEmbedParameters& p, DType dtype) {
  Context& context = tape.context();
  Tensor out = Tensor::empty(context, {image.size(0), p.position.shape[0], p.position.shape[1]}, dtype);
  patch_embed_forward({.image = image,
                       .mean = p.mean,
                       .stddev = p.stddev,
                       .weight = p.weight.as(dtype),
                       .class_token = p.class_token.value,
                       .position = p.position.value,
                       .out = out},
                      context.exec());
  if (tape.needs_record({}, true)) {
    tape.record(out, [image, p](Grads& g) {
      patch_embed_backward({.image = image,
                            .mean = p.mean,
                            .stddev = p.stddev,
                            .dout = g.output(),
                            .dweight = p.weight.gradient,
                            .dclass_token = p.class_token.gradient,
                            .dposition = p.position.gradient},
                           g.context().exec());
    });
  }
  return out;
}

}  // namespace cuclip::ops
