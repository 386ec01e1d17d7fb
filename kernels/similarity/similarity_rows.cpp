#include "kernels/similarity/similarity_rows.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/similarity/similarity_rows.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// ⟨a, b⟩ in two chains of additions.
template <typename T>
float dot(const T* a, const T* b, int64_t n) {
  VF even = hn::Zero(F32()), odd = even;
  int64_t j = 0;
  for (; j + 2 * lanes() <= n; j += 2 * lanes()) {
    even = hn::MulAdd(load(a + j), load(b + j), even);
    odd = hn::MulAdd(load(a + j + lanes()), load(b + j + lanes()), odd);
  }
  for (; j < n; j += lanes()) even = hn::MulAdd(load_left(a + j, n - j), load_left(b + j, n - j), even);
  return reduce_sum(hn::Add(even, odd));
}

template <typename T>
float inverse_norm(const T* x, int64_t n) {
  double sum = static_cast<double>(dot(x, x, n));
  if (!(sum < static_cast<double>(hwy::HighestValue<float>()))) {  // overflow, infinity or NaN
    sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double value = static_cast<double>(static_cast<float>(x[j]));
      sum += value * value;
    }
  }
  const double norm = std::sqrt(sum);
  return norm < static_cast<double>(kMinNorm) ? kMaxInverseNorm : static_cast<float>(1.0 / norm);
}

template <typename T>
void normalize(const L2NormalizeForward& p, int64_t begin, int64_t end) {
  const int64_t n = p.x.size(1);
  for (int64_t i = begin; i < end; ++i) {
    const T* x = p.x.as<T>() + i * n;
    T* y = p.y.as<T>() + i * n;
    const float rnorm = inverse_norm(x, n);
    p.rnorm.as<float>()[i] = rnorm;
    for (int64_t j = 0; j < n; j += lanes()) {
      store_left(hn::Mul(load_left(x + j, n - j), hn::Set(F32(), rnorm)), y + j, n - j);
    }
  }
}

template <typename T>
void normalize_backward(const L2NormalizeBackward& p, int64_t begin, int64_t end) {
  const F32 d;
  const int64_t n = p.dy.size(1);
  for (int64_t i = begin; i < end; ++i) {
    const T* y = p.y.as<T>() + i * n;
    const T* dy = p.dy.as<T>() + i * n;
    T* dx = p.dx.as<T>() + i * n;
    const float rnorm = p.rnorm.as<float>()[i];
    const float along = rnorm == kMaxInverseNorm ? 0.0f : dot(y, dy, n);
    for (int64_t j = 0; j < n; j += lanes()) {
      const VF across = hn::NegMulAdd(load_left(y + j, n - j), hn::Set(d, along), load_left(dy + j, n - j));
      store_left(hn::Mul(across, hn::Set(d, rnorm)), dx + j, n - j);
    }
  }
}

template <typename T>
void norms(const TensorView& x, int64_t begin, int64_t end, float* rnorm) {
  for (int64_t i = begin; i < end; ++i) rnorm[i] = inverse_norm(x.as<T>() + i * x.size(1), x.size(1));
}

void forward_rows(const L2NormalizeForward& p, int64_t begin, int64_t end) {
  p.x.dtype == DType::f32 ? normalize<float>(p, begin, end) : normalize<bfloat16>(p, begin, end);
}

void backward_rows(const L2NormalizeBackward& p, int64_t begin, int64_t end) {
  p.dy.dtype == DType::f32 ? normalize_backward<float>(p, begin, end)
                           : normalize_backward<bfloat16>(p, begin, end);
}

void norm_rows(const TensorView& x, int64_t begin, int64_t end, float* rnorm) {
  x.dtype == DType::f32 ? norms<float>(x, begin, end, rnorm) : norms<bfloat16>(x, begin, end, rnorm);
}

void scale(float* row, const float* column_factor, float factor, int64_t n) {
  for (int64_t j = 0; j < n; j += lanes()) {
    const VF scaled = hn::Mul(load_left(row + j, n - j), load_left(column_factor + j, n - j));
    store_left(hn::Mul(scaled, hn::Set(F32(), factor)), row + j, n - j);
  }
}

// The first j in [begin, n) that may enter a full heap whose worst value is `worst`, or n. A NaN on either
// side counts as "may".
int64_t find_better(const float* row, int64_t begin, int64_t n, float worst) {
  const F32 d;
  for (int64_t j = begin; j < n; j += lanes()) {
    const auto better = hn::Not(hn::Le(load_left(row + j, n - j), hn::Set(d, worst)));
    const auto first = hn::FindFirstTrue(d, hn::And(better, mask_left(n - j)));
    if (first >= 0) return j + first;
  }
  return n;
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_rows);
HWY_EXPORT(norm_rows);
HWY_EXPORT(scale);
HWY_EXPORT(find_better);

}  // namespace

void l2_normalize_rows(const L2NormalizeForward& p, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(forward_rows)(p, begin, end);
}

void l2_normalize_rows_backward(const L2NormalizeBackward& p, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(backward_rows)(p, begin, end);
}

void inverse_norms(const TensorView& x, int64_t begin, int64_t end, float* rnorm) {
  HWY_DYNAMIC_DISPATCH(norm_rows)(x, begin, end, rnorm);
}

void scale_row(float* row, const float* column_factor, float factor, int64_t n) {
  HWY_DYNAMIC_DISPATCH(scale)(row, column_factor, factor, n);
}

void offer_row(const float* row, int64_t n, int64_t first, CandidateHeap& heap) {
  const auto candidate = [&](int64_t j) { return Candidate{row[j], static_cast<int32_t>(first + j)}; };
  int64_t j = 0;
  for (; j < n && heap.size < heap.capacity; ++j) {
    heap.items[heap.size++] = candidate(j);
    std::push_heap(heap.items, heap.items + heap.size, ranks_before);
  }
  Candidate* end = heap.items + heap.size;
  for (; (j = HWY_DYNAMIC_DISPATCH(find_better)(row, j, n, heap.items[0].value)) < n; ++j) {
    if (!ranks_before(candidate(j), heap.items[0])) continue;
    std::pop_heap(heap.items, end, ranks_before);
    end[-1] = candidate(j);
    std::push_heap(heap.items, end, ranks_before);
  }
}

}  // namespace cuclip
#endif  // HWY_ONCE
