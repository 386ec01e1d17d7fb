// The mean token on the CPU. Tasks are pictures, or in the sums over pictures a token each; vectors run along
// the channels.
#include "kernels/mean_token/mean_token_cpu.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/mean_token/mean_token_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

template <typename T>
void forward_picture_of(const MeanTokenForward& p, int64_t n) {
  const int64_t length = p.x.size(1), width = p.x.size(2);
  const T* x = p.x.as<T>() + n * length * width;
  const float* positions = p.positions.as<float>();
  T* y = p.y.as<T>() + n * (length + 1) * width;
  const VF scale = hn::Set(F32(), 1.0f / static_cast<float>(length));
  for (int64_t c = 0; c < width; c += lanes()) {
    const int64_t left = width - c;
    VF sum = hn::Zero(F32());
    for (int64_t s = 0; s < length; ++s) {
      const VF value = load_left(x + s * width + c, left);
      const int64_t token = (s + 1) * width + c;
      sum = hn::Add(sum, value);
      store_left(hn::Add(value, load_left(positions + token, left)), y + token, left);
    }
    store_left(hn::MulAdd(sum, scale, load_left(positions + c, left)), y + c, left);
  }
}

void forward_picture(const MeanTokenForward& p, int64_t n) {
  if (p.x.dtype == DType::f32) {
    forward_picture_of<float>(p, n);
  } else {
    forward_picture_of<bfloat16>(p, n);
  }
}

template <typename T>
void backward_picture_of(const MeanTokenBackward& p, int64_t n) {
  const int64_t length = p.dx.size(1), width = p.dx.size(2);
  const T* dy = p.dy.as<T>() + n * (length + 1) * width;
  T* dx = p.dx.as<T>() + n * length * width;
  const VF scale = hn::Set(F32(), 1.0f / static_cast<float>(length));
  for (int64_t s = 0; s < length; ++s) {
    for (int64_t c = 0; c < width; c += lanes()) {
      const int64_t left = width - c;
      const VF own = load_left(dy + (s + 1) * width + c, left);
      store_left(hn::MulAdd(load_left(dy + c, left), scale, own), dx + s * width + c, left);
    }
  }
}

void backward_picture(const MeanTokenBackward& p, int64_t n) {
  if (p.dx.dtype == DType::f32) {
    backward_picture_of<float>(p, n);
  } else {
    backward_picture_of<bfloat16>(p, n);
  }
}

template <typename T>
void sum_token_of(const MeanTokenBackward& p, int64_t token) {
  const int64_t tokens = p.dy.size(1), width = p.dy.size(2);
  float* sum = p.dpositions.as<float>() + token * width;
  for (int64_t n = 0; n < p.dy.size(0); ++n) {
    add_arrays(sum, p.dy.as<T>() + (n * tokens + token) * width, sum, width);
  }
}

void sum_token(const MeanTokenBackward& p, int64_t token) {
  if (p.dy.dtype == DType::f32) {
    sum_token_of<float>(p, token);
  } else {
    sum_token_of<bfloat16>(p, token);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_picture);
HWY_EXPORT(backward_picture);
HWY_EXPORT(sum_token);

}  // namespace

void mean_token_forward_cpu(const MeanTokenForward& p, const ExecContext& ctx) {
  parallel_for(ctx, p.x.size(0), [&](int64_t n, int) { HWY_DYNAMIC_DISPATCH(forward_picture)(p, n); });
}

void mean_token_backward_cpu(const MeanTokenBackward& p, const ExecContext& ctx) {
  parallel_for(ctx, p.dx.size(0), [&](int64_t n, int) { HWY_DYNAMIC_DISPATCH(backward_picture)(p, n); });
  parallel_for(ctx, p.dy.size(1), [&](int64_t token, int) { HWY_DYNAMIC_DISPATCH(sum_token)(p, token); });
}

}  // namespace cuclip
#endif  // HWY_ONCE
