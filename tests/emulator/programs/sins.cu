// sin: past_end: 4-byte load at .*: 0 bytes past the end of allocation 0 of 400 bytes.*thread .100,0,0.
// sin: before_start: 4 bytes before allocation 0
// sin: far_end: at .*: [0-9]{8} bytes past the end of allocation [0-9] of
// sin: use_after_free: use after free of allocation 0
// sin: double_free: double free of allocation 0 of 400 bytes
// sin: misaligned: misaligned 16-byte load
// sin: shared_bounds: 4-byte store at offset 128 of 128 bytes of shared memory
// sin: local_bounds: of local memory
// sin: uninitialised_global: store to global memory of a value read from uninitialised memory.*byte 0 of allocation 1
// sin: uninitialised_shared: branch on a value read from uninitialised memory
// sin: uninitialised_local: store to global memory of a value read from uninitialised memory
// sin: uninitialised_atomic: atomic update of uninitialised memory.*byte 0 of allocation 2
// sin: uninitialised_address: address computed from uninitialised memory
// sin: race_write_read: shared-memory race: (reads bytes which another warp wrote|writes bytes which another warp read)
// sin: race_read_write: shared-memory race: (writes bytes which another warp read|reads bytes which another warp wrote)
// sin: race_bytes: shared-memory race: writes bytes which another warp wrote
// sin: race_rows: global-memory race: writes bytes which another warp read
// sin: blocks_write: global-memory race: writes bytes which another block wrote.*byte [0-9]+ of allocation 1, block
// sin: blocks_read: global-memory race: (reads bytes which another block wrote|writes bytes which another block read)
// sin: blocks_total: global-memory race: (reads bytes which another block wrote|writes bytes which another block read)
// sin: warps_global: global-memory race: (reads bytes which another warp wrote|writes bytes which another warp read)
// sin: no_fence: global-memory race: reads bytes which another block wrote
// sin: no_lock: global-memory race: (reads|writes) bytes which another block (wrote|read)
// sin: no_wait: shared-memory race: (reads bytes which another warp wrote|writes bytes which another warp read)
// sin: no_free_stage: shared-memory race: (reads bytes which another warp wrote|writes bytes which another warp read)
// sin: divergent_barrier: barrier reached by some of the warp's lanes only
// sin: endless_barrier: deadlock: a barrier that not all threads reach
// sin: stale_shuffle: shuffle from a lane that does not take part
// sin: outside_mask: a lane outside the membermask executes this
// sin: outside_syncwarp: a lane outside the membermask executes this
// sin: missing_lane: deadlock: lanes of the membermask never reach this instruction
// sin: early_copy: shared bytes of a cp.async that has not been waited for
// sin: unsynchronised_copy: shared bytes of another thread's cp.async, with no barrier
// sin: leak: 1 allocations of 64 bytes were not freed
// sin: unseen_launch: unchecked CUDA error: invalid configuration argument
// sin: unseen_fault: unchecked CUDA error: an illegal memory access was encountered
//
// Each is committed at the line that ends in "at: NAME" (where the report can name one).
// Usage: sins NAME wrong|right. Wrong programs may fail; the report is what counts.
#include <cuda_pipeline.h>

#include <functional>
#include <map>
#include <string>

#include "programs/check.h"

// A marked line must stay one line.
// clang-format off
__global__ void read_at(const int* in, int* out, int shift) { out[threadIdx.x] = in[static_cast<int>(threadIdx.x) + shift]; }  // at: past_end before_start far_end use_after_free

__global__ void read_vector(const float* in, float* out, int shift) {
  const float4 v = *reinterpret_cast<const float4*>(in + shift);  // at: misaligned
  out[threadIdx.x] = v.x + v.w;
}

__global__ void write_shared(int* out, int shift) {
  __shared__ int cells[32];
  volatile int* at = cells;
  at[threadIdx.x + shift] = 1;  // at: shared_bounds
  __syncthreads();
  out[threadIdx.x] = at[threadIdx.x];
}

