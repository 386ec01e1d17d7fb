// Average pooling on the CPU. Tasks are groups of rows of pictures; vectors run along the channels.
#include "kernels/pool2d/pool2d_cpu.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool2d/pool2d_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// y of one window, whose first pixel is at x; `row` is the distance of the picture's rows.
template <typename Span, typename T>
HWY_INLINE void pool_window(const Span span, const T* x, int64_t row, int64_t channels, int64_t k, VF scale,
                            T* y) {
  VF sum = hn::Zero(F32());
  for (int64_t a = 0; a < k; ++a) {
    for (int64_t b = 0; b < k; ++b) sum = hn::Add(sum, span.get(x + a * row + b * channels));
  }
  span.put(hn::Mul(sum, scale), y);
}

template <typename T>
void forward_rows_of(const AvgPool2dForward& p, int64_t begin, int64_t end) {
  const int64_t height = p.x.size(1), channels = p.x.size(3), row = p.x.size(2) * channels;
  const int64_t pooled_height = p.y.size(1), pooled_width = p.y.size(2), step = lanes();
  const VF scale = hn::Set(F32(), 1.0f / static_cast<float>(p.k * p.k));
  for (int64_t r = begin; r < end; ++r) {
    const T* x = p.x.as<T>() + (r / pooled_height * height + r % pooled_height * p.k) * row;
    T* y = p.y.as<T>() + r * pooled_width * channels;
    for (int64_t j = 0; j < pooled_width; ++j, x += p.k * channels, y += channels) {
      int64_t c = 0;
      for (; c + step <= channels; c += step) pool_window(Whole{}, x + c, row, channels, p.k, scale, y + c);
      if (c < channels) pool_window(Partial{channels - c}, x + c, row, channels, p.k, scale, y + c);
    }
  }
}

// Rows [begin, end) of all pictures of y together.
void forward_rows(const AvgPool2dForward& p, int64_t begin, int64_t end) {
  if (p.x.dtype == DType::f32) {
    forward_rows_of<float>(p, begin, end);
  } else {
    forward_rows_of<bfloat16>(p, begin, end);
  }
}

template <typename T>
void backward_rows_of(const AvgPool2dBackward& p, int64_t begin, int64_t end) {
  const int64_t height = p.dx.size(1), channels = p.dx.size(3), row = p.dx.size(2) * channels;
  const int64_t pooled_height = p.dy.size(1), pooled_width = p.dy.size(2), step = lanes();
  const VF scale = hn::Set(F32(), 1.0f / static_cast<float>(p.k * p.k));
  for (int64_t r = begin; r < end; ++r) {
    const int64_t i = r % height / p.k;
    T* dx = p.dx.as<T>() + r * row;
    const int64_t covered = i < pooled_height ? pooled_width * p.k * channels : 0;
    if (covered > 0) {
      const T* dy = p.dy.as<T>() + (r / height * pooled_height + i) * pooled_width * channels;
      for (int64_t w = 0; w < pooled_width * p.k; ++w) {
        const T* from = dy + w / p.k * channels;
        T* to = dx + w * channels;
        int64_t c = 0;
        for (; c + step <= channels; c += step) store(hn::Mul(load(from + c), scale), to + c);
        if (c < channels) store_n(hn::Mul(load_n(from + c, channels - c), scale), to + c, channels - c);
      }
    }
    std::fill(dx + covered, dx + row, T(0.0f));
  }
}

// Rows [begin, end) of all pictures of dx together.
void backward_rows(const AvgPool2dBackward& p, int64_t begin, int64_t end) {
  if (p.dx.dtype == DType::f32) {
    backward_rows_of<float>(p, begin, end);
  } else {
    backward_rows_of<bfloat16>(p, begin, end);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_rows);

constexpr int64_t kElements = 64 * 1024;  // of the pictures that a task reads or writes, about

// Calls body(begin, end) for groups of rows of `width` elements.
template <typename Body>
void for_rows(const ExecContext& ctx, int64_t rows, int64_t width, const Body& body) {
  const int64_t group = std::max<int64_t>(1, kElements / std::max<int64_t>(1, width));
  parallel_for(ctx, ceil_div(rows, group),
               [&](int64_t task, int) { body(task * group, std::min(rows, (task + 1) * group)); });
}

}  // namespace

void avg_pool2d_forward_cpu(const AvgPool2dForward& p, const ExecContext& ctx) {
  for_rows(ctx, p.y.size(0) * p.y.size(1), p.k * p.x.size(2) * p.x.size(3), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(p, begin, end);
  });
}

void avg_pool2d_backward_cpu(const AvgPool2dBackward& p, const ExecContext& ctx) {
  for_rows(ctx, p.dx.size(0) * p.dx.size(1), p.dx.size(2) * p.dx.size(3), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(backward_rows)(p, begin, end);
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
