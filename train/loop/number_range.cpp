#include "train/loop/number_range.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"

namespace cuclip {
namespace {

std::string in_words(const WholeRange& range) {
  const std::string reason = range.reason.empty() ? "" : " (" + range.reason + ")";
  return fmt::format("at least {} and at most {}{}", range.low, range.high, reason);
}

std::string in_words(const RealRange& range) {
  if (range.low_open && range.low == 0 && !range.high_open)
    return fmt::format("positive and at most {}", range.high);
  return fmt::format("in {}{}, {}{}", range.low_open ? '(' : '[', range.low, range.high,
                     range.high_open ? ')' : ']');
}

bool contains(const WholeRange& range, int64_t value) { return value >= range.low && value <= range.high; }

// False for NaN.
bool contains(const RealRange& range, double value) {
  return (range.low_open ? value > range.low : value >= range.low) &&
         (range.high_open ? value < range.high : value <= range.high);
}

template <typename Range, typename Number>
void check(std::string_view name, const Range& range, Number value) {
  CUCLIP_CHECK(contains(range, value), "{} must be {}, got {}", name, in_words(range), value);
}

template <typename Number, typename Range>
Number parse(std::string_view name, const Range& range, std::string_view text, const char* kind) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole_text = !text.empty() && end == text.data() + text.size();
  CUCLIP_CHECK(whole_text && error != std::errc::invalid_argument, "{} must be {}, {}, got \"{}\"", name,
               kind, in_words(range), text);
  CUCLIP_CHECK(error == std::errc() && contains(range, value), "{} must be {}, got {}", name, in_words(range),
               text);
  return value;
}

}  // namespace

void check_range(std::string_view name, const WholeRange& range, int64_t value) { check(name, range, value); }
void check_range(std::string_view name, const RealRange& range, double value) { check(name, range, value); }

int64_t parse_number(std::string_view name, const WholeRange& range, std::string_view text) {
  return parse<int64_t>(name, range, text, "a whole number");
}

double parse_number(std::string_view name, const RealRange& range, std::string_view text) {
  return parse<double>(name, range, text, "a number");
}

std::string short_form(const WholeRange& range) { return fmt::format("{}..{}", range.low, range.high); }

std::string short_form(const RealRange& range) {
  return fmt::format("{}{}..{}{}", range.low_open ? '(' : '[', range.low, range.high,
                     range.high_open ? ')' : ']');
}

WholeRange thread_range() {
  return {0, most_threads(),
          fmt::format("{} for each of the {} CPUs that this process may use, but {} anywhere",
                      kThreadsForEachCpu, available_cpus(), kThreadsAnywhere)};
}

}  // namespace cuclip
