#include "tests/cuda/device_headers.h"

#include "kernels/common/async_copy.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"

namespace cuclip::test {
namespace {

template <typename T>
__global__ void copy_vectors_kernel(const T* x, T* out, int64_t n) {
  constexpr int kSize = Vec<T>::kSize;
  float v[kSize];
  for (int64_t i = threadIdx.x * kSize; i < n; i += blockDim.x * kSize) {
    if (i + kSize <= n) {
      unpack(load_vec(x + i), v);
      store_vec(out + i, pack<T>(v));
    } else {
      load_part(x + i, n - i, v);
      store_part(out + i, n - i, v);
    }
  }
}

__global__ void reduce_block_kernel(const float* x, float* out) {
  __shared__ float shared[32];
  const float value = x[threadIdx.x];
  const float sum = block_sum(value, shared);
  const float of_warp = warp_sum(value), most_of_warp = warp_max(value);
  if (threadIdx.x == 0) out[0] = sum;
  if (threadIdx.x == kWarp) {
    out[1] = of_warp;
    out[2] = most_of_warp;
  }
}

__device__ void store_product(const float (&d)[4], float* c) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  c[g * 8 + 2 * t] = d[0];
  c[g * 8 + 2 * t + 1] = d[1];
  c[(g + 8) * 8 + 2 * t] = d[2];
  c[(g + 8) * 8 + 2 * t + 1] = d[3];
}

__global__ void multiply_bf16_kernel(const bfloat16* a, const bfloat16* b, float* c) {
  __shared__ alignas(16) bfloat16 tile_a[16][16], tile_b[8][16];
  const int lane = static_cast<int>(threadIdx.x);
  store_vec(&tile_a[lane / 2][lane % 2 * 8], load_vec(a + lane * 8));
  if (lane < 16) store_vec(&tile_b[lane / 2][lane % 2 * 8], load_vec(b + lane * 8));
  __syncwarp();
  uint32_t fragment_a[4], twice_b[4];
  ldmatrix_x4(fragment_a, &tile_a[lane % 16][lane / 16 * 8]);
  ldmatrix_x4(twice_b, &tile_b[lane % 8][lane / 8 % 2 * 8]);
  float d[4] = {};
  mma_bf16(d, fragment_a, {twice_b[0], twice_b[1]});
  store_product(d, c);
}

__global__ void multiply_tf32_kernel(const float* a, const float* b, float* c) {
  const int g = threadIdx.x / 4, t = threadIdx.x % 4;
  const uint32_t fragment_a[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]),
                                  to_tf32(a[g * 8 + t + 4]), to_tf32(a[(g + 8) * 8 + t + 4])};
  const uint32_t fragment_b[2] = {to_tf32(b[g * 8 + t]), to_tf32(b[g * 8 + t + 4])};
  float d[4] = {};
  mma_tf32(d, fragment_a, fragment_b);
  store_product(d, c);
}

__global__ void multiply_transposed_kernel(const bfloat16* at, const bfloat16* b, float* c) {
  __shared__ alignas(16) bfloat16 tile_a[16][16], tile_b[16][8];
  const int lane = static_cast<int>(threadIdx.x);
  store_vec(&tile_a[lane / 2][lane % 2 * 8], load_vec(at + lane * 8));
  if (lane < 16) store_vec(&tile_b[lane][0], load_vec(b + lane * 8));
  __syncwarp();
  uint32_t fragment_a[4], twice_b[4];
  // Matrix m of A is rows m % 2 * 8 and k m / 2 * 8: of its transpose, k from the rows and rows from the
  // columns.
  const int matrix = lane / 8;
  ldmatrix_x4_trans(fragment_a, &tile_a[matrix / 2 * 8 + lane % 8][matrix % 2 * 8]);
  ldmatrix_x4_trans(twice_b, &tile_b[lane % 16][0]);
  float d[4] = {};
  mma_bf16(d, fragment_a, {twice_b[0], twice_b[1]});
  store_product(d, c);
}

