// run: --check full --error-exitcode 9 --threads 2
// run: --check full --error-exitcode 9 --schedule random:3 --threads 1
// Tiled kernels as they are usually written: transposition, a product that copies ahead asynchronously into
// shared memory beyond 48 KiB, attention with tensor instructions, layer norm. Results are right, and the
// full checks have nothing to say.
#include <cuda_bf16.h>
#include <cuda_pipeline.h>

#include <cmath>

#include "programs/check.h"

std::vector<float> random_numbers(size_t count) {
  std::vector<float> numbers(count);
  std::normal_distribution<float> normal;
  for (float& number : numbers) number = normal(rng());
  return numbers;
}

__global__ void transpose(const float* in, float* out, int rows, int columns) {
  __shared__ float tile[32][33];
  const int x = blockIdx.x * 32, y = blockIdx.y * 32;
  for (int i = threadIdx.y; i < 32; i += 8) {
    if (y + i < rows && x + threadIdx.x < columns)
      tile[i][threadIdx.x] = in[(y + i) * columns + x + threadIdx.x];
  }
  __syncthreads();
  for (int i = threadIdx.y; i < 32; i += 8) {
    if (x + i < columns && y + threadIdx.x < rows)
      out[(x + i) * rows + y + threadIdx.x] = tile[threadIdx.x][i];
  }
}

void test_transpose() {
  const int rows = 70, columns = 45;
  const auto numbers = random_numbers(rows * columns);
  Device<float> in(numbers), out(rows * columns);
  transpose<<<dim3(2, 3), dim3(32, 8)>>>(in, out, rows, columns);
  const auto result = out.host();
  for (int i = 0; i < rows * columns; ++i)
    EXPECT(result[i % columns * rows + i / columns] == numbers[i], "cell %d", i);
}

// --- 64 x 64 tiles, 32 of k at a time, three in flight ---

constexpr int kStages = 3, kTile = 64, kStep = 32;
struct Stage {
  float a[kTile][kStep], b[kStep][kTile];
  float unused[1024];  // makes three of them more than 48 KiB
};

__device__ void load_stage(Stage& stage, const float* a, const float* b, int n, int k) {
  for (int i = threadIdx.x; i < kTile * kStep / 4; i += blockDim.x) {
    const int row = i / (kStep / 4), column = i % (kStep / 4) * 4;
    __pipeline_memcpy_async(&stage.a[row][column], &a[(blockIdx.y * kTile + row) * n + k + column], 16);
    const int brow = i / (kTile / 4), bcolumn = i % (kTile / 4) * 4;
    __pipeline_memcpy_async(&stage.b[brow][bcolumn], &b[(k + brow) * n + blockIdx.x * kTile + bcolumn], 16);
  }
}

__global__ void __launch_bounds__(256) product(const float* a, const float* b, float* c, int n) {
  extern __shared__ Stage stages[];
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  float sum[4][4] = {};
  for (int s = 0; s < kStages - 1; ++s) {
    if (s * kStep < n) load_stage(stages[s], a, b, n, s * kStep);
    __pipeline_commit();
  }
  for (int step = 0; step < n / kStep; ++step) {
    __pipeline_wait_prior(kStages - 2);
    __syncthreads();
    const int ahead = step + kStages - 1;
    if (ahead * kStep < n) load_stage(stages[ahead % kStages], a, b, n, ahead * kStep);
    __pipeline_commit();
    const Stage& stage = stages[step % kStages];
    for (int k = 0; k < kStep; ++k)
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) sum[i][j] += stage.a[ty * 4 + i][k] * stage.b[k][tx * 4 + j];
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      c[(blockIdx.y * kTile + ty * 4 + i) * n + blockIdx.x * kTile + tx * 4 + j] = sum[i][j];
}

void test_product() {
  const int n = 128;
  const auto x = random_numbers(n * n), y = random_numbers(n * n);
  Device<float> a(x), b(y), c(n * n);
  const int shared = kStages * static_cast<int>(sizeof(Stage));
  CUDA(cudaFuncSetAttribute(product, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  product<<<dim3(n / kTile, n / kTile), 256, shared>>>(a, b, c, n);
  CUDA(cudaGetLastError());
  const auto result = c.host();
  for (int i = 0; i < n; i += 3) {
    for (int j = 0; j < n; j += 5) {
      float sum = 0;
      for (int k = 0; k < n; ++k) sum += x[i * n + k] * y[k * n + j];
      EXPECT(std::fabs(result[i * n + j] - sum) < 1e-3f, "(%d,%d) %f, expected %f", i, j, result[i * n + j],
             sum);
    }
  }
}

// --- attention: a warp has 16 queries of width 16, and goes through the keys 16 at a time ---

constexpr int kWidth = 16, kKeys = 16;

__device__ void multiply(float* c, const unsigned* a, unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ unsigned address_of(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}
__device__ void load_matrices(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address_of(row))
               : "memory");
}
__device__ void load_transposed(unsigned* r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address_of(row))
               : "memory");
}
__device__ unsigned pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const unsigned*>(&pair);
}

