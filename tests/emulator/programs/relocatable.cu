// flags: -O2 -lineinfo -rdc=true --compress-mode=speed
// with: parts/relocatable.cu
// run:
// run: --check full
// A program of two files with relocatable device code: functions and variables of the other file. LZ4 packs
// its PTX.
#include "programs/check.h"

extern __device__ int twice(int);
extern __device__ int shared_with;
static __device__ int mine = 100;  // the other file has its own of this name

__global__ void use(int* out) { out[threadIdx.x] = twice(threadIdx.x) + shared_with + mine; }
void use_other(int* out);

int main() {
  Device<int> out(32);
  use<<<1, 32>>>(out);
  CUDA(cudaGetLastError());
  EXPECT(out.host()[31] == 62 + 5 + 100, "%d", out.host()[31]);
  use_other(out);
  EXPECT(out.host()[31] == 31 + 6 + 200, "%d", out.host()[31]);
  return finish();
}
