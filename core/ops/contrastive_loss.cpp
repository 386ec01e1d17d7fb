#include "kernels/contrastive_loss/contrastive_loss.h"
#include "core/ops.h"

namespace cuclip::ops {

Tensor contrastive_loss(Tape& tape, const Tensor& image, const Tensor& text, Parameter& log_scale,
                        const Tensor& words) {
  Context& context = tape.context();
  Tensor loss = Tensor::empty(context, {1}, DType::f32);
  Tensor row_lse = Tensor::empty(context, {image.size(0)}, DType::f32);
  Tensor column_lse = Tensor::empty(context, {text.size(0)}, DType::f32);
  const Tensor scale = log_scale.value.reshaped({1});
  contrastive_loss_forward({.image = image,
                            .text = text,
                            .log_scale = scale,
                            .image_words = words,
                            .text_words = words,
                            .loss = loss,
                            .row_lse = row_lse,
                            .column_lse = column_lse},
                           context.exec());
  if (tape.needs_record({image, text}, true)) {
    tape.record(loss, [image, text, words, scale, row_lse, column_lse, &log_scale](Grads& g) {
      Tensor dimage = Tensor::empty(g.context(), image.shape(), image.dtype());
      Tensor dtext = Tensor::empty(g.context(), text.shape(), text.dtype());
      contrastive_loss_backward({.image = image,
                                 .text = text,
                                 .log_scale = scale,
                                 .image_words = words,
                                 .text_words = words,
                                 .row_lse = row_lse,
                                 .column_lse = column_lse,
                                 .dloss = g.output(),
                                 .dimage = dimage,
                                 .dtext = dtext,
                                 .dlog_scale = log_scale.gradient.reshaped({1})},
                                g.context().exec());
      g.add(image, dimage);
      g.add(text, dtext);
    });
  }
  return loss;
}

}  // namespace cuclip::ops
