// float64 reference of average pooling over windows that do not overlap.
#pragma once

#include <vector>

#include "kernels/common/tensor_view.h"

namespace cuclip::test {

/// x of `shape` [N, H, W, C] → [N, H / k, W / k, C].
std::vector<double> ref_avg_pool2d(const std::vector<double>& x, const Shape& shape, int64_t k);
/// The gradient of sum(result * dy), of `shape`.
std::vector<double> ref_avg_pool2d_backward(const std::vector<double>& dy, const Shape& shape, int64_t k);

}  // namespace cuclip::test
