// Pictures as activations on the CPU: a task is a picture; what a byte becomes is looked up.
#include "kernels/pixels/pixels_cpu.h"

#include "kernels/common/pixel_scale.h"

namespace cuclip {
namespace {

template <typename T>
struct ByteTable {
  explicit ByteTable(const PixelScale& pixel) {
    for (int c = 0; c < 3; ++c) {
      for (int value = 0; value < 256; ++value)
        values[value][c] = T(static_cast<float>(value) * pixel.scale[c] + pixel.shift[c]);
    }
  }
  T values[256][3];
};

template <typename T>
void from_bytes(const uint8_t* in, int64_t pixels, const ByteTable<T>& table, T* out) {
  for (int64_t i = 0; i < pixels * 3; i += 3) {
    for (int c = 0; c < 3; ++c) out[i + c] = table.values[in[i + c]][c];
  }
}

template <typename T>
void from_planes(const float* in, int64_t pixels, T* out) {
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t c = 0; c < 3; ++c) out[i * 3 + c] = T(in[c * pixels + i]);
  }
}

template <typename T>
void normalize(const NormalizePixels& p, const ExecContext& ctx) {
  const int64_t pixels = p.out.size(1) * p.out.size(2), values = pixels * 3;
  const ByteTable<T> table(PixelScale(p.mean, p.stddev));
  parallel_for(ctx, p.out.size(0), [&](int64_t b, int) {
    T* out = p.out.as<T>() + b * values;
    if (p.image.dtype == DType::u8) {
      from_bytes(p.image.as<uint8_t>() + b * values, pixels, table, out);
    } else {
      from_planes(p.image.as<float>() + b * values, pixels, out);
    }
  });
}

}  // namespace

void normalize_pixels_cpu(const NormalizePixels& p, const ExecContext& ctx) {
  if (p.out.dtype == DType::f32) {
    normalize<float>(p, ctx);
  } else {
    normalize<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
