#include "core/tensor.h"

#include <algorithm>

#include "kernels/pointwise/pointwise.h"

namespace cuclip {

Tensor Tensor::empty(CachingAllocator& allocator, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.block_ = allocator.allocate(tensor.bytes());
  return tensor;
}

Tensor Tensor::zeros(Context& context, const Shape& shape, DType dtype) {
  Tensor tensor = empty(context, shape, dtype);
  tensor.set_zero();
  return tensor;
}

Tensor Tensor::full(Context& context, const Shape& shape, float value) {
  Tensor tensor = empty(context, shape, DType::f32);
  fill({.out = tensor, .value = value}, context.exec());
  return tensor;
}

template <typename T>
Tensor Tensor::from(Context& context, const Shape& shape, std::span<const T> values) {
  CUCLIP_CHECK(static_cast<int64_t>(values.size()) == shape.elements(), "tensor {} needs {} values, got {}",
               shape.to_string(), shape.elements(), values.size());
  Tensor tensor = empty(context, shape, DTypeOf<T>::value);
  tensor.copy_from_host(values.data());
  return tensor;
}
template Tensor Tensor::from(Context&, const Shape&, std::span<const float>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const bfloat16>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const int32_t>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const uint8_t>);

TensorView Tensor::view() const {
  if (!block_) return TensorView();
  return TensorView(block_->data() + offset_, dtype_, shape_);
}

Tensor Tensor::reshaped(const Shape& shape) const {
  CUCLIP_CHECK(shape.elements() == elements(), "reshape: {} has {} elements, {} has {}", shape_.to_string(),
               elements(), shape.to_string(), shape.elements());
  Tensor result = *this;
  result.shape_ = shape;
  return result;
}

Tensor Tensor::rows(int64_t first, int64_t count) const {
  CUCLIP_CHECK(shape_.rank() > 0 && first >= 0 && count >= 0 && first + count <= shape_[0],
               "rows {} to {} of a tensor {}", first, first + count, shape_.to_string());
  const size_t row_bytes = shape_[0] ? bytes() / static_cast<size_t>(shape_[0]) : 0;
  Shape rows = shape_;
  rows[0] = count;
  return part(static_cast<size_t>(first) * row_bytes, rows, dtype_);
}

Tensor Tensor::part(size_t first_byte, const Shape& shape, DType dtype) const {
  Tensor result = *this;
  result.offset_ += first_byte;
  result.shape_ = shape;
  result.dtype_ = dtype;
  result.tape_index_ = -1;
  CUCLIP_CHECK(first_byte + result.bytes() <= bytes(), "part: {} {} from byte {} of {}", name_of(dtype),
               shape.to_string(), first_byte, bytes());
  return result;
}

Tensor Tensor::place() const {
  Tensor result = *this;
  result.block_.reset();
  return result;
}

Tensor Tensor::to(Context& context) const {
  if (!block_ || device() == context.device()) return *this;
  Tensor copy = empty(context, shape_, dtype_);
  const CachingAllocator::Block& cuda = device() == Device::cuda ? *block_ : *copy.block_;
  device_copy(Device::cuda, copy.view().data, view().data, bytes(), cuda.stream());
  device_synchronize(Device::cuda, cuda.stream());
  return copy;
}

void Tensor::assign(std::span<const float> values) const {
  CUCLIP_CHECK(dtype_ == DType::f32 && static_cast<int64_t>(values.size()) == elements(),
               "assign: {} f32 values for a tensor {} of {}", values.size(), shape_.to_string(),
               name_of(dtype_));
  copy_from_host(values.data());
}

void Tensor::set_zero() const { device_zero(device(), view().data, bytes(), block_->stream()); }

std::vector<float> Tensor::to_floats() const {
  std::vector<float> values(static_cast<size_t>(elements()));
  if (dtype_ == DType::bf16) {
    std::vector<bfloat16> stored(values.size());
    copy_to_host(stored.data());
    std::transform(stored.begin(), stored.end(), values.begin(),
                   [](bfloat16 x) { return static_cast<float>(x); });
  } else {
    CUCLIP_CHECK(dtype_ == DType::f32, "to_floats: a tensor of {}", name_of(dtype_));
    copy_to_host(values.data());
  }
  return values;
}

float Tensor::item() const {
  CUCLIP_CHECK(elements() == 1 && dtype_ == DType::f32, "item: a tensor {} of {} is not a single f32",
               shape_.to_string(), name_of(dtype_));
  float value = 0;
  copy_to_host(&value);
  return value;
}

void Tensor::copy_from_host(const void* values) const {
  device_copy(device(), view().data, values, bytes(), block_->stream());
  device_synchronize(device(), block_->stream());
}

void Tensor::copy_to_host(void* values) const {
  device_copy(device(), values, view().data, bytes(), block_->stream());
  device_synchronize(device(), block_->stream());
}

}  // namespace cuclip
