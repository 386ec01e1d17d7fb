#include "kernels/conv2d/copy_pixels.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/copy_pixels.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

template <typename From, typename To>
void convert(const void* from, void* to, int64_t count) {
  const auto* in = static_cast<const From*>(from);
  auto* out = static_cast<To*>(to);
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= count; i += step) store(load(in + i), out + i);
  if (i < count) store_n(load_n(in + i, count - i), out + i, count - i);
}

void widen(const void* from, void* to, int64_t count) { convert<bfloat16, float>(from, to, count); }
void narrow(const void* from, void* to, int64_t count) { convert<float, bfloat16>(from, to, count); }

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(widen);
HWY_EXPORT(narrow);

}  // namespace

void copy_pixels(const PixelsAt<const void>& from, const PixelsAt<void>& to, int64_t count,
                 int64_t channels) {
  const bool together = from.stride == channels && to.stride == channels;
  const int64_t runs = together ? 1 : count, length = together ? count * channels : channels;
  const auto from_step = from.stride * static_cast<int64_t>(size_of(from.dtype));
  const auto to_step = to.stride * static_cast<int64_t>(size_of(to.dtype));
  const auto* in = static_cast<const std::byte*>(from.data);
  auto* out = static_cast<std::byte*>(to.data);
  for (int64_t run = 0; run < runs; ++run, in += from_step, out += to_step) {
    if (from.dtype == to.dtype) {
      std::memcpy(out, in, static_cast<size_t>(length) * size_of(from.dtype));
    } else if (to.dtype == DType::f32) {
      HWY_DYNAMIC_DISPATCH(widen)(in, out, length);
    } else {
      HWY_DYNAMIC_DISPATCH(narrow)(in, out, length);
    }
  }
}

}  // namespace cuclip
#endif  // HWY_ONCE
