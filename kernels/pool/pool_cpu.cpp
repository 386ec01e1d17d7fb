// Pooling on the CPU: rows are copied as bytes, whatever their dtype.
#include "kernels/pool/pool_cpu.h"

#include <algorithm>
#include <cstring>

namespace cuclip {
namespace {

// Bytes that a task writes, about: some tens of microseconds.
constexpr int64_t kTaskBytes = 256 * 1024;

void check_indices(std::string_view operation, const TensorView& index, int64_t length) {
  if (!index) return;
  const int32_t* values = index.as<int32_t>();
  for (int64_t b = 0; b < index.size(0); ++b) {
    CUCLIP_CHECK(values[b] >= 0 && values[b] < length, "{}: index[{}] is {}, outside a sequence of length {}",
                 operation, b, values[b], length);
  }
}

// Calls body(b, picked row) for every sequence.
template <typename Body>
void for_sequences(int64_t batch, int64_t bytes_each, const TensorView& index, const ExecContext& ctx,
                   Body&& body) {
  const int32_t* values = index ? index.as<int32_t>() : nullptr;
  const int64_t group = std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, bytes_each));
  parallel_for(ctx, ceil_div(batch, group), [&](int64_t task, int) {
    for (int64_t b = task * group; b < std::min(batch, (task + 1) * group); ++b)
      body(b, values ? values[b] : 0);
  });
}

}  // namespace

void pool_forward_cpu(const PoolForward& p, const ExecContext& ctx) {
  const int64_t length = p.x.size(1);
  check_indices("pool_forward", p.index, length);
  const auto row = static_cast<int64_t>(size_of(p.x.dtype)) * p.x.size(2);
  if (row == 0) return;
  const auto* x = static_cast<const std::byte*>(p.x.data);
  auto* out = static_cast<std::byte*>(p.out.data);
  for_sequences(p.x.size(0), row, p.index, ctx, [&](int64_t b, int64_t picked) {
    std::memcpy(out + b * row, x + (b * length + picked) * row, static_cast<size_t>(row));
  });
}

void pool_backward_cpu(const PoolBackward& p, const ExecContext& ctx) {
  const int64_t length = p.dx.size(1);
  check_indices("pool_backward", p.index, length);
  const auto row = static_cast<int64_t>(size_of(p.dx.dtype)) * p.dx.size(2);
  if (row == 0) return;
  const auto* dout = static_cast<const std::byte*>(p.dout.data);
  auto* dx = static_cast<std::byte*>(p.dx.data);
  for_sequences(p.dx.size(0), length * row, p.index, ctx, [&](int64_t b, int64_t picked) {
    std::byte* sequence = dx + b * length * row;
    std::memset(sequence, 0, static_cast<size_t>(length * row));  // all bits zero is +0 in f32 and bf16
    std::memcpy(sequence + picked * row, dout + b * row, static_cast<size_t>(row));
  });
}

}  // namespace cuclip
