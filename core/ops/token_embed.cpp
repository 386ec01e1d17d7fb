#include "kernels/token_embed/token_embed.h"
#include "core/ops.h"

namespace cuclip::ops {

Tensor token_embed(Tape& tape, const Tensor& tokens, Parameter& table, Parameter& position, DType dtype) {
  Context& context = tape.context();
  Tensor out = Tensor::empty(context, {tokens.size(0), tokens.size(1), table.shape[1]}, dtype);
  token_embed_forward({.tokens = tokens, .table = table.value, .position = position.value, .out = out},
                      context.exec());
  if (tape.needs_record({}, true)) {
    tape.record(out, [tokens, &table, &position](Grads& g) {
      token_embed_backward(
          {.tokens = tokens, .dout = g.output(), .dtable = table.gradient, .dposition = position.gradient},
          g.context().exec());
    });
  }
  return out;
}

}  // namespace cuclip::ops
