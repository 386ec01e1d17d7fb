// run:
// run: --check full --error-exitcode 9 --schedule random:7 --threads 2
// Whole kernels of the usual kinds: addition, reduction, transpose, tiled product, recursion, switch, printf.
#include "programs/check.h"

__device__ float offset = 2.5f;
__constant__ int table[4] = {1, 2, 3, 4};

__global__ void add(const float* a, const float* b, float* c, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) c[i] = a[i] + b[i] * offset + table[i & 3];
}

__global__ void reduce(const float* in, float* out, int n) {
  extern __shared__ float partial[];
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += in[i];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < blockDim.x / 32; ++i) total += partial[i];
    atomicAdd(out, total);
  }
}

__global__ void transpose(const float* in, float* out, int rows, int columns) {
  __shared__ float tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) {
    if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
  }
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8) {
    if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
  }
}

__global__ void matmul(const float* a, const float* b, float* c, int n) {
  __shared__ float as[16][16], bs[16][16];
  const int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x;
  float sum = 0;
  for (int k = 0; k < n; k += 16) {
    as[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
    bs[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
    __syncthreads();
    for (int i = 0; i < 16; ++i) sum += as[threadIdx.y][i] * bs[i][threadIdx.x];
    __syncthreads();
  }
  c[row * n + column] = sum;
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ __noinline__ float pick(int which, float x) {
  switch (which) {
    case 0:
      return x;
    case 1:
      return x * x;
    case 2:
      return x + 10;
    case 3:
      return -x;
    case 4:
      return 1 / x;
    case 5:
      return sinf(x);
    case 6:
      return expf(x);
    default:
      return 0;
  }
}
__global__ void diverge(int* fib, float* picked, int* collatz) {
  const int i = threadIdx.x;
  fib[i] = fibonacci(i % 13);
  picked[i] = pick(i % 9, i + 0.5f);
  int steps = 0;
  for (unsigned n = i + 1; n != 1; ++steps) n = n % 2 ? 3 * n + 1 : n / 2;
  collatz[i] = steps;
}

// A lock between the lanes of one warp: the holder must make progress while others spin.
__global__ void locked(int* lock, int* count) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
  const int before = *reinterpret_cast<volatile int*>(count);
  *reinterpret_cast<volatile int*>(count) = before + 1;
  __threadfence();
  atomicExch(lock, 0);
}

// Lane 0 spins until others, which it was to meet, have gone on; in the function they are together again.
__device__ __noinline__ int sum_lanes(int value) {
  for (int s = 16; s > 0; s /= 2) value += __shfl_xor_sync(~0u, value, s);
  return value;
}
__global__ void apart(volatile int* flag, int* out) {
  int sum = 0;
  for (int round = 1; round <= 3; ++round) {
    if (threadIdx.x == 0) {
      while (*flag < round) {
      }
    }
    if (threadIdx.x == 5) *flag = round;
    sum += sum_lanes(threadIdx.x * round);
  }
  out[threadIdx.x] = sum;
}

// The last block sums what all wrote.
__device__ unsigned finished;
__global__ void last_block(float* partial, float* out) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = blockIdx.x + 1;
    __threadfence();
    last = atomicInc(&finished, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    float sum = 0;
    for (int i = 0; i < gridDim.x; ++i) sum += reinterpret_cast<volatile float*>(partial)[i];
    *out = sum;
  }
}

__global__ void hello() {
  if (threadIdx.x == 3) printf("thread %d of %s: %5.2f %lld %%\n", threadIdx.x, "block", 1.5, 1ll << 40);
}

std::vector<float> random_floats(size_t n) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(n);
  for (float& value : values) value = distribution(rng());
  return values;
}

