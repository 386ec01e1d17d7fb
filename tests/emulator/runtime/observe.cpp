// Connects launches with the checks and the profile that the options ask for.
#include <cstdio>
#include <cstdlib>
#include <set>

#include "checks/checker.h"
#include "profile/profiler.h"
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
    range.stamps = allocation.stamps.get();
    ranges.push_back(std::move(range));
  }
  return ranges;
}

std::vector<ProfiledAllocation> allocations_of(const MemoryMap& map) {
  std::vector<ProfiledAllocation> result;
  for (const Allocation& allocation : map) {
    if (allocation.freed) continue;
    const std::string name =
        allocation.name.empty() ? "allocation " + std::to_string(allocation.id) : allocation.name;
    result.push_back({allocation.begin, allocation.end(), name});
  }
  return result;
}

// Appends a launch to the profile, one JSON object a line inside one array.
void write_profile(const Launch& launch, const Profiler& profiler, double seconds) {
  static std::FILE* file = [] {
    std::FILE* opened = std::fopen(Runtime::get().settings.options.profile.c_str(), "w");
    if (opened == nullptr) report("cannot write the profile " + Runtime::get().settings.options.profile);
    return opened;
  }();
  static bool first = true;
  if (file == nullptr) return;
  // The closing bracket is written each time and overwritten by the next launch: the file is always whole.
  if (!first) std::fseek(file, -3, SEEK_CUR);
  const std::string text = profiler.json(launch, seconds);
  std::fprintf(file, "%s%s\n]\n", first ? "[\n" : ",\n", text.c_str());
  std::fflush(file);
  first = false;
}

// Prints each finding once and remembers that there was one.
class Findings {
 public:
  void add(const std::string& key, const std::string& text, const char* prefix = "check: ") {
    const std::lock_guard lock(mutex_);
    if (seen_.insert(key).second) report(prefix + text);
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
  if (runtime.sticky() != cudaSuccess) return;  // nothing can be freed after a fault
  u64 bytes = 0, count = 0;
  for (const Allocation& allocation : *runtime.heap().map()) {
    if (allocation.freed || allocation.registered || allocation.kind == Allocation::Kind::variable) continue;
    bytes += allocation.size;
    ++count;
  }
  if (count != 0) {
    findings().add(
        "leak", std::to_string(count) + " allocations of " + std::to_string(bytes) + " bytes were not freed");
  }
}

}  // namespace

void watch_launches(Runtime& runtime) {
  const CheckLevel level = runtime.settings.options.check;
  if (level == CheckLevel::none && !runtime.settings.options.profiling()) return;
  const auto make_watcher = [level](const Launch&, Runtime& rt) -> std::unique_ptr<Watcher> {
    const auto map = rt.heap().map();
    std::unique_ptr<Watcher> checker;
    if (level != CheckLevel::none) {
      checker = std::make_unique<Checker>(
          ranges_of(*map), level == CheckLevel::full,
          [](const Finding& finding) { findings().add(finding.key, finding.text); });
    }
    if (!rt.settings.options.profiling()) return checker;
    auto all = std::make_unique<Watchers>();
    if (checker != nullptr) all->add(std::move(checker));
    all->add(std::make_unique<Profiler>(allocations_of(*map)));
    return all;
  };
  if (!runtime.settings.options.profiling()) return runtime.watch(make_watcher, nullptr);
  const auto profile = [](const Launch& launch, Watcher* watcher, double seconds) {
    const Watchers& all = *static_cast<Watchers*>(watcher);
    for (const auto& each : all.all()) {
      if (const auto* profiler = dynamic_cast<const Profiler*>(each.get()))
        write_profile(launch, *profiler, seconds);
    }
  };
  runtime.watch(make_watcher, profile);
}

// What the profile and the reports call an allocation from now on. A program finds this with dlsym, if it is
// there.
extern "C" void emulate_name(const void* pointer, const char* name) {
  if (name == nullptr || !Runtime::get().heap().set_name(reinterpret_cast<u64>(pointer), name))
    report("emulate_name: not the start of an allocation");
}

void report_mistake(const std::string& text) { findings().add(text, text); }
void report_fault(const std::string& text) { findings().add(text, text, ""); }

/// At the program's end: leaks, and the exit code that --error-exitcode asks for.
void finish_checks(Runtime& runtime) {
  if (runtime.settings.options.check == CheckLevel::full) {
    report_leaks(runtime);
    if (const cudaError_t error = runtime.unchecked_error(); error != cudaSuccess) {
      findings().add("unchecked error", std::string("unchecked CUDA error: ") + cudaGetErrorString(error));
    }
  }
  const char* code = std::getenv("EMULATE_ERROR_EXITCODE");
  if (code != nullptr && findings().any()) {
    std::fflush(nullptr);
    std::_Exit(std::atoi(code));
  }
}

}  // namespace emu
