#include "kernels/common/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/common/signals.h"

namespace cuclip {
namespace {

// How long an idle thread looks for work before it sleeps. Training issues a parallel region every few tens
// of microseconds; a sleep and wake-up costs about as much as one.
constexpr int kSpins = 2000;

inline void cpu_relax() { __builtin_ia32_pause(); }

struct Job {
  const std::function<void(int64_t, int)>* body = nullptr;
  int64_t tasks = 0;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::atomic<int> helpers{0};  // workers that may still touch this job
  std::mutex error_mutex;
  std::exception_ptr error;

  void work(int worker) {
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
      try {
        (*body)(task, worker);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
      done.fetch_add(1, std::memory_order_acq_rel);
    }
  }
};

}  // namespace

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Job*> jobs;            // jobs that may have tasks left
  std::atomic<int64_t> pending{0};  // = jobs.size(), readable without the lock
  std::atomic<bool> stopping{false};
  std::vector<std::thread> workers;

  // Takes the oldest job with tasks left and registers as its helper; null if there is none.
  Job* join_job() {
    std::lock_guard lock(mutex);
    for (Job* job : jobs) {
      if (job->next.load(std::memory_order_relaxed) < job->tasks) {
        job->helpers.fetch_add(1, std::memory_order_acq_rel);
        return job;
      }
    }
    return nullptr;
  }

  void worker_loop(int worker) {
    while (!stopping.load(std::memory_order_acquire)) {
      Job* job = nullptr;
      for (int spin = 0; spin < kSpins && !job; ++spin) {
        if (pending.load(std::memory_order_acquire) > 0) job = join_job();
        if (!job) cpu_relax();
      }
      if (!job) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping.load() || pending.load() > 0; });
        continue;
      }
      const SignalScope scope;  // of this job alone: setuid() waits for its end, not for the thread's
      job->work(worker);
      job->helpers.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  if (threads <= 0) threads = available_cpus();
  try {
    start_threads(state_->workers, threads - 1, [state = state_.get()](int i) { state->worker_loop(i + 1); });
  } catch (...) {
    state_->stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

int ThreadPool::size() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t tasks, const std::function<void(int64_t, int)>& body) {
  if (tasks <= 0) return;
  const SignalScope scope;
  Job job;
  job.body = &body;
  job.tasks = tasks;
  if (tasks > 1 && !state_->workers.empty()) {
    {
      std::lock_guard lock(state_->mutex);
      state_->jobs.push_back(&job);
      state_->pending.fetch_add(1, std::memory_order_acq_rel);
    }
    state_->wake.notify_all();
    job.work(0);
    {
      // No worker can join from here on; those that did are waited for below.
      std::lock_guard lock(state_->mutex);
      state_->jobs.erase(std::find(state_->jobs.begin(), state_->jobs.end(), &job));
      state_->pending.fetch_sub(1, std::memory_order_acq_rel);
    }
    for (int spin = 0; job.helpers.load(std::memory_order_acquire) > 0; ++spin) {
      if (spin < kSpins) {
        cpu_relax();
      } else {
        std::this_thread::yield();
      }
    }
  } else {
    job.work(0);
  }
  if (job.error) std::rethrow_exception(job.error);
}

int available_cpus() {
  int cpus = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) cpus = std::min(cpus, CPU_COUNT(&mask));
  // cgroup v2: "quota period" in microseconds, or "max period".
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0) {
    cpus = std::min(cpus, static_cast<int>(std::stod(quota) / period + 0.5));
  }
  return std::max(cpus, 1);
}

int most_threads() { return std::max(kThreadsAnywhere, kThreadsForEachCpu * available_cpus()); }

}  // namespace cuclip
