// flags: -O2 --default-stream per-thread
// run:
// The default stream of each thread: one thread's captures while another works. The PTX is compressed (zstd).
#include <thread>
#include "check.h"
__global__ void k(int* o) { o[threadIdx.x] += 1; }
int main() {
  Device<int> d(32);
  CUDA(cudaMemset(d, 0, 128));
  cudaGraph_t g;
  CUDA(cudaStreamBeginCapture(0, cudaStreamCaptureModeThreadLocal));
  k<<<1, 32>>>(d);
  CUDA(cudaGetLastError());
  std::thread other([&] {
    k<<<1, 32>>>(d);
    CUDA(cudaStreamSynchronize(0));
  });
  other.join();
  CUDA(cudaStreamEndCapture(0, &g));
  cudaGraphExec_t e;
  CUDA(cudaGraphInstantiate(&e, g));
  CUDA(cudaGraphLaunch(e, 0));
  CUDA(cudaGraphLaunch(e, 0));
  CUDA(cudaStreamSynchronize(0));
  EXPECT(d.host()[31] == 3, "%d", d.host()[31]);
  CUDA(cudaGraphExecDestroy(e));
  CUDA(cudaGraphDestroy(g));
  return finish();
}
