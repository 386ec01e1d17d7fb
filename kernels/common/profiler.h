// Where the time goes, by operation: for the program itself, and for tools that trace it.
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
  /// The total of all operations since the profiler was made.
  int64_t calls() const { return calls_; }
  void clear() { entries_.clear(); }

 private:
  int64_t calls_ = 0;
  std::map<std::string_view, Entry> entries_;
};

/// A range of that name on the calling thread's row in Nsight Systems and whatever else reads NVTX. Without
/// a tool, and in a build without CUDA or without NVTX's headers, it does nothing. `name` is a literal.
class TraceRange {
 public:
  explicit TraceRange(const char* name);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
};

/// Times its own lifetime, where there is a profiler, and traces it. `operation` is a literal.
class ProfileScope {
 public:
  ProfileScope(Profiler* profiler, const char* operation)
      : range_(operation), profiler_(profiler), operation_(operation) {
    if (profiler_) start_ = Clock::now();
  }
  ~ProfileScope() {
    if (profiler_) profiler_->add(operation_, std::chrono::duration<double>(Clock::now() - start_).count());
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  TraceRange range_;
  Profiler* profiler_;
  std::string_view operation_;
  Clock::time_point start_;
};

}  // namespace cuclip