template <int kChunks>
__global__ void copy_tile_kernel(const float* x, float* out, int rows, int valid_rows) {
  extern __shared__ float4 tile[];
  for (int i = static_cast<int>(threadIdx.x); i < rows * kChunks; i += static_cast<int>(blockDim.x)) {
    const int row = i / kChunks, chunk = i % kChunks;
    float4* to = &tile[swizzle<kChunks>(row, chunk)];
    const bool valid = row < valid_rows;
    if (i % 3 == 0) {
      async_copy_16_zero_fill(shared_address(to), valid ? x + i * 4 : x, valid ? 16 : 0);
    } else if (i % 3 == 1) {
      async_copy_16(shared_address(to), valid ? x + i * 4 : nullptr, valid);
    } else {
      for (int j = 0; j < 4; ++j)
        async_copy_4(shared_address(to) + 4 * j, valid ? x + i * 4 + j : nullptr, valid);
    }
  }
  async_commit();
  async_wait<0>();
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < rows * kChunks; i += static_cast<int>(blockDim.x)) {
    const int row = i % rows, chunk = i / rows;
    reinterpret_cast<float4*>(out)[row * kChunks + chunk] = tile[swizzle<kChunks>(row, chunk)];
  }
}

__global__ void launch_with_kernel(float* out) {
  extern __shared__ float4 tile[];
  tile[0].x = 1;
  out[0] = tile[0].x;
}

}  // namespace

void copy_vectors(const TensorView& x, const TensorView& out, const ExecContext& ctx) {
  const LaunchConfig config{.kernel = "copy_vectors_kernel", .grid = {}, .threads = 32};
  if (x.dtype == DType::f32) {
    launch(config, copy_vectors_kernel<float>, ctx, x.as<float>(), out.as<float>(), x.elements());
  } else {
    launch(config, copy_vectors_kernel<bfloat16>, ctx, x.as<bfloat16>(), out.as<bfloat16>(), x.elements());
  }
}

void reduce_block(const TensorView& x, const TensorView& out, int threads, const ExecContext& ctx) {
  launch({.kernel = "reduce_block_kernel", .grid = {}, .threads = threads}, reduce_block_kernel, ctx,
         x.as<float>(), out.as<float>());
}

void multiply_fragments(const TensorView& a, const TensorView& b, const TensorView& c,
                        const ExecContext& ctx) {
  const LaunchConfig config{.kernel = "multiply_fragments", .grid = {}, .threads = kWarp};
  if (a.dtype == DType::f32) {
    launch(config, multiply_tf32_kernel, ctx, a.as<float>(), b.as<float>(), c.as<float>());
  } else {
    launch(config, multiply_bf16_kernel, ctx, a.as<bfloat16>(), b.as<bfloat16>(), c.as<float>());
  }
}

void multiply_transposed(const TensorView& at, const TensorView& b, const TensorView& c,
                         const ExecContext& ctx) {
  launch({.kernel = "multiply_transposed_kernel", .grid = {}, .threads = kWarp}, multiply_transposed_kernel,
         ctx, at.as<bfloat16>(), b.as<bfloat16>(), c.as<float>());
}

void copy_tile(const TensorView& x, const TensorView& out, int chunks, const ExecContext& ctx) {
  const auto rows = static_cast<int>(out.size(0)), valid_rows = static_cast<int>(x.size(0));
  const LaunchConfig config{.kernel = "copy_tile_kernel",
                            .grid = {},
                            .threads = 64,
                            .shared_bytes = static_cast<size_t>(rows * chunks) * sizeof(float4)};
  const auto kernel = chunks == 2   ? copy_tile_kernel<2>
                      : chunks == 4 ? copy_tile_kernel<4>
                      : chunks == 8 ? copy_tile_kernel<8>
                                    : copy_tile_kernel<16>;
  launch(config, kernel, ctx, x.as<float>(), out.as<float>(), rows, valid_rows);
}

void launch_with(const TensorView& out, int64_t blocks, int threads, size_t shared_bytes,
                 const ExecContext& ctx) {
  launch({.kernel = "launch_with_kernel", .grid = {blocks}, .threads = threads, .shared_bytes = shared_bytes},
         launch_with_kernel, ctx, out.as<float>());
}

size_t allowed_shared_bytes() {
  cudaFuncAttributes attributes{};
  CUCLIP_CUDA_CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(launch_with_kernel)));
  return static_cast<size_t>(attributes.maxDynamicSharedSizeBytes);
}

}  // namespace cuclip::test
