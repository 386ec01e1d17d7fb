// A non-owning view of a tensor: pointer, shape, strides (in elements) and element type.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/common/check.h"
#include "kernels/common/dtype.h"

namespace cuclip {

/// Up to kMaxRank extents; 64-bit throughout.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return extents_[static_cast<size_t>(i)]; }
  int64_t& operator[](int i) { return extents_[static_cast<size_t>(i)]; }
  /// Number of elements; 1 for rank 0.
  int64_t elements() const;
  bool operator==(const Shape& other) const;
  /// "[2, 3]"
  std::string to_string() const;

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// Strides of a contiguous row-major tensor.
std::array<int64_t, Shape::kMaxRank> contiguous_strides(const Shape& shape);

/// What every kernel takes. A default-constructed view means "not given".
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  std::array<int64_t, Shape::kMaxRank> strides{};

  TensorView() = default;
  TensorView(void* data, DType dtype, const Shape& shape)
      : data(data), dtype(dtype), shape(shape), strides(contiguous_strides(shape)) {}

  /// True when the view was given. An empty tensor (no elements) may have a null pointer but has a rank.
  explicit operator bool() const { return data != nullptr || shape.rank() > 0; }
  int rank() const { return shape.rank(); }
  int64_t size(int i) const { return shape[i]; }
  int64_t elements() const { return shape.elements(); }
  bool is_contiguous() const;

  /// Typed pointer; throws if the element type differs.
  template <typename T>
  T* as() const {
    CUCLIP_CHECK(dtype == DTypeOf<T>::value, "a view of {} was read as {}", name_of(dtype),
                 name_of(DTypeOf<T>::value));
    return static_cast<T*>(data);
  }
};

/// View over caller-owned contiguous memory.
template <typename T>
TensorView make_view(T* data, const Shape& shape) {
  return TensorView(const_cast<std::remove_const_t<T>*>(data), DTypeOf<std::remove_const_t<T>>::value, shape);
}

/// Checks that `view` was given, has this dtype and shape and is contiguous.
/// `what` is "operation: tensor", e.g. check_tensor("layer_norm: weight", w, DType::f32, {C}).
void check_tensor(std::string_view what, const TensorView& view, DType dtype, const Shape& shape);

/// Checks that `dtype` is f32 or bf16.
void check_floating(std::string_view what, DType dtype);

}  // namespace cuclip
