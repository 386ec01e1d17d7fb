// What the benchmarks share: rates, and the growth of the process's memory.
#pragma once

#include <benchmark/benchmark.h>

#include <fstream>
#include <string>

#include "bench/random_tensors.h"

namespace cuclip::bench {

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
