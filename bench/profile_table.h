// Where the time of a benchmark goes, by operation.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "core/context.h"

namespace cuclip {

/// One line for each operation, the longest first, and one for what none of them took. `total`: seconds of
/// all `rounds`; `round`: what one is called.
inline void print_profile(const Profiler& profiler, double total, int rounds, const char* round) {
  std::vector<std::pair<std::string_view, Profiler::Entry>> entries(profiler.entries().begin(),
                                                                    profiler.entries().end());
  std::sort(entries.begin(), entries.end(),
            [](auto& a, auto& b) { return a.second.seconds > b.second.seconds; });
  double covered = 0;
  for (const auto& [name, entry] : entries) {
    covered += entry.seconds;
    fmt::print("      {:28} {:5.1f} %  {:6} calls  {:8.3f} ms a {}\n", name, 100 * entry.seconds / total,
               entry.calls / rounds, 1e3 * entry.seconds / rounds, round);
  }
  fmt::print("      {:28} {:5.1f} %\n", "outside operations", 100 * (total - covered) / total);
}

}  // namespace cuclip
