// Samples of tensors for the float64 references: of large shapes a few results are computed, not all.
#pragma once

#include <vector>

#include "bench/cuda/operation.h"

namespace cuclip::bench {

using Doubles = std::vector<double>;

/// At most `count` of 0 .. n - 1, the first and the last among them.
std::vector<int64_t> spread(int64_t n, int64_t count);

Doubles all_of(const Tensor& x);
/// Index `i` of the first dimension.
Doubles row_of(const Tensor& x, int64_t i);
/// Column `i` of x as [rows, last dimension].
Doubles column_of(const Tensor& x, int64_t i);

/// Collects what was found beside what was expected.
class Comparison {
 public:
  void add(const std::string& tensor, double found, double expected);
  std::vector<Deviation> deviations() const;

 private:
  struct Pair {
    double found, expected;
  };
  std::map<std::string, std::vector<Pair>> tensors_;
};

}  // namespace cuclip::bench
