// The thread pool that CPU kernels share, and parallel_for.
//
// Determinism: a kernel cuts its work into tasks only by the shapes, never by the number of threads, and
// combines partial results in task order. So it does not matter which thread runs a task.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace cuclip {

/// A pool of `threads - 1` workers; the calling thread is the remaining one. Several threads may call run()
/// at the same time: they share the workers. The pool must outlive these calls. Workers take no asynchronous
/// signals, and each call of run() is one SignalScope on the calling thread (signals.h).
class ThreadPool {
 public:
  /// threads = 0: as many as the process may use (affinity mask and cgroup quota). Throws Error when the
  /// system refuses so many.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  /// Calls body(task, worker) for every task in [0, tasks), in any order; returns when all are done.
  /// `worker` is in [0, size()) and no two concurrent calls for the same run() share it: it indexes scratch.
  /// The first exception that a task throws is rethrown here after the others have ended.
  /// Must not be called from within a task.
  void run(int64_t tasks, const std::function<void(int64_t task, int worker)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Number of CPUs that this process may use: the smaller of its affinity mask and its cgroup's quota, at
/// least 1.
int available_cpus();

/// The most threads that anyone may ask for: several for each CPU, since more would only take memory and time
/// from one another, and enough for tests of many threads on a small machine.
inline constexpr int kThreadsForEachCpu = 4, kThreadsAnywhere = 64;
int most_threads();

}  // namespace cuclip
