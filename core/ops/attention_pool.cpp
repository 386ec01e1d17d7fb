#include "kernels/attention_pool/attention_pool.h"

#include "core/ops.h"

namespace cuclip::ops {

Tensor attention_pool(Tape& tape, const Tensor& q, const Tensor& kv, int64_t heads) {
  Context& context = tape.context();
  Tensor weights = Tensor::empty(context, {q.size(0), heads, kv.size(1)}, DType::f32);
  Tensor out = Tensor::empty(context, q.shape(), q.dtype());
  attention_pool_forward({.q = q, .kv = kv, .heads = heads, .out = out, .weights = weights}, context.exec());
  if (tape.needs_record({q, kv})) {
    tape.record(out, [q, kv, weights, heads](Grads& g) {
      Tensor dq = Tensor::empty(g.context(), q.shape(), q.dtype());
      Tensor dkv = Tensor::empty(g.context(), kv.shape(), kv.dtype());
      attention_pool_backward(
          {.dout = g.output(), .q = q, .kv = kv, .weights = weights, .heads = heads, .dq = dq, .dkv = dkv},
          g.context().exec());
      g.add(q, dq);
      g.add(kv, dkv);
    });
  }
  return out;
}

}  // namespace cuclip::ops
