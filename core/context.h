// What an operation needs besides its tensors: where to run, threads, scratch and memory.
#pragma once

#include <memory>

#include "core/allocator.h"
#include "kernels/common/check.h"
#include "kernels/common/exec_context.h"
#include "kernels/gemm/gemm_cublaslt.h"

namespace cuclip {

/// One per thread that runs models; contexts of several threads may share one pool. Not thread-safe itself.
/// On Device::cuda everything that is computed with it is ordered on its own stream of the current GPU.
class Context {
 public:
  /// threads = 0: what the process may use.
  explicit Context(int threads = 0, Device device = Device::cpu)
      : Context(std::make_shared<ThreadPool>(threads), device) {}
  explicit Context(std::shared_ptr<ThreadPool> pool, Device device = Device::cpu)
      : pool_(std::move(pool)),
        queue_(std::make_shared<const DeviceQueue>(device)),
        scratch_(device, queue_->stream.handle()),
        allocator_(queue_) {
    if (device != Device::cpu) host_ = std::make_unique<Context>(pool_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ExecContext exec() {
    return {.device = device(),
            .pool = pool_.get(),
            .scratch = &scratch_,
            .stream = queue_->stream.handle(),
            .profiler = profiler_,
            .cublaslt = cublaslt_.get(),
            .tf32 = tf32_};
  }
  Device device() const { return queue_->device; }
  /// For tensors that the host reads and writes: this context on the CPU, else one of the CPU with its pool.
  Context& host() { return host_ ? *host_ : *this; }
  /// Times every operation from now on; null: none. The profiler must outlive its use.
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  /// Products that cuBLASLt can compute go to it from now on, of Device::cuda only; without it, or for the
  /// others, they are our own kernels'.
  void use_cublaslt() {
    CUCLIP_CHECK(device() == Device::cuda, "cuBLASLt needs device cuda, this is {}", name_of(device()));
    cublaslt_ = make_cublaslt(queue_->stream.handle());
  }
  /// Products of f32 may round their operands to tf32 from now on (ExecContext::tf32).
  void use_tf32() { tf32_ = true; }
  CachingAllocator& allocator() { return allocator_; }
  const std::shared_ptr<ThreadPool>& pool() const { return pool_; }

 private:
  std::shared_ptr<ThreadPool> pool_;
  std::shared_ptr<const DeviceQueue> queue_;
  Scratch scratch_;
  CachingAllocator allocator_;
  std::unique_ptr<Context> host_;
  std::shared_ptr<CublasLt> cublaslt_;
  bool tf32_ = false;
  Profiler* profiler_ = nullptr;
};

}  // namespace cuclip
