// flags: -O2 --default-stream per-thread
// run:
// The default stream of each thread: one thread's captures while another works. The PTX is compressed (zstd).
#include <thread>
#include "programs/check.h"
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
  // Another stream joins it, and comes back.
  cudaStream_t beside;
  cudaEvent_t fork, join;
  CUDA(cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&fork));
  CUDA(cudaEventCreate(&join));
  CUDA(cudaEventRecord(fork, 0));
  CUDA(cudaStreamWaitEvent(beside, fork, 0));
  k<<<1, 32, 0, beside>>>(d);
  CUDA(cudaEventRecord(join, beside));
  CUDA(cudaStreamWaitEvent(0, join, 0));
  CUDA(cudaStreamEndCapture(0, &g));
  CUDA(cudaEventDestroy(fork));
  CUDA(cudaEventDestroy(join));
  CUDA(cudaStreamDestroy(beside));
  cudaGraphExec_t e;
  CUDA(cudaGraphInstantiate(&e, g));
  CUDA(cudaGraphLaunch(e, 0));
  CUDA(cudaGraphLaunch(e, 0));
  CUDA(cudaStreamSynchronize(0));
  EXPECT(d.host()[31] == 5, "%d", d.host()[31]);
  CUDA(cudaGraphExecDestroy(e));
  CUDA(cudaGraphDestroy(g));
  return finish();
}