void test_add() {
  for (int n : {1, 31, 257, 10001}) {
    const auto a = random_floats(n), b = random_floats(n);
    Device<float> da(a), db(b), dc(n);
    const float scale = 0.5f + n;
    CUDA(cudaMemcpyToSymbol(offset, &scale, sizeof scale));
    add<<<(n + 127) / 128, 128>>>(da, db, dc, n);
    CUDA(cudaGetLastError());
    const auto c = dc.host();
    for (int i = 0; i < n; ++i) {
      const float expected = fmaf(b[i], scale, a[i]) + (i % 4 + 1);
      EXPECT(c[i] == expected, "%d: %g %g", i, c[i], expected);
    }
  }
}

void test_reduce() {
  const int n = 100003;
  const auto in = random_floats(n);
  double expected = 0;
  for (float x : in) expected += x;
  Device<float> din(in), out(std::vector<float>{0});
  reduce<<<7, 256, 8 * sizeof(float)>>>(din, out, n);
  EXPECT(fabs(out.host()[0] - expected) < 1e-2, "%g %g", out.host()[0], expected);
}

void test_transpose() {
  const int rows = 77, columns = 130;
  const auto in = random_floats(rows * columns);
  Device<float> din(in), dout(rows * columns);
  transpose<<<dim3((columns + 31) / 32, (rows + 31) / 32), dim3(32, 8)>>>(din, dout, rows, columns);
  const auto out = dout.host();
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < columns; ++c) EXPECT(out[c * rows + r] == in[r * columns + c], "%d %d", r, c);
  }
}

void test_matmul() {
  const int n = 64;
  const auto a = random_floats(n * n), b = random_floats(n * n);
  Device<float> da(a), db(b), dc(n * n);
  matmul<<<dim3(n / 16, n / 16), dim3(16, 16)>>>(da, db, dc, n);
  const auto c = dc.host();
  for (int r = 0; r < n; ++r) {
    for (int k = 0; k < n; ++k) {
      float sum = 0;
      for (int i = 0; i < n; ++i) sum = fmaf(a[r * n + i], b[i * n + k], sum);
      EXPECT(c[r * n + k] == sum, "%d %d: %g %g", r, k, c[r * n + k], sum);
    }
  }
}

void test_divergence() {
  const int n = 100;
  Device<int> fib(n), collatz(n);
  Device<float> picked(n);
  diverge<<<1, n>>>(fib, picked, collatz);
  const auto f = fib.host(), c = collatz.host();
  const auto p = picked.host();
  const int numbers[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};
  for (int i = 0; i < n; ++i) {
    EXPECT(f[i] == numbers[i % 13], "%d: %d", i, f[i]);
    const float x = i + 0.5f;
    const float values[] = {x, x * x, x + 10, -x, 1 / x, sinf(x), expf(x), 0, 0};
    const float expected = values[i % 9];
    EXPECT(p[i] == expected || fabsf(p[i] - expected) <= 3e-6f * fabsf(expected), "%d: %g %g", i, p[i],
           expected);
    int steps = 0;
    for (unsigned k = i + 1; k != 1; ++steps) k = k % 2 ? 3 * k + 1 : k / 2;
    EXPECT(c[i] == steps, "%d: %d %d", i, c[i], steps);
  }
}

void test_progress() {
  Device<int> lock(std::vector<int>{0}), count(std::vector<int>{0});
  locked<<<3, 40>>>(lock, count);
  EXPECT(count.host()[0] == 120, "%d", count.host()[0]);
  Device<int> flag(std::vector<int>{0}), sums(32);
  apart<<<1, 32>>>(flag, sums);
  for (int sum : sums.host()) EXPECT(sum == 6 * 31 * 16, "%d", sum);
  Device<float> partial(50), out(1);
  last_block<<<50, 64>>>(partial, out);
  EXPECT(out.host()[0] == 50 * 51 / 2, "%g", out.host()[0]);
}

int main() {
  test_add();
  test_reduce();
  test_transpose();
  test_matmul();
  test_divergence();
  test_progress();
  hello<<<1, 32>>>();
  CUDA(cudaDeviceSynchronize());
  return finish();
}
