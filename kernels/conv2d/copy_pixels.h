// Pixels on their way to and from what oneDNN convolves.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/dtype.h"

namespace cuclip {

/// Channels of pixels in memory: one pixel's begin `stride` elements behind the last one's.
template <typename Data>
struct PixelsAt {
  Data* data;
  DType dtype;
  int64_t stride;
  operator PixelsAt<const Data>() const requires(!std::is_const_v<Data>) { return {data, dtype, stride}; }
};

/// `count` pixels of so many channels each, from f32 or bf16 to either: bf16 is widened exactly, f32 rounded.
void copy_pixels(const PixelsAt<const void>& from, const PixelsAt<void>& to, int64_t count, int64_t channels);

/// `count` values that lie one after the other.
inline void copy_values(const void* from, DType from_dtype, void* to, DType to_dtype, int64_t count) {
  copy_pixels({from, from_dtype, count}, {to, to_dtype, count}, 1, count);
}

}  // namespace cuclip
