// run: --check full --error-exitcode 9 --threads 2
// run: --check full --error-exitcode 9 --schedule random:1 --threads 1
// run: --check none --threads 2
// Ways in which blocks, warps and lanes usually work together. Results are right, and the full checks have
// nothing to say: each is a place where they could be wrong.
#include <cooperative_groups.h>

#include <cuda/atomic>
#include <numeric>

#include "programs/check.h"

namespace cg = cooperative_groups;

// --- the last block sums what the others left (the toolkit's threadFenceReduction) ---

__device__ unsigned tickets = 0;

__device__ int sum_block(int value) {
  __shared__ int sums[32];
  for (int s = 16; s > 0; s /= 2) value += __shfl_down_sync(~0u, value, s);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  value = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0;
  for (int s = 16; s > 0; s /= 2) value += __shfl_down_sync(~0u, value, s);
  __syncthreads();
  return value;
}

__global__ void sum_once(const int* in, int n, int* partial, int* out) {
  __shared__ bool last;
  int value = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) value += in[i];
  value = sum_block(value);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = value;
    __threadfence();
    last = atomicInc(&tickets, gridDim.x) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  value = 0;
  for (int i = threadIdx.x; i < gridDim.x; i += blockDim.x) value += partial[i];
  value = sum_block(value);
  if (threadIdx.x != 0) return;
  *out = value;
  tickets = 0;
}

void test_sum_once() {
  std::vector<int> numbers(10007);
  std::iota(numbers.begin(), numbers.end(), -3000);
  Device<int> in(numbers), partial(16), out(1);
  for (int round = 0; round < 2; ++round) {
    sum_once<<<16, 128>>>(in, static_cast<int>(numbers.size()), partial, out);
    EXPECT(out.host()[0] == std::accumulate(numbers.begin(), numbers.end(), 0), "sum %d", out.host()[0]);
  }
}

// --- scan with decoupled look-back: flag and value apart, so that only the fences order them ---

struct Tile {
  int total, prefix, state;  // 0: nothing yet, 1: total, 2: prefix too
};

__global__ void scan(const int* in, int* out, Tile* tiles, unsigned* next) {
  __shared__ int cells[128], tile, before;
  if (threadIdx.x == 0) tile = static_cast<int>(atomicAdd(next, 1u));
  __syncthreads();
  const int at = tile * 128 + threadIdx.x;
  cells[threadIdx.x] = in[at];
  __syncthreads();
  for (int s = 1; s < 128; s *= 2) {
    const int add = threadIdx.x >= s ? cells[threadIdx.x - s] : 0;
    __syncthreads();
    cells[threadIdx.x] += add;
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    tiles[tile].total = cells[127];
    __threadfence();
    *static_cast<volatile int*>(&tiles[tile].state) = 1;
    int sum = 0;
    for (int t = tile - 1; t >= 0; --t) {
      int state;
      while ((state = *static_cast<volatile int*>(&tiles[t].state)) == 0) __nanosleep(20);
      __threadfence();
      sum += state == 2 ? tiles[t].prefix : tiles[t].total;
      if (state == 2) break;
    }
    before = sum;
    tiles[tile].prefix = sum + cells[127];
    cuda::atomic_ref<int, cuda::thread_scope_device>(tiles[tile].state).store(2, cuda::memory_order_release);
  }
  __syncthreads();
  out[at] = before + cells[threadIdx.x];
}

void test_scan() {
  const int tiles = 24, n = tiles * 128;
  std::vector<int> numbers(n), expected(n);
  for (int& number : numbers) number = static_cast<int>(rng()() % 100);
  std::inclusive_scan(numbers.begin(), numbers.end(), expected.begin());
  Device<int> in(numbers), out(n);
  Device<Tile> state(tiles);
  Device<unsigned> next(1);
  CUDA(cudaMemset(state, 0, tiles * sizeof(Tile)));
  CUDA(cudaMemset(next, 0, 4));
  scan<<<tiles, 128>>>(in, out, state, next);
  EXPECT(out.host() == expected, "scan");
}

// --- locks: one for each bucket, in global memory, and one between the warps of a block ---

__device__ void lock(int* mutex) {
  while (atomicCAS(mutex, 0, 1) != 0) __nanosleep(20);
  __threadfence();
}
__device__ void unlock(int* mutex) {
  __threadfence();
  atomicExch(mutex, 0);
}

