// The numbers that a setting may have, and the words that say so. The command line, the configuration file
// and the library check the same ranges.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cuclip {

/// From `low` to `high`, both included.
struct WholeRange {
  int64_t low, high;
  std::string reason = {};  // where `high` comes from, if that is not plain
};

/// From `low` to `high`; the ends are included unless they are said to be open.
struct RealRange {
  double low, high;
  bool low_open = false, high_open = false;
};

/// Throws InputError for a value out of range, infinite or NaN: "--lr must be positive and at most 1e+38, got
/// -1".
void check_range(std::string_view name, const WholeRange& range, int64_t value);
void check_range(std::string_view name, const RealRange& range, double value);

/// The number that a text spells: decimal, with nothing before or after it. Throws InputError like
/// check_range.
int64_t parse_number(std::string_view name, const WholeRange& range, std::string_view text);
double parse_number(std::string_view name, const RealRange& range, std::string_view text);

/// "0..64" and "(0..1000]", for help texts.
std::string short_form(const WholeRange& range);
std::string short_form(const RealRange& range);

/// The range of every setting that counts threads, up to most_threads(). 0 means what the command says.
WholeRange thread_range();
/// The help of every --threads.
inline constexpr const char* kThreadsHelp = "CPU threads; 0: all CPUs available to the process";

/// The range of counts whose size is the user's own business (steps, pictures, pixels): larger than any job
/// that would finish, small enough that sums and products do not overflow.
constexpr int64_t kMostOfAnything = 1'000'000'000'000;

}  // namespace cuclip
