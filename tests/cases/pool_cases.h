// Shapes for tests and benchmarks of pooling.
#pragma once

#include <vector>

#include "kernels/common/tensor_view.h"

namespace cuclip::cases {

/// [B, S, C]: one element, odd, several tasks of the CPU kernel, captions of a small model.
inline std::vector<Shape> pool_shapes() { return {{1, 1, 1}, {3, 5, 7}, {37, 65, 96}, {16, 77, 512}}; }

}  // namespace cuclip::cases
