#include "train/data/sample.h"

#include <fmt/format.h>

namespace cuclip {

void BadSamples::add(std::string_view reason, std::string_view message, int64_t samples) {
  count += samples;
  by_reason[std::string(reason)] += samples;
  if (examples.size() < kExamples) examples.emplace_back(message);
}

void BadSamples::add(const BadSamples& other) {
  count += other.count;
  for (const auto& [reason, samples] : other.by_reason) by_reason[reason] += samples;
  for (const std::string& example : other.examples) {
    if (examples.size() < kExamples) examples.push_back(example);
  }
  if (damaged == 0) first_damaged = other.first_damaged;
  damaged += other.damaged;
}

void BadSamples::add_damaged(std::string_view damage) {
  if (damage.empty()) return;
  if (damaged++ == 0) first_damaged = damage;
}

std::string BadSamples::damage_summary() const {
  return damaged == 0 ? "none" : fmt::format("{}, the first: {}", damaged, first_damaged);
}

std::string BadSamples::summary() const {
  if (count == 0) return "none";
  std::string reasons;
  for (const auto& [reason, samples] : by_reason) {
    reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", samples, reason);
  }
  return fmt::format("{} ({}), for example: {}", count, reasons, fmt::join(examples, "; "));
}

}  // namespace cuclip
