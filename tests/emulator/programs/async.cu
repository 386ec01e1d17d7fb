// arch: 80 90
// run:
// run: --check full --schedule random:3 --error-exitcode 9
// mbarrier, cp.async and cp.async.bulk by way of libcu++: barriers, pipelines, memcpy_async, atomics,
// semaphores.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/atomic>
#include <cuda/barrier>
#include <cuda/latch>
#include <cuda/pipeline>
#include <cuda/semaphore>
#include "programs/check.h"
// cuda::barrier is meant to be declared in shared memory like this; init() constructs it.
#pragma nv_diag_suppress static_var_with_dynamic_init
namespace cg = cooperative_groups;
__global__ void bar(const int* in, int* out, int n) {
  __shared__ cuda::barrier<cuda::thread_scope_block> b;
  alignas(16) __shared__ int tile[256];
  auto block = cg::this_thread_block();
  if (block.thread_rank() == 0) init(&b, block.size());
  block.sync();
  for (int i = 0; i < n; i += 256) {
    cuda::memcpy_async(block, tile, in + i, cuda::aligned_size_t<16>(256 * 4), b);
    b.arrive_and_wait();
    out[i + threadIdx.x] = tile[255 - threadIdx.x];
    b.arrive_and_wait();
  }
}
__global__ void split(int* out) {
  __shared__ cuda::barrier<cuda::thread_scope_block> ready, filled;
  __shared__ int cell[32];
  if (threadIdx.x == 0) {
    init(&ready, 64);
    init(&filled, 64);
  }
  __syncthreads();
  if (threadIdx.x < 32) {  // producer
    for (int i = 0; i < 10; ++i) {
      ready.arrive_and_wait();
      cell[threadIdx.x] = i * 100 + threadIdx.x;
      auto t = filled.arrive();
      (void)t;
    }
  } else {
    auto r = ready.arrive();
    (void)r;
    int sum = 0;
    for (int i = 0; i < 10; ++i) {
      filled.arrive_and_wait();
      sum += cell[threadIdx.x - 32];
      if (i < 9) {
        auto t = ready.arrive();
        (void)t;
      }
    }
    out[threadIdx.x - 32] = sum;
  }
}
template <int kStages>
__global__ void pipe(const float* in, float* out, int n) {
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, kStages> state;
  alignas(16) __shared__ float buffer[kStages][128];
  auto block = cg::this_thread_block();
  auto p = cuda::make_pipeline(block, &state);
  int fetch = 0;
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    for (; fetch < n && fetch < i + kStages; ++fetch) {
      p.producer_acquire();
      cuda::memcpy_async(block, buffer[fetch % kStages], in + fetch * 128, sizeof(float) * 128, p);
      p.producer_commit();
    }
    p.consumer_wait();
    sum += buffer[i % kStages][threadIdx.x ^ 1];
    p.consumer_release();
  }
  out[threadIdx.x] = sum;
}
__global__ void threadpipe(const float* in, float* out, int n) {
  __shared__ float buffer[2][128];
  auto p = cuda::make_pipeline();
  float sum = 0;
  for (int i = 0; i < 2; ++i) {
    p.producer_acquire();
    cuda::memcpy_async(&buffer[i][threadIdx.x], in + i * 128 + threadIdx.x, sizeof(float), p);
    p.producer_commit();
  }
  for (int i = 0; i < n; ++i) {
    cuda::pipeline_consumer_wait_prior<1>(p);
    sum += buffer[i % 2][threadIdx.x];
    p.consumer_release();
    p.producer_acquire();
    if (i + 2 < n)
      cuda::memcpy_async(&buffer[i % 2][threadIdx.x], in + (i + 2) * 128 + threadIdx.x, sizeof(float), p);
    p.producer_commit();
  }
  out[threadIdx.x] = sum;
}
__global__ void roles(const float* in, float* out, int n) {
  constexpr int kStages = 2;
  __shared__ cuda::pipeline_shared_state<cuda::thread_scope_block, kStages> state;
  __shared__ float buffer[kStages][32];
  auto block = cg::this_thread_block();
  const auto role = block.thread_rank() < 32 ? cuda::pipeline_role::producer : cuda::pipeline_role::consumer;
  auto p = cuda::make_pipeline(block, &state, role);
  if (role == cuda::pipeline_role::producer) {
    for (int i = 0; i < n; ++i) {
      p.producer_acquire();
      cuda::memcpy_async(&buffer[i % kStages][threadIdx.x], in + i * 32 + threadIdx.x, 4, p);
      p.producer_commit();
    }
  } else {
    float sum = 0;
    for (int i = 0; i < n; ++i) {
      p.consumer_wait();
      sum += buffer[i % kStages][(threadIdx.x + 1) % 32];
      p.consumer_release();
    }
    out[threadIdx.x - 32] = sum;
  }
}
__global__ void cgcopy(const int* in, int* out) {
  __shared__ int tile[512];
  auto block = cg::this_thread_block();
  cg::memcpy_async(block, tile, in, sizeof(tile));
  cg::wait(block);
  for (int i = threadIdx.x; i < 512; i += blockDim.x) out[i] = tile[511 - i];
}
__device__ cuda::atomic<int, cuda::thread_scope_device> counter{0};
__global__ void atoms(int* x, double* d, long long* l) {
  cuda::atomic_ref<int, cuda::thread_scope_device> r(*x);
  r.fetch_add(1, cuda::memory_order_relaxed);
  r.fetch_max(threadIdx.x + blockIdx.x);
  cuda::atomic_ref<double, cuda::thread_scope_device> rd(*d);
  rd.fetch_add(0.5);
  cuda::atomic_ref<long long> rl(*l);
  long long o = rl.load();
  while (!rl.compare_exchange_weak(o, o * 3 + 1)) {
  }
  counter.fetch_add(2, cuda::memory_order_acq_rel);
  cuda::atomic_thread_fence(cuda::memory_order_seq_cst, cuda::thread_scope_device);
  __shared__ cuda::std::atomic<int> s;
  if (threadIdx.x == 0) s = 0;
  __syncthreads();
  s++;
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(x, s.load());
}
__global__ void sema(int* out, int* inside) {
  __shared__ alignas(8) char ss[sizeof(cuda::counting_semaphore<cuda::thread_scope_block, 3>)];
  auto& sem = *reinterpret_cast<cuda::counting_semaphore<cuda::thread_scope_block, 3>*>(ss);
  if (threadIdx.x == 0) new (&sem) cuda::counting_semaphore<cuda::thread_scope_block, 3>(3);
  __syncthreads();
  sem.acquire();
  int now = atomicAdd(inside, 1) + 1;
  atomicMax(out, now);
  atomicSub(inside, 1);
  sem.release();
  __shared__ alignas(
      cuda::latch<cuda::thread_scope_block>) char ls[sizeof(cuda::latch<cuda::thread_scope_block>)];
  auto& l = *reinterpret_cast<cuda::latch<cuda::thread_scope_block>*>(ls);
  if (threadIdx.x == 0) new (&l) cuda::latch<cuda::thread_scope_block>(blockDim.x);
  __syncthreads();
  l.arrive_and_wait();
}
int main() {
  const int n = 1024;
  std::vector<int> in(n);
  for (int i = 0; i < n; ++i) in[i] = rng()();
  Device<int> din(in), dout(n);
  bar<<<1, 256>>>(din, dout, n);
  CUDA(cudaDeviceSynchronize());
  auto o = dout.host();
  for (int i = 0; i < n; ++i) EXPECT(o[i] == in[i / 256 * 256 + 255 - i % 256], "bar %d", i);
  split<<<1, 64>>>(dout);
  CUDA(cudaDeviceSynchronize());
  o = dout.host();
  for (int i = 0; i < 32; ++i) EXPECT(o[i] == 4500 + 10 * i, "split %d %d", i, o[i]);
  std::vector<float> f(128 * 9);
  for (auto& x : f) x = rng()() % 1000;
  Device<float> df(f), dg(128);
  auto check = [&](const char* name, int len, int flip, int rows, int width) {
    CUDA(cudaDeviceSynchronize());
    auto g = dg.host();
    for (int i = 0; i < len; ++i) {
      float s = 0;
      for (int k = 0; k < rows; ++k) s += f[k * width + (flip == 2 ? (i + 1) % 32 : i ^ flip)];
      EXPECT(s == g[i], "%s %d %g %g", name, i, g[i], s);
    }
  };
  pipe<2><<<1, 128>>>(df, dg, 9);
  check("pipe2", 128, 1, 9, 128);
  pipe<3><<<1, 128>>>(df, dg, 9);
  check("pipe3", 128, 1, 9, 128);
  threadpipe<<<1, 128>>>(df, dg, 9);
  check("threadpipe", 128, 0, 9, 128);
  roles<<<1, 64>>>(df, dg, 30);
  check("roles", 32, 2, 30, 32);
  cgcopy<<<1, 96>>>(din, dout);
  CUDA(cudaDeviceSynchronize());
  o = dout.host();
  for (int i = 0; i < 512; ++i) EXPECT(o[i] == in[511 - i], "cgcopy %d", i);
  Device<int> x(std::vector<int>{0});
  Device<double> d(std::vector<double>{0});
  Device<long long> l(std::vector<long long>{0});
  atoms<<<4, 64>>>(x, d, l);
  CUDA(cudaDeviceSynchronize());
  EXPECT(d.host()[0] == 128, "%g", d.host()[0]);
  EXPECT(x.host()[0] >= 256, "%d", x.host()[0]);
  long long e = 0;
  for (int i = 0; i < 256; ++i) e = e * 3 + 1;
  EXPECT(l.host()[0] == e, "cas");
  Device<int> y(std::vector<int>{0, 0});
  sema<<<1, 100>>>(y, y + 1);
  CUDA(cudaDeviceSynchronize());
  EXPECT(y.host()[0] >= 1 && y.host()[0] <= 3, "sema %d", y.host()[0]);
  return finish();
}