__global__ void write_local(int* out, int n) {
  int cells[8];
  for (int i = 0; i < n; ++i) reinterpret_cast<volatile int*>(cells)[i] = i;  // at: local_bounds
  out[threadIdx.x] = reinterpret_cast<volatile int*>(cells)[threadIdx.x % 8];
}

__global__ void copy(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x]; }  // at: uninitialised_global

__global__ void branch_shared(int* out, bool initialise) {
  __shared__ int cells[32];
  if (initialise) cells[threadIdx.x] = 3;
  __syncthreads();
  if (reinterpret_cast<volatile int*>(cells)[threadIdx.x] == 3) atomicAdd(out, 1);  // at: uninitialised_shared
}

__global__ void follow(const int* index, const int* in, int* out) { out[threadIdx.x] = in[index[threadIdx.x] & 31]; }  // at: uninitialised_address

__global__ void exchange(int* out, bool barrier) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x * 3;  // at: race_write_read
  if (barrier) __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 32];  // at: race_write_read
}

__global__ void recycle(int* out, bool barrier) {
  __shared__ int cells[64];
  cells[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 32];  // at: race_read_write
  if (barrier) __syncthreads();
  cells[threadIdx.x] = -1 - static_cast<int>(threadIdx.x);  // at: race_read_write
  __syncthreads();
  out[threadIdx.x] += cells[threadIdx.x];
}

__global__ void barriers(int* out, bool divergent) {
  if (divergent && threadIdx.x % 2 == 0) {
    asm volatile("bar.sync 0;");  // at: divergent_barrier
    out[threadIdx.x] = 1;
  } else {
    asm volatile("bar.sync 0;");  // at: divergent_barrier
    out[threadIdx.x] = 2;
  }
}

__global__ void shuffle(int* out, bool stale) {
  int value = threadIdx.x;
  const unsigned mask = stale ? 0x0000ffffu : 0xffffffffu;
  if (!stale || threadIdx.x < 16)
    asm volatile("shfl.sync.down.b32 %0, %0, 8, 31, %1;" : "+r"(value) : "r"(mask));  // at: stale_shuffle
  out[threadIdx.x] = value;
}

__global__ void outsider(int* out, bool wrong) {
  int value = threadIdx.x;
  const unsigned mask = wrong ? 0x7fffffffu : 0xffffffffu;
  asm volatile("shfl.sync.bfly.b32 %0, %0, 0, 31, %1;" : "+r"(value) : "r"(mask));  // at: outside_mask
  out[threadIdx.x] = value;
}

__global__ void outside_syncwarp(int* out, bool wrong) {
  out[threadIdx.x] = 1;
  asm volatile("bar.warp.sync %0;" ::"r"(wrong ? 0x0000ffffu : 0xffffffffu));  // at: outside_syncwarp
}

