// run: --check memory
// A program whose module the emulator refuses: its kernels do not start, and the host lives with its managed
// variables.
#include "programs/check.h"

__managed__ int numbers[3] = {5, 6, 7};
__device__ int other = 3;

__global__ void refused() {
  asm volatile(".nonsense 3;");
  numbers[0] = other;
}

int main() {
  numbers[1] += 2;
  EXPECT(numbers[1] == 2, "%d", numbers[1]);  // there are no initial values
  refused<<<1, 1>>>();
  EXPECT(cudaGetLastError() == cudaErrorInvalidPtx, "not refused");
  CUDA(cudaDeviceSynchronize());
  return finish();
}
