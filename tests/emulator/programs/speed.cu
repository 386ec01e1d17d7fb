// How fast the emulator executes: a tiled f32 product, a layer norm, tensor instructions.
// Prints what a core does in a second of its time.
#include <ctime>

#include "programs/check.h"

// A 64 x 64 tile by 256 threads, 4 x 4 results each.
__global__ void __launch_bounds__(256) product(const float* a, const float* b, float* c, int n) {
  __shared__ float as[16][64], bs[16][64];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  const int row = blockIdx.y * 64, column = blockIdx.x * 64;
  float sum[4][4] = {};
  for (int k = 0; k < n; k += 16) {
    for (int i = threadIdx.x; i < 1024; i += 256) {
      as[i % 16][i / 16] = a[(row + i / 16) * n + k + i % 16];
      bs[i / 64][i % 64] = b[(k + i / 64) * n + column + i % 64];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const float4 x = *reinterpret_cast<float4*>(&as[i][ty * 4]),
                   y = *reinterpret_cast<float4*>(&bs[i][tx * 4]);
      const float xs[4] = {x.x, x.y, x.z, x.w}, ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int r = 0; r < 4; ++r)
#pragma unroll
        for (int s = 0; s < 4; ++s) sum[r][s] += xs[r] * ys[s];
    }
    __syncthreads();
  }
  for (int r = 0; r < 4; ++r)
    for (int s = 0; s < 4; ++s) c[(row + ty * 4 + r) * n + column + tx * 4 + s] = sum[r][s];
}

// One warp a row of 768, in registers.
__global__ void layer_norm(const float* x, const float* w, const float* b, float* y, int rows) {
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float4 v[6];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    v[i] = reinterpret_cast<const float4*>(x + row * 768)[i * 32 + lane];
    sum += v[i].x + v[i].y + v[i].z + v[i].w;
  }
#pragma unroll
  for (int s = 16; s > 0; s /= 2) sum += __shfl_xor_sync(~0u, sum, s);
  const float mean = sum / 768;
  float square = 0;
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    v[i].x -= mean, v[i].y -= mean, v[i].z -= mean, v[i].w -= mean;
    square += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
#pragma unroll
  for (int s = 16; s > 0; s /= 2) square += __shfl_xor_sync(~0u, square, s);
  const float scale = rsqrtf(square / 768 + 1e-5f);
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    const float4 ww = reinterpret_cast<const float4*>(w)[i * 32 + lane],
                 bb = reinterpret_cast<const float4*>(b)[i * 32 + lane];
    reinterpret_cast<float4*>(y + row * 768)[i * 32 + lane] =
        make_float4(v[i].x * scale * ww.x + bb.x, v[i].y * scale * ww.y + bb.y, v[i].z * scale * ww.z + bb.z,
                    v[i].w * scale * ww.w + bb.w);
  }
}

__global__ void tensor(float* out, int steps) {
  unsigned a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {4, threadIdx.x};
  float c[4] = {};
  for (int i = 0; i < steps; i += 8) {
#pragma unroll
    for (int k = 0; k < 8; ++k)
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
          "{%0,%1,%2,%3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = c[0] + c[1] + c[2] + c[3];
}

// Processor time: results are per core, whatever else the machine does.
double seconds() { return double(std::clock()) / CLOCKS_PER_SEC; }

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 256, rows = n * 8, steps = n * 64;
  Device<float> a(n * n), b(n * n), c(n * n), x(rows * 768), y(rows * 768), w(768), out(256);
  cudaMemset(a, 0, n * n * 4);
  cudaMemset(b, 0, n * n * 4);
  cudaMemset(x, 0, rows * 768 * 4);
  cudaMemset(w, 0, 768 * 4);
  product<<<dim3(n / 64, n / 64), 256>>>(a, b, c, n);  // decodes
  layer_norm<<<rows / 4, 128>>>(x, w, w, y, rows);     // and the host makes its pages
  tensor<<<1, 32>>>(out, 8);
  double begin = seconds();
  product<<<dim3(n / 64, n / 64), 256>>>(a, b, c, n);
  const double product_time = seconds() - begin;
  begin = seconds();
  layer_norm<<<rows / 4, 128>>>(x, w, w, y, rows);
  const double norm_time = seconds() - begin;
  begin = seconds();
  tensor<<<2, 32>>>(out, steps);
  const double tensor_time = seconds() - begin;
  CUDA(cudaDeviceSynchronize());
  // Per thread and step of 16: 256 fma, 32 vector loads; the rest (copying a tile in) is left out.
  std::printf("product: %.0f M fma and loads (by thread) a second\n",
              double(n) * n / 16 * n / 16 * 288 / product_time / 1e6);
  // Per thread: about 24 * 3 + 24 + 20 + 24 * 2 + 18 loads and stores.
  std::printf("layer norm: %.0f M thread-instructions a second (at least)\n",
              double(rows) * 32 * 180 / norm_time / 1e6);
  std::printf("tensor: %.2f M mma.m16n8k16 a second\n", 2.0 * steps / tensor_time / 1e6);
  return 0;
}