__global__ void missing(int* out, bool wrong) {
  if (threadIdx.x == 0 && wrong) {
    __syncthreads();
  } else {
    asm volatile("bar.warp.sync %0;" ::"r"(0xffffffffu));  // at: missing_lane
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void pipelined(const int* in, int* out, bool wait, bool barrier) {
  __shared__ int cells[64];
  __pipeline_memcpy_async(&cells[threadIdx.x], &in[threadIdx.x], 4);
  __pipeline_commit();
  if (wait) __pipeline_wait_prior(0);
  if (barrier) __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x ^ 1];  // at: early_copy unsynchronised_copy
}

__global__ void meet(int* out, bool all) {
  if (threadIdx.x < 32 || all) asm volatile("bar.sync 1, 96;");  // at: endless_barrier
  out[threadIdx.x] = 1;
}

__global__ void read_local(int* out, int n) {
  int cells[8];
  for (int i = 0; i < n; ++i) reinterpret_cast<volatile int*>(cells)[i] = i;
  out[threadIdx.x] = reinterpret_cast<volatile int*>(cells)[threadIdx.x % 8];  // at: uninitialised_local
}

__global__ void count(int* counter) { asm volatile("red.global.add.u32 [%0], 1;" ::"l"(counter)); }  // at: uninitialised_atomic

// Bytes of one word are different bytes.
__global__ void bytes(int* out, bool wrong) {
  __shared__ unsigned char cells[64];
  cells[wrong ? threadIdx.x % 48 : threadIdx.x] = static_cast<unsigned char>(threadIdx.x);  // at: race_bytes
  __syncthreads();
  out[threadIdx.x] = cells[threadIdx.x % 48];
}

// A warp replaces its row of an odd number of halves: rows that are neighbours share a word.
__global__ void replace_rows(unsigned short* cells, bool wrong) {
  constexpr unsigned width = 33;
  unsigned short* row = cells + threadIdx.x / 32 * width;
  unsigned sum = threadIdx.x;
  for (unsigned c = threadIdx.x % 32; c < width + (wrong ? 1 : 0); c += 32) sum += row[c];
  __nanosleep(100);  // the other warps read too
  for (unsigned c = threadIdx.x % 32; c < width; c += 32)
    row[c] = static_cast<unsigned short>(sum + 1);  // at: race_rows
}

__global__ void write_blocks(int* out, bool wrong) {
  out[threadIdx.x + (wrong ? 0 : blockIdx.x * blockDim.x)] = static_cast<int>(blockIdx.x + 1);  // at: blocks_write
}

__global__ void read_blocks(int* cells, bool wrong) {
  cells[blockIdx.x] = static_cast<int>(blockIdx.x) + 5;  // at: blocks_read
  __syncthreads();
  cells[32 + blockIdx.x] = cells[(blockIdx.x + (wrong ? 1 : 0)) % gridDim.x];  // at: blocks_read
}

// Block 0 reads the total, which others have yet to add to.
__global__ void total(int* sum, int* out, bool wrong) {
  asm volatile("red.global.add.u32 [%0], 3;" ::"l"(sum));  // at: blocks_total
  if (blockIdx.x == 0 && wrong) *out = *sum;  // at: blocks_total
}

__global__ void warps_global(int* cells, bool wrong) {
  cells[threadIdx.x] = static_cast<int>(threadIdx.x) + 3;  // at: warps_global
  if (!wrong) __syncthreads();
  cells[64 + threadIdx.x] = cells[threadIdx.x ^ 32];  // at: warps_global
}

// The last block reads what the others wrote: they must fence before they say so.
__global__ void last_block(int* cells, unsigned* tickets, bool wrong) {
  cells[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
  if (!wrong) __threadfence();
  if (atomicAdd(tickets, 1u) != gridDim.x - 1) return;
  int sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) sum += cells[i];  // at: no_fence
  cells[gridDim.x] = sum;
}

__global__ void locked(int* mutex, int* data, bool wrong) {
  if (!wrong) {
    while (atomicCAS(mutex, 0, 1) != 0) __nanosleep(20);
    __threadfence();
  }
  *data += static_cast<int>(blockIdx.x) + 1;  // at: no_lock
  if (!wrong) {
    __threadfence();
    atomicExch(mutex, 0);
  }
}

__device__ unsigned shared_address(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }
__device__ void arrive(unsigned long long* barrier) {
  asm volatile("{ .reg .b64 state; mbarrier.arrive.shared.b64 state, [%0]; }" ::"r"(shared_address(barrier)) : "memory");
}
__device__ void wait(unsigned long long* barrier) {  // for its first phase
  for (int done = 0; done == 0;) {
    asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], 0; selp.s32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(shared_address(barrier)) : "memory");
  }
}