__global__ void attention(const __nv_bfloat16* q, const __nv_bfloat16* k, const __nv_bfloat16* v, float* out,
                          int length) {
  __shared__ __align__(16) __nv_bfloat16 qs[2][16][kWidth], ks[kKeys][kWidth], vs[kKeys][kWidth];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.x * 32 + warp * 16;
  for (int i = lane; i < 16 * kWidth; i += 32) {
    const int row = first + i / kWidth;
    qs[warp][i / kWidth][i % kWidth] = row < length ? q[row * kWidth + i % kWidth] : __float2bfloat16(0);
  }
  __syncwarp();
  unsigned a[4];
  load_matrices(a, &qs[warp][lane % 16][lane / 16 * 8]);
  float o[2][4] = {}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {};
  for (int key = 0; key < length; key += kKeys) {
    __syncthreads();
    for (int i = threadIdx.x; i < kKeys * kWidth; i += blockDim.x) {
      const bool inside = key + i / kWidth < length;
      ks[i / kWidth][i % kWidth] = inside ? k[key * kWidth + i] : __float2bfloat16(0);
      vs[i / kWidth][i % kWidth] = inside ? v[key * kWidth + i] : __float2bfloat16(0);
    }
    __syncthreads();
    float s[2][4] = {};
    unsigned b[4];
    load_matrices(b, &ks[lane / 16 * 8 + lane % 8][lane / 8 % 2 * 8]);
    multiply(s[0], a, b[0], b[1]);
    multiply(s[1], a, b[2], b[3]);
    for (int r = 0; r < 2; ++r) {
      float high = most[r];
      for (int n = 0; n < 4; ++n) {
        float& x = s[n / 2][r * 2 + n % 2];
        x = key + n / 2 * 8 + lane % 4 * 2 + n % 2 < length ? x * 0.25f : -INFINITY;
        high = fmaxf(high, x);
      }
      high = fmaxf(high, __shfl_xor_sync(~0u, high, 1));
      high = fmaxf(high, __shfl_xor_sync(~0u, high, 2));
      const float scale = __expf(most[r] - high);
      most[r] = high;
      sum[r] *= scale;
      for (int i = 0; i < 2; ++i) {
        for (int c = 0; c < 2; ++c) {
          o[i][r * 2 + c] *= scale;
          sum[r] += s[i][r * 2 + c] = __expf(s[i][r * 2 + c] - high);
        }
      }
    }
    const unsigned p[4] = {pack(s[0][0], s[0][1]), pack(s[0][2], s[0][3]), pack(s[1][0], s[1][1]),
                           pack(s[1][2], s[1][3])};
    load_transposed(b, &vs[lane % 16][lane / 16 * 8]);
    multiply(o[0], p, b[0], b[1]);
    multiply(o[1], p, b[2], b[3]);
  }
  for (int r = 0; r < 2; ++r) {
    float whole = sum[r] + __shfl_xor_sync(~0u, sum[r], 1);
    whole += __shfl_xor_sync(~0u, whole, 2);
    const int row = first + r * 8 + lane / 4;
    if (row >= length) continue;
    for (int n = 0; n < 4; ++n)
      out[row * kWidth + n / 2 * 8 + lane % 4 * 2 + n % 2] = o[n / 2][r * 2 + n % 2] / whole;
  }
}

void test_attention() {
  const int length = 77, count = length * kWidth;
  std::vector<__nv_bfloat16> parts[3];
  for (auto& part : parts) {
    for (const float number : random_numbers(count)) part.push_back(__float2bfloat16(number));
  }
  Device<__nv_bfloat16> q(parts[0]), k(parts[1]), v(parts[2]);
  Device<float> out(count);
  attention<<<3, 64>>>(q, k, v, out, length);
  const auto result = out.host();
  for (int i = 0; i < length; ++i) {
    std::vector<double> weights(length), row(kWidth);
    double sum = 0;
    for (int j = 0; j < length; ++j) {
      for (int c = 0; c < kWidth; ++c)
        weights[j] +=
            0.25 * __bfloat162float(parts[0][i * kWidth + c]) * __bfloat162float(parts[1][j * kWidth + c]);
      sum += weights[j] = std::exp(weights[j]);
    }
    for (int c = 0; c < kWidth; ++c) {
      for (int j = 0; j < length; ++j)
        row[c] += weights[j] / sum * __bfloat162float(parts[2][j * kWidth + c]);
      EXPECT(std::fabs(result[i * kWidth + c] - row[c]) < 0.02, "(%d,%d) %f, expected %f", i, c,
             result[i * kWidth + c], row[c]);
    }
  }
}

// --- layer norm: a block a row ---

__global__ void layer_norm(const float* x, float* y, int width) {
  __shared__ float sums[4], squares[4];
  const float* row = x + blockIdx.x * width;
  float sum = 0, square = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum += row[i], square += row[i] * row[i];
  for (int s = 16; s > 0; s /= 2)
    sum += __shfl_xor_sync(~0u, sum, s), square += __shfl_xor_sync(~0u, square, s);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum, squares[threadIdx.x / 32] = square;
  __syncthreads();
  const float mean = (sums[0] + sums[1] + sums[2] + sums[3]) / width;
  const float scale =
      rsqrtf((squares[0] + squares[1] + squares[2] + squares[3]) / width - mean * mean + 1e-5f);
  for (int i = threadIdx.x; i < width; i += blockDim.x) y[blockIdx.x * width + i] = (row[i] - mean) * scale;
}

void test_layer_norm() {
  const int rows = 7, width = 300;
  const auto numbers = random_numbers(rows * width);
  Device<float> x(numbers), y(rows * width);
  layer_norm<<<rows, 128>>>(x, y, width);
  const auto result = y.host();
  for (int r = 0; r < rows; ++r) {
    double sum = 0, square = 0;
    for (int i = 0; i < width; ++i)
      sum += numbers[r * width + i], square += std::pow(numbers[r * width + i], 2);
    const double mean = sum / width, scale = 1 / std::sqrt(square / width - mean * mean + 1e-5);
    for (int i = 0; i < width; ++i)
      EXPECT(std::fabs(result[r * width + i] - (numbers[r * width + i] - mean) * scale) < 1e-4, "(%d,%d)", r,
             i);
  }
}

int main() {
  test_transpose();
  test_product();
  test_attention();
  test_layer_norm();
  CUDA(cudaDeviceSynchronize());
  return finish();
}
