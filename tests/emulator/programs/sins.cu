// sin: past_end: 4-byte load at .*: 0 bytes past the end of allocation 0 of 400 bytes.*sins.cu:[0-9]+.*thread .100,0,0.
// sin: before_start: 4 bytes before allocation 0
// sin: use_after_free: use after free of allocation 0
// sin: double_free: free of an address that is not a live allocation
// sin: misaligned: misaligned 16-byte load
// sin: shared_bounds: 4-byte store at offset 128 of 128 bytes of shared memory
// sin: local_bounds: of local memory
// sin: uninitialised_global: store to global memory of a value read from uninitialised memory
// sin: uninitialised_shared: branch on a value read from uninitialised memory
// sin: uninitialised_address: address computed from uninitialised memory
// sin: race_write_read: shared-memory race: reads bytes which another warp wrote
// sin: race_read_write: shared-memory race: writes bytes which another warp read
// sin: divergent_barrier: barrier reached by some of the warp's lanes only
// sin: stale_shuffle: shuffle from a lane that does not take part
// sin: outside_mask: a lane outside the membermask executes this
// sin: early_copy: shared bytes of a cp.async that has not been waited for
// sin: unsynchronised_copy: shared bytes of another thread's cp.async, with no barrier
// sin: leak: 1 allocations of 64 bytes were not freed
// sin: endless_barrier: deadlock
// Usage: sins NAME wrong|right. Wrong programs may fail; the report is what counts.
#include <cuda_pipeline.h>

#include <functional>
#include <map>
#include <string>

#include "check.h"

__global__ void read_at(const int* in, int* out, int shift) { out[threadIdx.x] = in[static_cast<int>(threadIdx.x) + shift]; }

__global__ void read_vector(const float* in, float* out, int shift) {
  const float4 v = *reinterpret_cast<const float4*>(in + shift);
  out[threadIdx.x] = v.x + v.w;
}

__global__ void write_shared(int* out, int shift) {
  __shared__ int cells[32];
  volatile int* at = cells;
  at[threadIdx.x + shift] = 1;
  __syncthreads();
  out[threadIdx.x] = at[threadIdx.x];
}

__global__ void write_local(int* out, int n) {
  int cells[8];
  for (int i = 0; i < n; ++i) reinterpret_cast<volatile int*>(cells)[i] = i;
  out[threadIdx.x] = reinterpret_cast<volatile int*>(cells)[threadIdx.x % 8];
}

__global__ void copy(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x]; }

__global__ void branch_shared(int* out, bool initialise) {
  __shared__ int cells[32];
  if (initialise) cells[threadIdx.x] = 3;
  __syncthreads();
  if (reinterpret_cast<volatile int*>(cells)[threadIdx.x] == 3) atomicAdd(out, 1);
}

__global__ void follow(const int* index, const int* in, int* out) { out[threadIdx.x] = in[index[threadIdx.x] & 31]; }

__global__ void exchange(int* out, bool barrier) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x * 3;
  if (barrier) __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 32];
}

__global__ void recycle(int* out, bool barrier) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 32];
  if (barrier) __syncthreads();
  cells[threadIdx.x] = -1 - static_cast<int>(threadIdx.x);
  __syncthreads();
  out[threadIdx.x] += cells[threadIdx.x];
}

__global__ void barriers(int* out, bool divergent) {
  if (divergent && threadIdx.x % 2 == 0) {
    asm volatile("bar.sync 0;");
    out[threadIdx.x] = 1;
  } else {
    asm volatile("bar.sync 0;");
    out[threadIdx.x] = 2;
  }
}

__global__ void shuffle(int* out, bool stale) {
  int value = threadIdx.x;
  const unsigned mask = stale ? 0x0000ffffu : 0xffffffffu;
  if (!stale || threadIdx.x < 16) value = __shfl_down_sync(mask, value, 8);
  out[threadIdx.x] = value;
}

