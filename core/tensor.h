// A tensor that owns (a share of) its memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// Contiguous, row-major, in the memory of the context that it was made with. Copies share the memory. A
/// default-constructed tensor means "none". Whatever reads a tensor of Device::cuda on the host (to,
/// to_floats, item) or writes it from there (from, assign) waits for its stream.
class Tensor {
 public:
  Tensor() = default;

  static Tensor empty(Context& context, const Shape& shape, DType dtype) {
    return empty(context.allocator(), shape, dtype);
  }
  /// For whoever has an allocator but no context.
  static Tensor empty(CachingAllocator& allocator, const Shape& shape, DType dtype);
  static Tensor zeros(Context& context, const Shape& shape, DType dtype);
  /// f32, `value` everywhere.
  static Tensor full(Context& context, const Shape& shape, float value);
  /// Copies `values`; their number must be the shape's.
  template <typename T>
  static Tensor from(Context& context, const Shape& shape, std::span<const T> values);

  explicit operator bool() const { return block_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  int64_t size(int i) const { return shape_[i]; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }

  TensorView view() const;
  operator TensorView() const { return view(); }
  Device device() const { return block_ ? block_->device() : Device::cpu; }
  /// The values, for the host: throws for a tensor of another device.
  template <typename T>
  T* data() const {
    CUCLIP_CHECK(device() == Device::cpu, "a tensor {} of device {} is read by the host; copy it with to()",
                 shape_.to_string(), name_of(device()));
    return view().template as<T>();
  }

  /// This tensor on the context's device: itself if it is there already, otherwise a copy.
  Tensor to(Context& context) const;
  /// Copies `values` into it; their number must be the shape's.
  void assign(std::span<const float> values) const;
  void set_zero() const;

  /// The same memory under another shape with as many elements; keeps the place on the tape.
  Tensor reshaped(const Shape& shape) const;
  /// A part of the memory, from `first_byte`, as a tensor of its own; no place on the tape. Throws InputError
  /// where it does not fit.
  Tensor part(size_t first_byte, const Shape& shape, DType dtype) const;
  /// `count` rows (of the first dimension) from `first`; the same memory, no place on the tape.
  Tensor rows(int64_t first, int64_t count) const;

  /// Shape and place on the tape without the memory: what a backward pass needs of a tensor to which it only
  /// sends a gradient.
  Tensor place() const;

  /// The values as f32 (from f32 or bf16).
  std::vector<float> to_floats() const;
  /// The value of a tensor that holds a single f32.
  float item() const;

  /// Place on a tape (tape.h): -1 for constants.
  int tape_index() const { return tape_index_; }

 private:
  friend class Tape;
  void copy_from_host(const void* values) const;
  void copy_to_host(void* values) const;
  std::shared_ptr<const CachingAllocator::Block> block_;
  size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
  int tape_index_ = -1;
};

}  // namespace cuclip
