// L2 normalisation on CUDA, forward and backward, and the inverse norms alone.
//
// A warp takes a row. Rows of up to kHeld 16-byte vectors per lane stay in registers from their only load to
// their only store; longer ones, and those that 16-byte accesses do not fit, are read a second time. No
// shared memory. Bytes moved: forward, x and y once each; backward, dy, y and dx once each.
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/similarity/similarity_cuda.h"

namespace cuclip {
namespace {

constexpr int kWarps = 8;  // of a block
constexpr int kHeld = 4;   // 1,024 elements of bf16, 512 of f32
constexpr float kMaxFloat = 3.40282347e38f;

// A lane's vectors of a row of `width` elements. kRegisters: all are held; otherwise each is loaded when it
// is asked for.
template <typename T, bool kRegisters, bool kWhole>
class RowVectors {
 public:
  static constexpr int kSize = Vec<T>::kSize;

  __device__ __forceinline__ RowVectors(const T* row, int64_t width, int lane)
      : row_(row), width_(width), lane_(lane) {
    if constexpr (kRegisters) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        if (column(i) < width) held_[i] = load_vec(row + column(i));
      }
    }
  }

  /// Calls body(column, values of its vector) for the lane's vectors.
  template <typename Body>
  __device__ __forceinline__ void for_each(Body&& body) const {
    float v[kSize];
    if constexpr (kRegisters) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        if (column(i) >= width_) continue;
        unpack(held_[i], v);
        body(column(i), v);
      }
    } else {
      for (int64_t c = column(0); c < width_; c += kWarp * kSize) {
        unpack(load_first<kWhole>(row_ + c, width_ - c), v);
        body(c, v);
      }
    }
  }

  /// Calls body(column, values of a's vector, values of b's) for the lane's vectors of two rows of one width.
  template <typename Body>
  static __device__ __forceinline__ void for_each_pair(const RowVectors& a, const RowVectors& b,
                                                       Body&& body) {
    float u[kSize], v[kSize];
    if constexpr (kRegisters) {
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        if (a.column(i) >= a.width_) continue;
        unpack(a.held_[i], u);
        unpack(b.held_[i], v);
        body(a.column(i), u, v);
      }
    } else {
      for (int64_t c = a.column(0); c < a.width_; c += kWarp * kSize) {
        unpack(load_first<kWhole>(a.row_ + c, a.width_ - c), u);
        unpack(load_first<kWhole>(b.row_ + c, b.width_ - c), v);
        body(c, u, v);
      }
    }
  }

 private:
  __device__ __forceinline__ int64_t column(int i) const { return (i * kWarp + lane_) * kSize; }

  const T* row_;
  int64_t width_;
  int lane_;
  Vec<T> held_[kRegisters ? kHeld : 1];
};

template <typename Row>
__device__ float inverse_norm(const Row& row) {
  float sum = 0.0f;
  row.for_each([&](int64_t, const auto& v) {
#pragma unroll
    for (int j = 0; j < Row::kSize; ++j) sum = fmaf(v[j], v[j], sum);
  });
  double total = warp_sum(sum);
  if (!(total <= kMaxFloat)) {  // overflow, infinity or NaN: the same for all lanes
    total = 0.0;
    row.for_each([&](int64_t, const auto& v) {
#pragma unroll
      for (int j = 0; j < Row::kSize; ++j) total += static_cast<double>(v[j]) * v[j];
    });
    total = warp_sum(total);
  }
  const double norm = sqrt(total);
  return norm < kMinNorm ? kMaxInverseNorm : static_cast<float>(1.0 / norm);
}

__device__ int64_t row_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
}

