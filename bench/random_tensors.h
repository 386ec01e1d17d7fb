// Tensors of random numbers, for kernels to be measured on.
#pragma once

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

}  // namespace cuclip::bench
