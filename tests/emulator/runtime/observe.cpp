// Connects launches with the checks and the profile that the options ask for.
#include <cstdlib>
#include <set>

#include "checks/checker.h"
#include "runtime/runtime.h"

namespace emu {
namespace {

std::vector<CheckedRange> ranges_of(const MemoryMap& map) {
  std::vector<CheckedRange> ranges;
  for (const Allocation& allocation : map) {
    CheckedRange range;
    range.begin = allocation.begin;
    range.end = allocation.end();
    range.freed = allocation.freed;
    range.name = allocation.name.empty() ? "allocation " + std::to_string(allocation.id) : allocation.name;
    range.defined = allocation.defined.get();
    ranges.push_back(std::move(range));
  }
  return ranges;
}

// Prints each finding once and remembers that there was one.
class Findings {
 public:
  void add(const std::string& key, const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (seen_.insert(key).second) report("check: " + text);
  }
  bool any() const { return !seen_.empty(); }

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;
};
Findings& findings() {
  static auto* all = new Findings;
  return *all;
}

void report_leaks(Runtime& runtime) {
  u64 bytes = 0, count = 0;
  for (const Allocation& allocation : *runtime.heap.map()) {
    if (allocation.freed || allocation.registered || allocation.kind == Allocation::Kind::variable) continue;
    bytes += allocation.size;
    ++count;
  }
  if (count != 0) {
    findings().add("leak", std::to_string(count) + " allocations of " + std::to_string(bytes) + " bytes were not freed");
  }
}

}  // namespace

void watch_launches(Runtime& runtime) {
  const CheckLevel level = runtime.options.check;
  runtime.heap.track_definedness(level == CheckLevel::full);
  if (level == CheckLevel::none) return;
  runtime.make_watcher = [level](Launch&, Runtime& rt) -> std::unique_ptr<Watcher> {
    return std::make_unique<Checker>(ranges_of(*rt.heap.map()), level == CheckLevel::full,
                                     [](const std::string& key, const std::string& text) { findings().add(key, text); });
  };
}

/// At the program's end: leaks, and the exit code that --error-exitcode asks for.
void finish_checks(Runtime& runtime) {
  if (runtime.options.check != CheckLevel::full) return;
  report_leaks(runtime);
  const char* code = std::getenv("EMULATE_ERROR_EXITCODE");
  if (code != nullptr && findings().any()) {
    std::fflush(nullptr);
    std::_Exit(std::atoi(code));
  }
}

}  // namespace emu
