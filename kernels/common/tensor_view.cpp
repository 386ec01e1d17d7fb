#include "kernels/common/tensor_view.h"

#include <algorithm>

namespace cuclip {

Shape::Shape(std::initializer_list<int64_t> extents)
    : Shape(std::span<const int64_t>(extents.begin(), extents.size())) {}

Shape::Shape(std::span<const int64_t> extents) {
  CUCLIP_CHECK(extents.size() <= static_cast<size_t>(kMaxRank), "a shape has at most {} dimensions, got {}",
               kMaxRank, extents.size());
  std::copy(extents.begin(), extents.end(), extents_.begin());
  rank_ = static_cast<int>(extents.size());
}

int64_t Shape::elements() const {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= (*this)[i];
  return n;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ &&
         std::equal(extents_.begin(), extents_.begin() + rank_, other.extents_.begin());
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i ? ", " : "", (*this)[i]);
  return text + "]";
}

std::array<int64_t, Shape::kMaxRank> contiguous_strides(const Shape& shape) {
  std::array<int64_t, Shape::kMaxRank> strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = stride;
    stride *= shape[i];
  }
  return strides;
}

bool TensorView::is_contiguous() const {
  const auto expected = contiguous_strides(shape);
  for (int i = 0; i < rank(); ++i) {
    if (shape[i] > 1 && strides[static_cast<size_t>(i)] != expected[static_cast<size_t>(i)]) return false;
  }
  return true;
}

void check_tensor(std::string_view what, const TensorView& view, DType dtype, const Shape& shape) {
  CUCLIP_CHECK(static_cast<bool>(view), "{} is missing, expected {} {}", what, name_of(dtype),
               shape.to_string());
  CUCLIP_CHECK(view.shape == shape, "{} must be {}, got {}", what, shape.to_string(), view.shape.to_string());
  CUCLIP_CHECK(view.dtype == dtype, "{} must be {}, got {}", what, name_of(dtype), name_of(view.dtype));
  CUCLIP_CHECK(view.is_contiguous(), "{} must be contiguous, got strides that are not those of {}", what,
               shape.to_string());
  CUCLIP_CHECK(view.data != nullptr || shape.elements() == 0, "{} has no memory", what);
}

void check_floating(std::string_view what, DType dtype) {
  CUCLIP_CHECK(dtype == DType::f32 || dtype == DType::bf16, "{} must be f32 or bf16, got {}", what,
               name_of(dtype));
}

}  // namespace cuclip