__global__ void fill_buckets(int* locks, int* counts, int* sums) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, bucket = i * 7 % 5;
  bool done = false;
  while (!done) {
    if (atomicCAS(&locks[bucket], 0, 1) == 0) {
      __threadfence();
      counts[bucket] += 1;
      sums[bucket] += i;
      unlock(&locks[bucket]);
      done = true;
    }
  }
}

__global__ void count_warps(int* out) {
  __shared__ int mutex, count;
  if (threadIdx.x == 0) mutex = count = 0;
  __syncthreads();
  if (threadIdx.x % 32 == 0) {
    lock(&mutex);
    count += 3;
    unlock(&mutex);
  }
  __syncthreads();
  if (threadIdx.x == 0) out[blockIdx.x] = count;
}

void test_locks() {
  Device<int> locks(5), counts(5), sums(5), warps(3);
  CUDA(cudaMemset(locks, 0, 20));
  CUDA(cudaMemset(counts, 0, 20));
  CUDA(cudaMemset(sums, 0, 20));
  fill_buckets<<<6, 64>>>(locks, counts, sums);
  std::vector<int> count(5), sum(5);
  for (int i = 0; i < 384; ++i) ++count[i * 7 % 5], sum[i * 7 % 5] += i;
  EXPECT(counts.host() == count && sums.host() == sum, "buckets");
  count_warps<<<3, 128>>>(warps);
  EXPECT(warps.host() == std::vector<int>(3, 12), "warps");
}

// --- atomics: a histogram in shared memory, warp-aggregated counting, one made of compare-and-swap ---

__device__ double add_by_swap(double* address, double value) {
  auto* bits = reinterpret_cast<unsigned long long*>(address);
  unsigned long long old = *bits, assumed;
  do {
    assumed = old;
    old = atomicCAS(bits, assumed, __double_as_longlong(value + __longlong_as_double(assumed)));
  } while (assumed != old);
  return __longlong_as_double(old);
}

__global__ void histogram(const unsigned char* in, int n, unsigned* bins, unsigned* odd, unsigned char* odds,
                          double* total) {
  __shared__ unsigned mine[256];
  for (int i = threadIdx.x; i < 256; i += blockDim.x) mine[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    atomicAdd(&mine[in[i]], 1u);
    if (in[i] % 2 == 0) continue;
    const cg::coalesced_group active = cg::coalesced_threads();
    unsigned first;
    if (active.thread_rank() == 0) first = atomicAdd(odd, active.size());
    odds[active.shfl(first, 0) + active.thread_rank()] = in[i];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 256; i += blockDim.x) {
    if (mine[i] != 0) atomicAdd(&bins[i], mine[i]);
  }
  if (threadIdx.x < 2) add_by_swap(total, mine[threadIdx.x]);
}

void test_histogram() {
  const int n = 5000;
  std::vector<unsigned char> bytes(n);
  std::vector<unsigned> expected(256);
  unsigned odd = 0;
  for (auto& byte : bytes) ++expected[byte = static_cast<unsigned char>(rng()())], odd += byte % 2;
  Device<unsigned char> in(bytes), odds(n);
  Device<unsigned> bins(256), count(1);
  Device<double> total(1);
  CUDA(cudaMemset(bins, 0, 1024));
  CUDA(cudaMemset(count, 0, 4));
  CUDA(cudaMemset(total, 0, 8));
  histogram<<<6, 96>>>(in, n, bins, count, odds, total);
  EXPECT(bins.host() == expected, "histogram");
  EXPECT(count.host()[0] == odd, "%u odd bytes", count.host()[0]);
  EXPECT(total.host()[0] == expected[0] + expected[1], "total");
}

// --- a cooperative grid: neighbours' cells, step after step ---

__global__ void diffuse(float* a, float* b, int n, int steps) {
  const cg::grid_group grid = cg::this_grid();
  for (int step = 0; step < steps; ++step) {
    for (int i = static_cast<int>(grid.thread_rank()); i < n; i += static_cast<int>(grid.size()))
      b[i] = 0.5f * a[i] + 0.25f * (a[(i + 1) % n] + a[(i + n - 1) % n]);
    grid.sync();
    float* const swap = a;
    a = b;
    b = swap;
  }
}

void test_grid() {
  int n = 1000, steps = 5;
  std::vector<float> x(n), y(n);
  for (float& value : x) value = static_cast<float>(rng()() % 64);
  Device<float> a(x), b(n);
  void* arguments[] = {&a.data, &b.data, &n, &steps};
  CUDA(cudaLaunchCooperativeKernel(reinterpret_cast<void*>(diffuse), 6, 64, arguments));
  for (int step = 0; step < steps; ++step, x.swap(y)) {
    for (int i = 0; i < n; ++i) y[i] = 0.5f * x[i] + 0.25f * (x[(i + 1) % n] + x[(i + n - 1) % n]);
  }
  const auto result = b.host();
  for (int i = 0; i < n; ++i) EXPECT(std::abs(result[i] - x[i]) < 1e-4f, "cell %d", i);
}

