#include "bench/cuda/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/cuda_check.cuh"

namespace cuclip::bench {

std::vector<int64_t> spread(int64_t n, int64_t count) {
  if (count < 2 || n <= count) count = std::min(n, std::max<int64_t>(count, 1));
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < count; ++i) chosen.push_back(count == 1 ? 0 : i * (n - 1) / (count - 1));
  return chosen;
}

Doubles all_of(const Tensor& x) {
  const std::vector<float> values = x.to_floats();
  return {values.begin(), values.end()};
}

Doubles row_of(const Tensor& x, int64_t i) {
  const Tensor row = x.rows(i, 1);
  if (x.dtype() != DType::u8) return all_of(row);
  std::vector<uint8_t> bytes(row.bytes());
  CUCLIP_CUDA_CHECK(cudaMemcpy(bytes.data(), row.view().data, bytes.size(), cudaMemcpyDeviceToHost));
  return {bytes.begin(), bytes.end()};
}

Doubles column_of(const Tensor& x, int64_t i) {
  const TensorView view = x.view();
  const int64_t columns = view.size(view.rank() - 1), rows = view.elements() / columns;
  const size_t size = size_of(view.dtype);
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * size);
  CUCLIP_CUDA_CHECK(cudaMemcpy2D(
      bytes.data(), size, static_cast<std::byte*>(view.data) + static_cast<size_t>(i) * size,
      static_cast<size_t>(columns) * size, size, static_cast<size_t>(rows), cudaMemcpyDeviceToHost));
  Doubles values(static_cast<size_t>(rows));
  for (size_t row = 0; row < values.size(); ++row) {
    if (view.dtype == DType::bf16) {
      values[row] =
          static_cast<double>(static_cast<float>(reinterpret_cast<const bfloat16*>(bytes.data())[row]));
    } else {
      values[row] = static_cast<double>(reinterpret_cast<const float*>(bytes.data())[row]);
    }
  }
  return values;
}

void Comparison::add(const std::string& tensor, double found, double expected) {
  tensors_[tensor].push_back({found, expected});
}

std::vector<Deviation> Comparison::deviations() const {
  std::vector<Deviation> all;
  for (const auto& [tensor, pairs] : tensors_) {
    double squares = 0, greatest = 0;
    for (const Pair& pair : pairs) squares += pair.expected * pair.expected;
    const double scale = std::sqrt(squares / static_cast<double>(pairs.size()));
    for (const Pair& pair : pairs) {
      const double difference = std::abs(pair.found - pair.expected);
      if (difference == 0) continue;
      const double deviation = difference / (std::abs(pair.expected) + scale);
      // NaN is as wrong as can be.
      greatest = deviation >= 0 ? std::max(greatest, deviation) : std::numeric_limits<double>::infinity();
    }
    all.push_back({tensor, greatest});
  }
  return all;
}

}  // namespace cuclip::bench