// y: null, or where the normalised rows go.
template <bool kRegisters, bool kWhole, typename T>
__global__ void __launch_bounds__(kWarps* kWarp)
    l2_normalize_kernel(const T* x, int64_t rows, int64_t width, T* y, float* rnorm) {
  const int64_t i = row_of_warp();
  if (i >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const RowVectors<T, kRegisters, kWhole> row(x + i * width, width, lane);
  const float factor = inverse_norm(row);
  if (lane == 0) rnorm[i] = factor;
  if (!y) return;
  row.for_each([&](int64_t c, auto& v) {
#pragma unroll
    for (int j = 0; j < Vec<T>::kSize; ++j) v[j] *= factor;
    store_columns<kWhole>(y + i * width + c, width - c, v);
  });
}

template <bool kRegisters, bool kWhole, typename T>
__global__ void __launch_bounds__(kWarps* kWarp)
    l2_normalize_backward_kernel(const T* dy, const T* y, const float* rnorm, int64_t rows, int64_t width,
                                 T* dx) {
  constexpr int kSize = Vec<T>::kSize;
  const int64_t i = row_of_warp();
  if (i >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const RowVectors<T, kRegisters, kWhole> gradient(dy + i * width, width, lane);
  const RowVectors<T, kRegisters, kWhole> row(y + i * width, width, lane);
  const float factor = rnorm[i];
  float along = 0.0f;
  if (factor != kMaxInverseNorm) {
    RowVectors<T, kRegisters, kWhole>::for_each_pair(gradient, row,
                                                     [&](int64_t, const auto& g, const auto& v) {
#pragma unroll
                                                       for (int j = 0; j < kSize; ++j)
                                                         along = fmaf(g[j], v[j], along);
                                                     });
    along = warp_sum(along);
  }
  RowVectors<T, kRegisters, kWhole>::for_each_pair(gradient, row, [&](int64_t c, const auto& g, auto& v) {
#pragma unroll
    for (int j = 0; j < kSize; ++j) v[j] = fmaf(-along, v[j], g[j]) * factor;
    store_columns<kWhole>(dx + i * width + c, width - c, v);
  });
}

// Calls body(std::bool_constant<registers>, std::bool_constant<whole>, T()).
template <typename... Pointers, typename Body>
void with_rows(const TensorView& x, Body&& body, const Pointers*... pointers) {
  const auto of_type = [&]<typename T>(T element) {
    const int64_t width = x.size(1);
    if (width % Vec<T>::kSize != 0 || !aligned_to(kVecBytes, x.data, pointers...)) {
      body(std::false_type(), std::false_type(), element);
    } else if (width > kHeld * kWarp * Vec<T>::kSize) {
      body(std::false_type(), std::true_type(), element);
    } else {
      body(std::true_type(), std::true_type(), element);
    }
  };
  x.dtype == DType::f32 ? of_type(float()) : of_type(bfloat16());
}

void normalize(const TensorView& x, void* y, float* rnorm, const ExecContext& ctx) {
  with_rows(
      x,
      [&]<typename T>(auto registers, auto whole, T) {
        launch({.kernel = "l2_normalize_kernel",
                .grid = {ceil_div(x.size(0), kWarps)},
                .threads = kWarps * kWarp},
               l2_normalize_kernel<decltype(registers)::value, decltype(whole)::value, T>, ctx, x.as<T>(),
               x.size(0), x.size(1), static_cast<T*>(y), rnorm);
      },
      y);
}

}  // namespace

void l2_normalize_forward_cuda(const L2NormalizeForward& p, const ExecContext& ctx) {
  normalize(p.x, p.y.data, p.rnorm.as<float>(), ctx);
}

void inverse_norms_cuda(const TensorView& x, float* rnorm, const ExecContext& ctx) {
  normalize(x, nullptr, rnorm, ctx);
}

void l2_normalize_backward_cuda(const L2NormalizeBackward& p, const ExecContext& ctx) {
  with_rows(
      p.dy,
      [&]<typename T>(auto registers, auto whole, T) {
        launch({.kernel = "l2_normalize_backward_kernel",
                .grid = {ceil_div(p.dy.size(0), kWarps)},
                .threads = kWarps * kWarp},
               l2_normalize_backward_kernel<decltype(registers)::value, decltype(whole)::value, T>, ctx,
               p.dy.as<T>(), p.y.as<T>(), p.rnorm.as<float>(), p.dy.size(0), p.dy.size(1), p.dx.as<T>());
      },
      p.y.data, p.dx.data);
}

}  // namespace cuclip