__global__ void outsider(int* out, bool wrong) {
  out[threadIdx.x] = __shfl_xor_sync(wrong ? 0x7fffffffu : 0xffffffffu, static_cast<int>(threadIdx.x), 0);
}

__global__ void pipelined(const int* in, int* out, bool wait, bool barrier) {
  __shared__ int cells[64];
  __pipeline_memcpy_async(&cells[threadIdx.x], &in[threadIdx.x], 4);
  __pipeline_commit();
  if (wait) __pipeline_wait_prior(0);
  if (barrier) __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 1];
}

__global__ void meet(int* out, bool all) {
  if (threadIdx.x < 32 || all) asm volatile("bar.sync 1, 96;");
  out[threadIdx.x] = 1;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string name = argv[1];
  const bool wrong = std::string(argv[2]) == "wrong";
  std::vector<int> numbers(100, 7);
  int *in, *out, *empty;
  CUDA(cudaMalloc(&in, 400));
  CUDA(cudaMalloc(&out, 1024));
  CUDA(cudaMalloc(&empty, 400));
  CUDA(cudaMemcpy(in, numbers.data(), 400, cudaMemcpyHostToDevice));
  CUDA(cudaMemset(out, 0, 1024));
  if (!wrong) CUDA(cudaMemset(empty, 0, 400));
  int* index = wrong ? empty : in;
  bool freed = false;
  const std::map<std::string, std::function<void()>> sins{
      {"past_end", [&] { read_at<<<1, wrong ? 101u : 100u>>>(in, out, 0); }},
      {"before_start", [&] { read_at<<<1, 32>>>(in, out, wrong ? -1 : 0); }},
      {"use_after_free", [&] {
         if (wrong) cudaFree(in);
         freed = wrong;
         read_at<<<1, 32>>>(in, out, 0);
       }},
      {"double_free", [&] {
         cudaFree(in);
         if (wrong) cudaFree(in);
         freed = true;
       }},
      {"misaligned", [&] { read_vector<<<1, 32>>>(reinterpret_cast<float*>(in), reinterpret_cast<float*>(out), wrong ? 1 : 4); }},
      {"shared_bounds", [&] { write_shared<<<1, 32>>>(out, wrong ? 1 : 0); }},
      {"local_bounds", [&] { write_local<<<1, 32>>>(out, wrong ? 200 : 8); }},
      {"uninitialised_global", [&] { copy<<<1, 32>>>(index, out); }},
      {"uninitialised_shared", [&] { branch_shared<<<1, 32>>>(out, !wrong); }},
      {"uninitialised_address", [&] { follow<<<1, 32>>>(index, in, out); }},
      {"race_write_read", [&] { exchange<<<1, 64>>>(out, !wrong); }},
      {"race_read_write", [&] { recycle<<<1, 64>>>(out, !wrong); }},
      {"divergent_barrier", [&] { barriers<<<1, 64>>>(out, wrong); }},
      {"stale_shuffle", [&] { shuffle<<<1, 32>>>(out, wrong); }},
      {"outside_mask", [&] { outsider<<<1, 32>>>(out, wrong); }},
      {"early_copy", [&] { pipelined<<<1, 64>>>(in, out, !wrong, true); }},
      {"unsynchronised_copy", [&] { pipelined<<<1, 64>>>(in, out, true, !wrong); }},
      {"leak", [&] {
         int* lost;
         cudaMalloc(&lost, 64);
         if (!wrong) cudaFree(lost);
       }},
      {"endless_barrier", [&] { meet<<<1, 96>>>(out, !wrong); }},
  };
  sins.at(name)();
  const cudaError_t error = cudaDeviceSynchronize();
  if (!freed) cudaFree(in);
  cudaFree(out);
  cudaFree(empty);
  std::printf("%s\n", cudaGetErrorString(error));
  return wrong || error == cudaSuccess ? 0 : 1;
}
