// run:
// run: --check full --error-exitcode 9
// Host threads that use one module before anybody else has: whoever comes first reads it in, the others wait.
#include <atomic>
#include <functional>
#include <thread>

#include "programs/check.h"

constexpr int kThreads = 8;

__device__ int values[kThreads];

// Long, so that it takes a while to read.
__global__ void add(int index, int* out, int n) {
  int sum = values[index];
#pragma unroll
  for (int i = 1; i <= 2000; ++i) sum = sum * i ^ n;
  *out = n == 0 ? values[index] : sum;
}

void use(int index, int* out, const std::atomic<bool>& go) {
  while (!go) std::this_thread::yield();
  const int mine = 100 + index;
  int value = 0, seen = 0, blocks = 0;
  size_t size = 0;
  CUDA(cudaMemcpyToSymbol(values, &mine, sizeof mine, index * sizeof mine));
  CUDA(cudaGetSymbolSize(&size, values));
  CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add, 128, 0));
  add<<<1, 1>>>(index, out + index, 0);
  CUDA(cudaGetLastError());
  CUDA(cudaMemcpyFromSymbol(&value, values, sizeof value, index * sizeof value));
  CUDA(cudaMemcpy(&seen, out + index, sizeof seen, cudaMemcpyDeviceToHost));
  if (value != mine || seen != mine || size != sizeof values || blocks == 0) {
    std::printf("thread %d: %d, %d, %zu bytes, %d blocks\n", index, value, seen, size, blocks);
    std::exit(1);
  }
}

int main() {
  Device<int> out(kThreads);
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(use, i, out.data, std::cref(go));
  go = true;
  for (std::thread& thread : threads) thread.join();
  return finish();
}