// --- bytes of one word by different blocks and warps; everybody raises the same flag ---

__global__ void mark(unsigned char* bytes, short* halves, int* found, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  bytes[i] = static_cast<unsigned char>(i);
  halves[i] = static_cast<short>(bytes[i] * 3);
  if (i % 7 == 0) *found = 1;
}

void test_bytes() {
  const int n = 9 * 37;
  Device<unsigned char> bytes(n);
  Device<short> halves(n);
  Device<int> found(1);
  CUDA(cudaMemset(found, 0, 4));
  mark<<<9, 37>>>(bytes, halves, found, n);
  for (int i = 0; i < n; ++i) EXPECT(halves.host()[i] == (i & 255) * 3, "half %d", i);
  EXPECT(found.host()[0] == 1, "flag");
}

// --- a flag and its value in one vector, which moves whole: no fence needed (cub's tile states) ---

__global__ void move_whole(ulonglong2* wide, uint2* narrow, int rounds, int* torn) {
  ulonglong2* const w = wide + threadIdx.x * 3;
  uint2* const n = narrow + threadIdx.x * 3;
  if (blockIdx.x == 0) {
    for (unsigned i = 1; i <= rounds; ++i) {
      asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(n), "r"(i), "r"(~i) : "memory");
      asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(w), "l"(i + 0ull), "l"(~(i + 0ull))
                   : "memory");
    }
    return;
  }
  unsigned long long value = 0, inverse;
  while (value != rounds) {
    unsigned half, inverse_half;
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];"
                 : "=l"(value), "=l"(inverse)
                 : "l"(w)
                 : "memory");
    asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];"
                 : "=r"(half), "=r"(inverse_half)
                 : "l"(n)
                 : "memory");
    if (inverse != ~value || inverse_half != ~half) atomicAdd(torn, 1);
  }
}

void test_vectors() {
  Device<ulonglong2> wide(std::vector<ulonglong2>(96, make_ulonglong2(0, ~0ull)));
  Device<uint2> narrow(std::vector<uint2>(96, make_uint2(0, ~0u)));
  Device<int> torn(1);
  CUDA(cudaMemset(torn, 0, 4));
  move_whole<<<3, 31>>>(wide, narrow, 3000, torn);
  EXPECT(torn.host()[0] == 0, "%d vectors torn", torn.host()[0]);
}

// --- warps that fill buffers and warps that empty them, by named barriers; the former exit first ---

__global__ void hand_over(const int* in, int* out, int rounds) {
  __shared__ int buffer[2][64];
  const int cell = threadIdx.x % 64;
  if (threadIdx.x < 64) {
    for (int i = 0; i < rounds; ++i) {
      asm volatile("bar.sync %0, 128;" ::"r"(1 + i % 2) : "memory");  // empty
      buffer[i % 2][cell] = in[i * 64 + cell];
      __threadfence_block();
      asm volatile("bar.arrive %0, 128;" ::"r"(3 + i % 2) : "memory");  // full
    }
    return;
  }
  asm volatile("bar.arrive 1, 128; bar.arrive 2, 128;" ::: "memory");
  for (int i = 0; i < rounds; ++i) {
    asm volatile("bar.sync %0, 128;" ::"r"(3 + i % 2) : "memory");
    out[i * 64 + cell] = buffer[i % 2][63 - cell];
    if (i + 2 < rounds) asm volatile("bar.arrive %0, 128;" ::"r"(1 + i % 2) : "memory");
  }
}

void test_hand_over() {
  const int rounds = 9;
  std::vector<int> numbers(rounds * 64);
  std::iota(numbers.begin(), numbers.end(), 7);
  Device<int> in(numbers), out(rounds * 64);
  hand_over<<<3, 128>>>(in, out, rounds);
  const auto got = out.host();
  for (int i = 0; i < rounds * 64; ++i) EXPECT(got[i] == numbers[i / 64 * 64 + 63 - i % 64], "cell %d", i);
}

int main() {
  test_vectors();
  test_hand_over();
  test_sum_once();
  test_scan();
  test_locks();
  test_histogram();
  test_grid();
  test_bytes();
  CUDA(cudaDeviceSynchronize());
  return finish();
}
