// What the benchmarks share: random tensors, rates, and the growth of the process's memory.
#pragma once

#include <benchmark/benchmark.h>

#include <fstream>
#include <string>

#include "core/tensor.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/random/random.h"
#include "kernels/similarity/similarity.h"

namespace cuclip::bench {

/// Normal(0, stddev²): zeros would run faster in places, and softmax of zeros is not softmax.
inline Tensor normal(Context& context, const Shape& shape, DType dtype, float stddev = 1.0f,
                     uint64_t stream = 0) {
  Tensor x = Tensor::empty(context, shape, DType::f32);
  fill_normal({.out = x, .stddev = stddev, .seed = 1, .stream = stream}, context.exec());
  if (dtype == DType::f32) return x;
  Tensor narrow = Tensor::empty(context, shape, dtype);
  cast({.x = x, .out = narrow}, context.exec());
  return narrow;
}

/// [n, d] random rows of length 1.
inline Tensor unit_rows(Context& context, int64_t n, int64_t d, DType dtype, uint64_t stream) {
  Tensor x = normal(context, {n, d}, dtype, 1.0f, stream);
  const Tensor rnorm = Tensor::empty(context, {n}, DType::f32);
  l2_normalize_forward({.x = x, .y = x, .rnorm = rnorm}, context.exec());
  return x;
}

/// Useful FLOP and least traffic of one iteration, as FLOP/s and B/s.
inline void set_rates(benchmark::State& state, double flop, double bytes) {
  using benchmark::Counter;
  if (flop > 0) state.counters["FLOP/s"] = Counter(flop, Counter::kIsIterationInvariantRate);
  if (bytes > 0) state.counters["B/s"] = Counter(bytes, Counter::kIsIterationInvariantRate);
}

/// How far the resident memory of the process grew above where it was, at its highest.
class MemoryGrowth {
 public:
  MemoryGrowth() {
    std::ofstream("/proc/self/clear_refs") << "5";  // resets the high-water mark
    before_ = status_kib("VmRSS:");
  }
  double mib() const { return static_cast<double>(status_kib("VmHWM:") - before_) / 1024; }

 private:
  static int64_t status_kib(const std::string& key) {
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word && word != key) {
    }
    int64_t value = 0;
    status >> value;
    return value;
  }
  int64_t before_ = 0;
};

}  // namespace cuclip::bench
