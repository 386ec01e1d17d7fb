// Pictures as activations on CUDA: a thread writes four values of out in one access (one where the pictures
// are not a multiple of four values, or not aligned). Bytes are read four at a time too; planes a value at a
// time, three streams side by side. Bytes moved: each picture once in, once out.
#include "kernels/common/launch.cuh"
#include "kernels/common/pixel_scale.h"
#include "kernels/common/vec.cuh"
#include "kernels/pixels/pixels_cuda.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

struct Source {
  const uint8_t* bytes;  // [B, H, W, 3], or
  const float* planes;   // [B, 3, H, W]
  int64_t pixels;        // of a picture
};

// Value i of out, where `byte` is that of a picture of bytes.
__device__ float value_at(const Source& source, const PixelScale& pixel, int64_t i, uint32_t byte) {
  const int64_t c = i % 3;
  if (source.bytes) return fmaf(static_cast<float>(byte), pixel.scale[c], pixel.shift[c]);
  const int64_t place = i / 3, picture = place / source.pixels;
  return source.planes[(picture * 3 + c) * source.pixels + place % source.pixels];
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    normalize_pixels_kernel(const Source source, const PixelScale pixel, T* out, int64_t vectors) {
  const int64_t vector = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (vector >= vectors) return;
  const int64_t first = vector * N;
  if constexpr (N == 1) {
    out[first] = from_float<T>(value_at(source, pixel, first, source.bytes ? source.bytes[first] : 0));
  } else {
    const uint32_t bytes = source.bytes ? *reinterpret_cast<const uint32_t*>(source.bytes + first) : 0;
    float values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = value_at(source, pixel, first + i, bytes >> (8 * i) & 255);
    store_vec(out + first, pack<T, N>(values));
  }
}

template <typename T, int N>
void start(const NormalizePixels& p, const Source& source, const ExecContext& ctx) {
  const int64_t vectors = p.out.elements() / N;
  launch({.kernel = "normalize_pixels_kernel", .grid = {ceil_div(vectors, kThreads)}, .threads = kThreads},
         normalize_pixels_kernel<T, N>, ctx, source, PixelScale(p.mean, p.stddev), p.out.as<T>(), vectors);
}

template <typename T>
void normalize(const NormalizePixels& p, const ExecContext& ctx) {
  const bool bytes = p.image.dtype == DType::u8;
  const Source source{bytes ? p.image.as<uint8_t>() : nullptr, bytes ? nullptr : p.image.as<float>(),
                      p.out.size(1) * p.out.size(2)};
  if (p.out.elements() % 4 == 0 && aligned_to(4 * sizeof(T), p.out.data) && aligned_to(4, p.image.data)) {
    start<T, 4>(p, source, ctx);
  } else {
    start<T, 1>(p, source, ctx);
  }
}

}  // namespace

void normalize_pixels_cuda(const NormalizePixels& p, const ExecContext& ctx) {
  if (p.out.dtype == DType::f32) {
    normalize<float>(p, ctx);
  } else {
    normalize<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
