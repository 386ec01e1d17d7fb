// Which GPU Device::cuda is: each thread has a current one, in which its memory and its streams are made and
// its kernels run. Whoever works on another thread than the one that made a context says so there.
#pragma once

namespace cuclip {

/// In place of a GPU's number: the one that is current, or none where there is no GPU.
inline constexpr int kCurrentGpu = -1;

/// How many GPUs there are; 0 without CUDA.
int gpu_count();
/// The number of the calling thread's current GPU, from 0; kCurrentGpu if there is none.
int current_gpu();
/// Throws Error where there is no such GPU. kCurrentGpu: does nothing.
void make_gpu_current(int gpu);

/// For as long as it lives, the calling thread's current GPU is this one; afterwards it is again what it was.
class GpuScope {
 public:
  explicit GpuScope(int gpu) : before_(current_gpu()) { make_gpu_current(gpu); }
  ~GpuScope();
  GpuScope(const GpuScope&) = delete;
  GpuScope& operator=(const GpuScope&) = delete;

 private:
  int before_;
};

}  // namespace cuclip
