#include "bench/cuda/timing.h"

#include "kernels/common/cuda_check.cuh"

namespace cuclip::bench {
namespace {

class Event {
 public:
  Event() { CUCLIP_CUDA_CHECK(cudaEventCreate(&event_)); }
  ~Event() { (void)cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

double seconds_of(void* stream, const std::function<void()>& work) {
  const Event begin, end;
  CUCLIP_CUDA_CHECK(cudaEventRecord(begin, static_cast<cudaStream_t>(stream)));
  work();
  CUCLIP_CUDA_CHECK(cudaEventRecord(end, static_cast<cudaStream_t>(stream)));
  CUCLIP_CUDA_CHECK(cudaEventSynchronize(end));
  float milliseconds = 0;
  CUCLIP_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  return 1e-3 * static_cast<double>(milliseconds);
}

}  // namespace cuclip::bench
