// Shape helpers that the operations share.
#pragma once

#include "core/tensor.h"

namespace cuclip::ops {

/// [..., C] as [rows, C].
inline Tensor as_matrix(const Tensor& x) {
  const int64_t columns = x.size(x.shape().rank() - 1);
  return x.reshaped({columns ? x.elements() / columns : 0, columns});
}

/// The shape with another last extent.
inline Shape with_last(Shape shape, int64_t last) {
  shape[shape.rank() - 1] = last;
  return shape;
}

}  // namespace cuclip::ops
