#include "kernels/attention/attention.h"

#include "core/ops.h"
#include "core/ops/ops_common.h"

namespace cuclip::ops {

Tensor attention(Tape& tape, const Tensor& qkv, int64_t heads, bool causal) {
  Context& context = tape.context();
  const bool record = tape.needs_record({qkv});
  const int64_t batch = qkv.size(0), length = qkv.size(1);
  Tensor lse = record ? Tensor::empty(context, {batch, heads, length}, DType::f32) : Tensor();
  Tensor out = Tensor::empty(context, with_last(qkv.shape(), qkv.size(2) / 3), qkv.dtype());
  attention_forward({.qkv = qkv, .out = out, .lse = lse, .heads = heads, .causal = causal}, context.exec());
  if (record) {
    const Tensor saved = out;
    tape.record(out, [qkv, saved, lse, heads, causal](Grads& g) {
      Tensor dqkv = Tensor::empty(g.context(), qkv.shape(), qkv.dtype());
      attention_backward({.qkv = qkv,
                          .out = saved,
                          .lse = lse,
                          .dout = g.output(),
                          .dqkv = dqkv,
                          .heads = heads,
                          .causal = causal},
                         g.context().exec());
      g.add(qkv, dqkv);
    });
  }
  return out;
}

}  // namespace cuclip::ops
