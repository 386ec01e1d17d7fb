// float64 reference of the convolution.
#pragma once

#include <cstddef>
#include <vector>

#include "tests/cases/conv2d_cases.h"

namespace cuclip::test {

inline int64_t out_height(const cases::Conv2dCase& c) {
  return (c.height + 2 * c.padding - c.kernel) / c.stride + 1;
}
inline int64_t out_width(const cases::Conv2dCase& c) {
  return (c.width + 2 * c.padding - c.kernel) / c.stride + 1;
}

/// [N, OH, OW, Cout] from x [N, H, W, Cin] and weight [Cout, K, K, Cin].
std::vector<double> ref_conv2d(const std::vector<double>& x, const std::vector<double>& weight,
                               const cases::Conv2dCase& c);

struct Conv2dGradients {
  std::vector<double> dx, dweight;
};
Conv2dGradients ref_conv2d_backward(const std::vector<double>& x, const std::vector<double>& weight,
                                    const std::vector<double>& dy, const cases::Conv2dCase& c);

}  // namespace cuclip::test
