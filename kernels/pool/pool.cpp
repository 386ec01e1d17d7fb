#include "kernels/pool/pool.h"

#include "kernels/common/dispatch.h"
#include "kernels/pool/pool_cpu.h"
#include "kernels/pool/pool_cuda.h"

namespace cuclip {
namespace {

// Checks [B, S, C] against its pooled [B, C] or [B, K, C] and the indices.
void check_pool(std::string_view operation, std::string_view pooled_name, const TensorView& sequences,
                const TensorView& pooled, const TensorView& index) {
  CUCLIP_CHECK(sequences.rank() == 3, "{}: sequences must be [B, S, C], got {}", operation,
               sequences.shape.to_string());
  const int64_t batch = sequences.size(0);
  CUCLIP_CHECK(sequences.size(1) >= 1 || batch == 0, "{}: sequences of length 0 have no row to pick, got {}",
               operation, sequences.shape.to_string());
  check_floating(fmt::format("{}: {}", operation, pooled_name), pooled.dtype);
  const bool many = index && index.rank() == 2;
  const int64_t picked = many ? index.size(1) : 1, width = sequences.size(2);
  check_tensor(fmt::format("{}: {}", operation, pooled_name), pooled, sequences.dtype,
               many ? Shape{batch, picked, width} : Shape{batch, width});
  check_tensor(fmt::format("{}: sequences", operation), sequences, sequences.dtype, sequences.shape);
  if (index) {
    check_tensor(fmt::format("{}: index", operation), index, DType::i32,
                 many ? Shape{batch, picked} : Shape{batch});
  }
}

}  // namespace

void pool_forward(const PoolForward& p, const ExecContext& ctx) {
  check_pool("pool_forward", "out", p.x, p.out, p.index);
  CUCLIP_DISPATCH("pool_forward", ctx, pool_forward_cpu(p, ctx), pool_forward_cuda(p, ctx));
}

void pool_backward(const PoolBackward& p, const ExecContext& ctx) {
  check_pool("pool_backward", "dout", p.dx, p.dout, p.index);
  CUCLIP_DISPATCH("pool_backward", ctx, pool_backward_cpu(p, ctx), pool_backward_cuda(p, ctx));
}

}  // namespace cuclip
