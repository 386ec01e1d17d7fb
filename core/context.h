// What an operation needs besides its tensors: where to run, threads, scratch and memory.
#pragma once

#include <memory>
#include <utility>

#include "core/allocator.h"
#include "kernels/common/check.h"
#include "kernels/common/exec_context.h"
#include "kernels/gemm/gemm_cublaslt.h"
#include "kernels/tiles/product_policy.h"

namespace cuclip {

/// Where work goes, and where its tensors and scratch come from: memory that is ordered on the queue's
/// stream.
struct Workspace {
  explicit Workspace(const std::shared_ptr<const DeviceQueue>& queue)
      : queue(queue), allocator(queue), scratch(queue->device, from_allocator()) {}
  /// For recorded work: `other` is as for CachingAllocator.
  Workspace(const std::shared_ptr<const DeviceQueue>& queue, const CachingAllocator& other)
      : queue(queue), allocator(queue, other), scratch(queue->device, from_allocator()) {}
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::shared_ptr<const DeviceQueue> queue;
  CachingAllocator allocator;
  Scratch scratch;

 private:
  Scratch::Allocate from_allocator() {
    return [this](size_t bytes) {
      const auto block = allocator.allocate(bytes);
      return std::shared_ptr<void>(block, block->data());
    };
  }
};

/// One per thread that runs models; contexts of several threads may share one pool. Not thread-safe itself.
/// On Device::cuda everything computed with it is ordered on a stream of its own on the current GPU, except
/// in a WorkspaceScope of another queue.
class Context {
 public:
  /// threads = 0: as many as the process may use.
  explicit Context(int threads = 0, Device device = Device::cpu)
      : Context(std::make_shared<ThreadPool>(threads), device) {}
  explicit Context(std::shared_ptr<ThreadPool> pool, Device device = Device::cpu)
      : pool_(std::move(pool)),
        own_workspace_(std::make_shared<const DeviceQueue>(device)),
        workspace_(&own_workspace_) {
    if (device != Device::cpu) host_ = std::make_unique<Context>(pool_);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  ExecContext exec() {
    return {.device = device(),
            .pool = pool_.get(),
            .scratch = &workspace_->scratch,
            .stream = stream(),
            .profiler = profiler_,
            .products = &products_};
  }
  Device device() const { return queue()->device; }
  void* stream() const { return queue()->stream.handle(); }
  const std::shared_ptr<const DeviceQueue>& queue() const { return workspace_->queue; }
  /// For tensors that the host reads and writes: this context if it is on the CPU, otherwise one on the CPU
  /// that shares its pool.
  Context& host() { return host_ ? *host_ : *this; }
  /// Times every operation from now on; null: no longer. The profiler must outlive its use.
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }
  /// From now on products that cuBLASLt can compute go to it, on Device::cuda only; without it, and for all
  /// other products, our own kernels are used.
  void use_cublaslt() {
    CUCLIP_CHECK(device() == Device::cuda, "cuBLASLt needs device cuda, this is {}", name_of(device()));
    cublaslt_ = make_cublaslt();
    products_.cublaslt = cublaslt_.get();
  }
  /// From now on f32 products may round their operands to tf32 (ProductPolicy::tf32).
  void use_tf32() { products_.tf32 = true; }
  CachingAllocator& allocator() { return workspace_->allocator; }
  const std::shared_ptr<ThreadPool>& pool() const { return pool_; }

 private:
  friend class WorkspaceScope;
  std::shared_ptr<ThreadPool> pool_;
  Workspace own_workspace_;
  Workspace* workspace_;
  std::unique_ptr<Context> host_;
  std::shared_ptr<CublasLt> cublaslt_;
  ProductPolicy products_;
  Profiler* profiler_ = nullptr;
};

/// As long as it lives, the context's work goes to another workspace.
class WorkspaceScope {
 public:
  WorkspaceScope(Context& context, Workspace& workspace)
      : context_(context), before_(std::exchange(context.workspace_, &workspace)) {}
  ~WorkspaceScope() { context_.workspace_ = before_; }
  WorkspaceScope(const WorkspaceScope&) = delete;
  WorkspaceScope& operator=(const WorkspaceScope&) = delete;

 private:
  Context& context_;
  Workspace* before_;
};

}  // namespace cuclip
