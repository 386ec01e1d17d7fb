// Shapes for tests and benchmarks of the pointwise operations.
#pragma once

#include <vector>

#include "kernels/common/tensor_view.h"

namespace cuclip::cases {

/// One element, less than a vector, odd, and more than one range of the CPU kernels (65,536 elements).
inline std::vector<Shape> pointwise_shapes() { return {{1}, {7}, {3, 5, 67}, {2, 257, 131}}; }

}  // namespace cuclip::cases
