// Kernels whose counts can be derived by hand; profile_test.py has the sums.
#include <dlfcn.h>

#include "programs/check.h"

__global__ void coalesced(const float* in, float* out) {
  out[blockIdx.x * 256 + threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
}
__global__ void vector(const float4* in, float4* out) {
  out[blockIdx.x * 256 + threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
}
__global__ void strided(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x * 8]; }
__global__ void shifted(const float* in, float* out) { out[threadIdx.x] = in[threadIdx.x + 1]; }
template <int kPad>
__global__ void transpose(const float* in, float* out) {
  __shared__ float tile[32][32 + kPad];
  tile[threadIdx.y][threadIdx.x] = in[threadIdx.y * 32 + threadIdx.x];
  __syncthreads();
  out[threadIdx.y * 32 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}
__global__ void diverge(int* out) {
  if (threadIdx.x & 1) atomicAdd(out, 1);
}
__global__ void tensor(float* out) {
  float c[4] = {};
  for (int i = 0; i < 10; ++i)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(0));
  out[threadIdx.x] = c[0] + c[3];
}

int main() {
  float *in, *out;
  CUDA(cudaMalloc(&in, 65536));
  CUDA(cudaMalloc(&out, 65536));
  using Name = void (*)(const void*, const char*);
  if (const auto name = reinterpret_cast<Name>(dlsym(RTLD_DEFAULT, "emulate_name"))) name(in, "input");
  CUDA(cudaMemset(in, 0, 65536));
  CUDA(cudaMemset(out, 0, 65536));
  coalesced<<<4, 256>>>(in, out);
  vector<<<4, 256>>>(reinterpret_cast<float4*>(in), reinterpret_cast<float4*>(out));
  strided<<<1, 64>>>(in, out);
  shifted<<<1, 64>>>(in, out);
  transpose<0><<<1, dim3(32, 32)>>>(in, out);
  transpose<1><<<1, dim3(32, 32)>>>(in, out);
  diverge<<<1, 64>>>(reinterpret_cast<int*>(out));
  tensor<<<2, 64>>>(out);
  CUDA(cudaDeviceSynchronize());
  CUDA(cudaFree(in));
  CUDA(cudaFree(out));
  return 0;
}
