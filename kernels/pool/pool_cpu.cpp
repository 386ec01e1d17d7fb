// Pooling on the CPU: rows are copied as bytes, whatever their dtype.
#include "kernels/pool/pool_cpu.h"

#include <algorithm>
#include <cstring>

namespace cuclip {
namespace {

// Roughly how many bytes a task writes: some tens of microseconds of work.
constexpr int64_t kTaskBytes = 256 * 1024;

// How many rows are picked from each sequence.
int64_t picked_rows(const TensorView& index) { return index && index.rank() == 2 ? index.size(1) : 1; }

void check_indices(std::string_view operation, const TensorView& index, int64_t length) {
  if (!index) return;
  const int32_t* values = index.as<int32_t>();
  const int64_t count = picked_rows(index);
  for (int64_t i = 0; i < index.elements(); ++i) {
    CUCLIP_CHECK(values[i] >= 0 && values[i] < length, "{}: index[{}] is {}, outside a sequence of length {}",
                 operation, i, values[i], length);
    CUCLIP_CHECK(i % count == 0 || values[i] > values[i - 1],
                 "{}: the rows of a sequence must ascend, got {} after {}", operation, values[i],
                 values[i - 1]);
  }
}

// Calls body(b) for every sequence.
template <typename Body>
void for_sequences(int64_t batch, int64_t bytes_each, const ExecContext& ctx, Body&& body) {
  const int64_t group = std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, bytes_each));
  parallel_for(ctx, ceil_div(batch, group), [&](int64_t task, int) {
    for (int64_t b = task * group; b < std::min(batch, (task + 1) * group); ++b) body(b);
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
  const int32_t* index = p.index ? p.index.as<int32_t>() : nullptr;
  const int64_t count = picked_rows(p.index);
  for_sequences(p.x.size(0), count * row, ctx, [&](int64_t b) {
    for (int64_t i = b * count; i < (b + 1) * count; ++i) {
      std::memcpy(out + i * row, x + (b * length + (index ? index[i] : 0)) * row, static_cast<size_t>(row));
    }
  });
}

void pool_backward_cpu(const PoolBackward& p, const ExecContext& ctx) {
  const int64_t length = p.dx.size(1);
  check_indices("pool_backward", p.index, length);
  const auto row = static_cast<int64_t>(size_of(p.dx.dtype)) * p.dx.size(2);
  if (row == 0) return;
  const auto* dout = static_cast<const std::byte*>(p.dout.data);
  auto* dx = static_cast<std::byte*>(p.dx.data);
  const int32_t* index = p.index ? p.index.as<int32_t>() : nullptr;
  const int64_t count = picked_rows(p.index);
  for_sequences(p.dx.size(0), length * row, ctx, [&](int64_t b) {
    std::byte* sequence = dx + b * length * row;
    std::memset(sequence, 0, static_cast<size_t>(length * row));  // all bits zero is +0 in f32 and bf16
    for (int64_t i = b * count; i < (b + 1) * count; ++i) {
      std::memcpy(sequence + (index ? index[i] : 0) * row, dout + i * row, static_cast<size_t>(row));
    }
  });
}

}  // namespace cuclip
