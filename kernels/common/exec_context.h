// Where and with what a kernel runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/common/device.h"
#include "kernels/common/parallel.h"
#include "kernels/common/profiler.h"
#include "kernels/common/rounding.h"
#include "kernels/common/signals.h"

namespace cuclip {

/// Temporary memory on a device that a kernel may use during one call. It grows to the largest request and is
/// then reused: a call's kernels follow the previous call's on the stream. Owned by the caller; not to be
/// shared between threads or streams that call kernels at the same time.
class Scratch {
 public:
  static constexpr size_t kAlignment = kDeviceAlignment;
  /// Returns this many bytes of the device's memory, 64-byte aligned.
  using Allocate = std::function<std::shared_ptr<void>(size_t bytes)>;

  /// With memory of its own.
  explicit Scratch(Device device = Device::cpu);
  Scratch(Device device, Allocate allocate) : device_(device), allocate_(std::move(allocate)) {}

  /// At least `bytes` bytes, 64-byte aligned, uninitialised, valid until the next reserve().
  void* reserve(size_t bytes);
  size_t capacity() const { return capacity_; }
  /// Frees the memory.
  void release() {
    memory_.reset();
    capacity_ = 0;
  }
  Device device() const { return device_; }

 private:
  Device device_;
  Allocate allocate_;
  std::shared_ptr<void> memory_;
  size_t capacity_ = 0;
};

struct ProductPolicy;  // kernels/tiles/product_policy.h

/// Passed to every kernel. The views that go with it, and the scratch, are memory of `device`. On
/// Device::cuda a call returns when its kernels are on `stream` (a cudaStream_t), before they have run.
struct ExecContext {
  Device device = Device::cpu;
  ThreadPool* pool = nullptr;  // must be set on the CPU; unused on Device::cuda
  Scratch* scratch = nullptr;
  void* stream = nullptr;                   // unused on the CPU
  Profiler* profiler = nullptr;             // optional: told how long each operation took
  const ProductPolicy* products = nullptr;  // optional: other ways to multiply matrices on Device::cuda
};

/// Runs body(task, worker) over [0, tasks) on the context's pool.
template <typename Body>
void parallel_for(const ExecContext& ctx, int64_t tasks, Body&& body) {
  if (tasks == 1) {
    const SignalScope scope;
    body(int64_t{0}, 0);
  } else if (tasks > 1) {
    ctx.pool->run(tasks, body);
  }
}

}  // namespace cuclip
