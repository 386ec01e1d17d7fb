// Calls of the similarity operations that make their outputs, poisoned, and how far those may be off.
#pragma once

#include <cmath>

#include "kernels/similarity/similarity.h"
#include "tests/support/buffer.h"

namespace cuclip::test {

/// Relative error of an f32 sum of d squares, and of a few operations after it: √d roundings, twice that for
/// luck.
inline double sum_error(int64_t d) {
  return (8 + 2 * std::sqrt(static_cast<double>(d))) * roundoff(DType::f32);
}

struct Normalized {
  Buffer y, rnorm;
};
inline Normalized normalize(const Buffer& x, const ExecContext& ctx) {
  Normalized r{Buffer::poisoned(x.shape(), x.dtype()), Buffer::poisoned({x.shape()[0]}, DType::f32)};
  l2_normalize_forward({.x = x.view(), .y = r.y.view(), .rnorm = r.rnorm.view()}, ctx);
  return r;
}

inline Buffer normalize_gradient(const Normalized& r, const Buffer& dy, const ExecContext& ctx) {
  Buffer dx = Buffer::poisoned(dy.shape(), dy.dtype());
  l2_normalize_backward({.dy = dy.view(), .y = r.y.view(), .rnorm = r.rnorm.view(), .dx = dx.view()}, ctx);
  return dx;
}

inline Buffer cosine(const Buffer& a, const Buffer& b, float scale, const ExecContext& ctx) {
  Buffer out = Buffer::poisoned({a.shape()[0], b.shape()[0]}, DType::f32);
  cosine_similarity({.a = a.view(), .b = b.view(), .scale = scale, .out = out.view()}, ctx);
  return out;
}

struct Top {
  Buffer values, indices;
};
inline Top top(const Buffer& a, const Buffer& b, int64_t k, const ExecContext& ctx, float scale = 1,
               const TensorView& b_rnorm = {}) {
  const int64_t rows = a.shape()[0];
  Top r{Buffer::poisoned({rows, k}, DType::f32), Buffer::poisoned({rows, k}, DType::i32)};
  top_k({.a = a.view(),
         .b = b.view(),
         .b_rnorm = b_rnorm,
         .k = k,
         .scale = scale,
         .values = r.values.view(),
         .indices = r.indices.view()},
        ctx);
  r.values.check_guards();
  r.indices.check_guards();
  return r;
}

}  // namespace cuclip::test
