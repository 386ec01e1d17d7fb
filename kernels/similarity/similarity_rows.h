// What the similarity operations do with rows and tiles, in SIMD. On the calling thread.
#pragma once

#include "kernels/similarity/similarity.h"

namespace cuclip {

/// Rows [begin, end) of the normalisation and of its gradient.
void l2_normalize_rows(const L2NormalizeForward& p, int64_t begin, int64_t end);
void l2_normalize_rows_backward(const L2NormalizeBackward& p, int64_t begin, int64_t end);

/// rnorm[begin .. end) = 1 / max(‖x_i‖, kMinNorm).
void inverse_norms(const TensorView& x, int64_t begin, int64_t end, float* rnorm);

/// row[j] = (row[j] · column_factor[j]) · factor for j in [0, n).
void scale_row(float* row, const float* column_factor, float factor, int64_t n);

/// One entry of a top-k list.
struct Candidate {
  float value;
  int32_t index;
};

/// The order of top_k: larger values first, equal ones by the lower index, NaN last. A strict weak order.
inline bool ranks_before(const Candidate& a, const Candidate& b) {
  const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
  if (a_nan != b_nan) return b_nan;
  if (!a_nan && a.value != b.value) return a.value > b.value;
  return a.index < b.index;
}

/// The best candidates of one row so far: a heap under ranks_before, whose front is the worst of them.
struct CandidateHeap {
  Candidate* items = nullptr;
  int64_t size = 0;
  int64_t capacity = 0;
};

/// Offers row[0 .. n) as the candidates of indices first, first + 1, ..., which must ascend from call to
/// call.
void offer_row(const float* row, int64_t n, int64_t first, CandidateHeap& heap);

}  // namespace cuclip
