// Where the time goes, by operation.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>

namespace cuclip {

/// Adds up wall-clock time and calls of each operation that runs on a context (ExecContext::profiler). On
/// Device::cuda the time is that of the call, which does not wait for its kernels. Not thread-safe: one for
/// each thread that calls operations.
class Profiler {
 public:
  struct Entry {
    double seconds = 0;
    int64_t calls = 0;
  };

  /// `operation` must live as long as the profiler (they are literals).
  void add(std::string_view operation, double seconds) {
    Entry& entry = entries_[operation];
    entry.seconds += seconds;
    entry.calls++;
    calls_++;
  }
  const std::map<std::string_view, Entry>& entries() const { return entries_; }
  /// Of all operations, ever.
  int64_t calls() const { return calls_; }
  void clear() { entries_.clear(); }

 private:
  int64_t calls_ = 0;
  std::map<std::string_view, Entry> entries_;
};

/// Times its own lifetime, where there is a profiler.
class ProfileScope {
 public:
  ProfileScope(Profiler* profiler, std::string_view operation) : profiler_(profiler), operation_(operation) {
    if (profiler_) start_ = Clock::now();
  }
  ~ProfileScope() {
    if (profiler_) profiler_->add(operation_, std::chrono::duration<double>(Clock::now() - start_).count());
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  Profiler* profiler_;
  std::string_view operation_;
  Clock::time_point start_;
};

}  // namespace cuclip
