// Pointwise operations on CUDA: one pass over memory.
//
// Threads: a block takes kTile consecutive vectors, and each thread kVecsPerThread of them, a block's width
// apart, so that each access of a warp is consecutive and a thread has several loads under way: it loads them
// all before its first store. A vector is 16 bytes of the widest type that an operation touches; unaligned
// memory goes element by element. No shared memory. Bytes moved: each element of each tensor once.
#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/pointwise/activation.cuh"
#include "kernels/pointwise/pointwise_cuda.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;
// Each thread has 64 bytes of each input under way: with 2,048 threads per multiprocessor, more than latency
// times bandwidth.
constexpr int kVecsPerThread = 4;
constexpr int64_t kTile = kThreads * kVecsPerThread;

struct Identity {
  static constexpr int kInputs = 1;
  static __device__ float apply(float x, float) { return x; }
};
struct Sum {
  static constexpr int kInputs = 2;
  static __device__ float apply(float a, float b) { return a + b; }
};
template <Activation kKind>
struct Activate {
  static constexpr int kInputs = 1;
  static __device__ float apply(float x, float) { return activate<kKind>(x); }
};
template <Activation kKind>
struct ActivationGradient {
  static constexpr int kInputs = 2;
  static __device__ float apply(float x, float dy) { return dy * activation_derivative<kKind>(x); }
};

template <typename Op, typename In, typename Out>
__device__ void map_element(int64_t i, const In* a, const In* b, Out* out) {
  out[i] = from_float<Out>(Op::apply(to_float(a[i]), Op::kInputs == 2 ? to_float(b[i]) : 0.0f));
}

template <int kSize, typename Op, typename In, typename Out>
__global__ void __launch_bounds__(kThreads) map_kernel(int64_t n, const In* a, const In* b, Out* out) {
  const int64_t vecs = n / kSize;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile + threadIdx.x;
  Vec<In, kSize> x[kVecsPerThread], y[kVecsPerThread];
#pragma unroll
  for (int v = 0; v < kVecsPerThread; ++v) {
    const int64_t i = first + v * kThreads;
    x[v] = y[v] = Vec<In, kSize>{};
    if (i < vecs) {
      x[v] = load_vec<In, kSize>(a + i * kSize);
      if constexpr (Op::kInputs == 2) y[v] = load_vec<In, kSize>(b + i * kSize);
    }
  }
#pragma unroll
  for (int v = 0; v < kVecsPerThread; ++v) {
    const int64_t i = first + v * kThreads;
    if (i < vecs) {
      float s[kSize], t[kSize];
      unpack(x[v], s);
      unpack(y[v], t);
#pragma unroll
      for (int j = 0; j < kSize; ++j) s[j] = Op::apply(s[j], t[j]);
      store_vec(out + i * kSize, pack<Out>(s));
    }
  }
  const int64_t tail = vecs * kSize + threadIdx.x;
  if (blockIdx.x == 0 && tail < n) map_element<Op>(tail, a, b, out);
}

template <typename Op, typename In, typename Out>
__global__ void __launch_bounds__(kThreads) map_any_kernel(int64_t n, const In* a, const In* b, Out* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) map_element<Op>(i, a, b, out);
}

// x[i] = op(x[i]): for the few small tensors that are changed in place.
template <typename T, typename Op>
__global__ void __launch_bounds__(kThreads) update_kernel(int64_t n, T* x, Op op) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) x[i] = op(x[i]);
}

template <typename T, typename Op>
void update(int64_t n, T* x, Op op, const ExecContext& ctx) {
  launch({.kernel = "update_kernel", .grid = {ceil_div(n, kThreads)}, .threads = kThreads},
         update_kernel<T, Op>, ctx, n, x, op);
}

template <typename T>
struct Constant {
  T value;
  __device__ T operator()(T) const { return value; }
};
struct Between {
  float low, high;
  __device__ float operator()(float x) const { return x < low ? low : x > high ? high : x; }  // NaN stays
};

// out[i] = Op(a[i], b[i]) for i in [0, n); b is null where Op has one input.
template <typename Op, typename In, typename Out>
void map(int64_t n, const In* a, const In* b, Out* out, const ExecContext& ctx) {
  constexpr int kSize = kVecBytes / static_cast<int>(std::max(sizeof(In), sizeof(Out)));
  if (aligned_to(kSize * sizeof(In), a, b) && aligned_to(kSize * sizeof(Out), out)) {
    launch({.kernel = "map_kernel", .grid = {ceil_div(n, kTile * kSize)}, .threads = kThreads},
           map_kernel<kSize, Op, In, Out>, ctx, n, a, b, out);
  } else {
    launch({.kernel = "map_any_kernel", .grid = {ceil_div(n, kThreads)}, .threads = kThreads},
           map_any_kernel<Op, In, Out>, ctx, n, a, b, out);
  }
}

template <typename Op>
void map_unary(const TensorView& x, const TensorView& out, const ExecContext& ctx) {
  if (x.dtype == DType::f32) {
    map<Op, float>(x.elements(), x.as<float>(), nullptr, out.as<float>(), ctx);
  } else {
    map<Op, bfloat16>(x.elements(), x.as<bfloat16>(), nullptr, out.as<bfloat16>(), ctx);
  }
}

template <typename Op>
void map_binary(const TensorView& a, const TensorView& b, const TensorView& out, const ExecContext& ctx) {
  if (a.dtype == DType::f32) {
    map<Op, float>(a.elements(), a.as<float>(), b.as<float>(), out.as<float>(), ctx);
  } else {
    map<Op, bfloat16>(a.elements(), a.as<bfloat16>(), b.as<bfloat16>(), out.as<bfloat16>(), ctx);
  }
}

}  // namespace

void cast_cuda(const Cast& p, const ExecContext& ctx) {
  if (p.x.dtype == p.out.dtype) {
    map_unary<Identity>(p.x, p.out, ctx);
  } else if (p.x.dtype == DType::f32) {
    map<Identity, float>(p.x.elements(), p.x.as<float>(), nullptr, p.out.as<bfloat16>(), ctx);
  } else {
    map<Identity, bfloat16>(p.x.elements(), p.x.as<bfloat16>(), nullptr, p.out.as<float>(), ctx);
  }
}

void add_cuda(const Add& p, const ExecContext& ctx) { map_binary<Sum>(p.a, p.b, p.out, ctx); }

void activation_forward_cuda(const ActivationForward& p, const ExecContext& ctx) {
  if (p.kind == Activation::gelu) {
    map_unary<Activate<Activation::gelu>>(p.x, p.y, ctx);
  } else {
    map_unary<Activate<Activation::quick_gelu>>(p.x, p.y, ctx);
  }
}

void activation_backward_cuda(const ActivationBackward& p, const ExecContext& ctx) {
  if (p.kind == Activation::gelu) {
    map_binary<ActivationGradient<Activation::gelu>>(p.x, p.dy, p.dx, ctx);
  } else {
    map_binary<ActivationGradient<Activation::quick_gelu>>(p.x, p.dy, p.dx, ctx);
  }
}

void fill_cuda(const Fill& p, const ExecContext& ctx) {
  if (p.out.dtype == DType::f32) {
    update(p.out.elements(), p.out.as<float>(), Constant<float>{p.value}, ctx);
  } else {
    update(p.out.elements(), p.out.as<bfloat16>(), Constant<bfloat16>{bfloat16(p.value)}, ctx);
  }
}

void clamp_cuda(const Clamp& p, const ExecContext& ctx) {
  update(p.x.elements(), p.x.as<float>(), Between{p.low, p.high}, ctx);
}

}  // namespace cuclip