// The first warp fills two stages in turn, the second sums them: no barrier of the block between them. A
// barrier for each fill, so that who does not wait hangs nobody.
__global__ void stages(const int* in, int* out, bool wait_full, bool wait_free) {
  constexpr int fills = 4;
  __shared__ int cells[2][32];
  __shared__ unsigned long long full[fills], free[fills];
  if (threadIdx.x < fills) {
    asm volatile("mbarrier.init.shared.b64 [%0], 32;" ::"r"(shared_address(&full[threadIdx.x])) : "memory");
    asm volatile("mbarrier.init.shared.b64 [%0], 32;" ::"r"(shared_address(&free[threadIdx.x])) : "memory");
  }
  __syncthreads();
  const unsigned lane = threadIdx.x % 32;
  int sum = 0;
  for (int i = 0; i < fills; ++i) {
    int* cell = cells[i % 2];
    if (threadIdx.x < 32) {
      if (wait_free && i >= 2) wait(&free[i - 2]);
      cell[lane] = in[lane] + i;  // at: no_wait no_free_stage
      arrive(&full[i]);
    } else {
      if (wait_full) wait(&full[i]);
      sum += cell[lane ^ 1];  // at: no_wait no_free_stage
      arrive(&free[i]);
    }
  }
  if (threadIdx.x >= 32) out[lane] = sum;
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
      {"far_end", [&] { read_at<<<1, 32>>>(in, out, wrong ? 12'000'000 : 0); }},
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
      {"uninitialised_local", [&] { read_local<<<1, 32>>>(out, wrong ? 4 : 8); }},
      {"uninitialised_atomic", [&] { count<<<1, 32>>>(empty); }},
      {"uninitialised_address", [&] { follow<<<1, 32>>>(index, in, out); }},
      {"race_write_read", [&] { exchange<<<1, 64>>>(out, !wrong); }},
      {"race_read_write", [&] { recycle<<<1, 64>>>(out, !wrong); }},
      {"race_bytes", [&] { bytes<<<1, 64>>>(out, wrong); }},
      {"race_rows", [&] { replace_rows<<<1, 96>>>(reinterpret_cast<unsigned short*>(out), wrong); }},
      {"blocks_write", [&] { write_blocks<<<4, 32>>>(out, wrong); }},
      {"blocks_read", [&] { read_blocks<<<4, 1>>>(out, wrong); }},
      {"blocks_total", [&] { total<<<8, 1>>>(out, out + 1, wrong); }},
      {"warps_global", [&] { warps_global<<<1, 64>>>(out, wrong); }},
      {"no_fence", [&] { last_block<<<4, 1>>>(out, reinterpret_cast<unsigned*>(out) + 64, wrong); }},
      {"no_lock", [&] { locked<<<4, 1>>>(out, out + 1, wrong); }},
      {"no_wait", [&] { stages<<<1, 64>>>(in, out, !wrong, true); }},
      {"no_free_stage", [&] { stages<<<1, 64>>>(in, out, true, !wrong); }},
      {"divergent_barrier", [&] { barriers<<<1, 64>>>(out, wrong); }},
      {"stale_shuffle", [&] { shuffle<<<1, 32>>>(out, wrong); }},
      {"outside_mask", [&] { outsider<<<1, 32>>>(out, wrong); }},
      {"outside_syncwarp", [&] { outside_syncwarp<<<1, 32>>>(out, wrong); }},
      {"missing_lane", [&] { missing<<<1, 32>>>(out, wrong); }},
      {"early_copy", [&] { pipelined<<<1, 64>>>(in, out, !wrong, true); }},
      {"unsynchronised_copy", [&] { pipelined<<<1, 64>>>(in, out, true, !wrong); }},
      {"leak", [&] {
         int* lost;
         cudaMalloc(&lost, 64);
         if (!wrong) cudaFree(lost);
       }},
      {"endless_barrier", [&] { meet<<<1, 96>>>(out, !wrong); }},
      {"unseen_launch", [&] {
         write_blocks<<<1, 2048>>>(out, false);  // too many threads
         if (!wrong) cudaGetLastError();
       }},
      {"unseen_fault", [&] { read_at<<<1, wrong ? 101u : 100u>>>(in, out, 0); }},
  };
  sins.at(name)();
  if (wrong && name == "unseen_fault") return 0;
  const cudaError_t error = cudaDeviceSynchronize();
  if (!freed) cudaFree(in);
  cudaFree(out);
  cudaFree(empty);
  std::printf("%s\n", cudaGetErrorString(error));
  return wrong || error == cudaSuccess ? 0 : 1;
}
