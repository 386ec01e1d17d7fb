// Where and with what a kernel runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "kernels/common/parallel.h"
#include "kernels/common/profiler.h"

namespace cuclip {

enum class Device : uint8_t { cpu, cuda };

/// Temporary memory that a kernel may use during one call. It grows to the largest request and is then
/// reused. Owned by the caller; not shared between threads that call kernels at the same time.
class Scratch {
 public:
  static constexpr size_t kAlignment = 64;

  /// At least `bytes` bytes, 64-byte aligned, uninitialised, valid until the next reserve().
  void* reserve(size_t bytes);
  size_t capacity() const { return capacity_; }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t capacity_ = 0;
};

/// Passed to every kernel. `stream` is a cudaStream_t on Device::cuda and unused on the CPU.
struct ExecContext {
  Device device = Device::cpu;
  ThreadPool* pool = nullptr;
  Scratch* scratch = nullptr;
  void* stream = nullptr;
  Profiler* profiler = nullptr;  // optional: told how long each operation took
};

/// Runs body(task, worker) over [0, tasks) on the context's pool.
template <typename Body>
void parallel_for(const ExecContext& ctx, int64_t tasks, Body&& body) {
  if (tasks == 1) {
    body(int64_t{0}, 0);
  } else if (tasks > 1) {
    ctx.pool->run(tasks, body);
  }
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace cuclip
