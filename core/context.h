// What an operation needs besides its tensors: where to run, threads, scratch and memory.
#pragma once

#include <memory>

#include "core/allocator.h"
#include "kernels/common/exec_context.h"

namespace cuclip {

/// One per thread that runs models; contexts of several threads may share one pool. Not thread-safe itself.
class Context {
 public:
  /// threads = 0: what the process may use.
  explicit Context(int threads = 0) : Context(std::make_shared<ThreadPool>(threads)) {}
  explicit Context(std::shared_ptr<ThreadPool> pool) : pool_(std::move(pool)) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ExecContext exec() {
    return {.device = Device::cpu, .pool = pool_.get(), .scratch = &scratch_, .profiler = profiler_};
  }
  /// Times every operation from now on; null: none. The profiler must outlive its use.
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  CachingAllocator& allocator() { return allocator_; }
  const std::shared_ptr<ThreadPool>& pool() const { return pool_; }

 private:
  std::shared_ptr<ThreadPool> pool_;
  Scratch scratch_;
  CachingAllocator allocator_;
  Profiler* profiler_ = nullptr;
};

}  // namespace cuclip
