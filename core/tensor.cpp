#include "core/tensor.h"

#include <cstring>

namespace cuclip {

Tensor Tensor::empty(Context& context, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.block_ = context.allocator().allocate(tensor.bytes());
  return tensor;
}

Tensor Tensor::zeros(Context& context, const Shape& shape, DType dtype) {
  Tensor tensor = empty(context, shape, dtype);
  std::memset(tensor.view().data, 0, tensor.bytes());
  return tensor;
}

template <typename T>
Tensor Tensor::from(Context& context, const Shape& shape, std::span<const T> values) {
  CUCLIP_CHECK(static_cast<int64_t>(values.size()) == shape.elements(), "tensor {} needs {} values, got {}",
               shape.to_string(), shape.elements(), values.size());
  Tensor tensor = empty(context, shape, DTypeOf<T>::value);
  if (!values.empty()) std::memcpy(tensor.view().data, values.data(), values.size_bytes());
  return tensor;
}
template Tensor Tensor::from(Context&, const Shape&, std::span<const float>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const bfloat16>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const int32_t>);
template Tensor Tensor::from(Context&, const Shape&, std::span<const uint8_t>);

TensorView Tensor::view() const {
  if (!block_) return TensorView();
  return TensorView(block_.get() + offset_, dtype_, shape_);
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
  Tensor result = *this;
  const size_t row_bytes = shape_[0] ? bytes() / static_cast<size_t>(shape_[0]) : 0;
  result.offset_ += static_cast<size_t>(first) * row_bytes;
  result.shape_[0] = count;
  result.tape_index_ = -1;
  return result;
}

Tensor Tensor::place() const {
  Tensor result = *this;
  result.block_.reset();
  return result;
}

std::vector<float> Tensor::to_floats() const {
  std::vector<float> values(static_cast<size_t>(elements()));
  if (dtype_ == DType::bf16) {
    const bfloat16* p = data<bfloat16>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(p[i]);
  } else if (!values.empty()) {
    std::memcpy(values.data(), data<float>(), values.size() * sizeof(float));
  }
  return values;
}

}  // namespace cuclip
