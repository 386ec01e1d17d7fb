#include "train/cli/printing.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/clock.h"
#include "core/counted.h"
#include "models/files/message.h"
#include "models/files/names.h"
#include "train/loop/progress.h"

namespace cuclip {
namespace {

constexpr size_t kListed = 5;

}  // namespace

void print_json(const nlohmann::ordered_json& json, int indent) {
  fmt::print("{}\n", json_text(json, indent));
}

void warn(const std::string& message) { fmt::print(stderr, "cuclip: {}\n", escaped_message(message)); }

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) warn(note);
}

void report_unreadable(const std::vector<UnreadablePicture>& unreadable) {
  if (unreadable.empty()) return;
  fmt::print(stderr, "cuclip: {} could not be read and {} skipped:\n",
             counted(std::ssize(unreadable), "picture"), unreadable.size() == 1 ? "was" : "were");
  for (size_t i = 0; i < std::min(unreadable.size(), kListed); ++i) {
    fmt::print(stderr, "  {}\n", escaped_message(unreadable[i].reason));
  }
  if (unreadable.size() > kListed) fmt::print(stderr, "  and {} more\n", unreadable.size() - kListed);
}

void report_damaged(const std::vector<std::string>& damaged) {
  if (damaged.empty()) return;
  warn(fmt::format("damaged pictures used: {}, the first: {}", damaged.size(), damaged.front()));
}

nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable) {
  auto list = nlohmann::ordered_json::array();
  for (const UnreadablePicture& picture : unreadable) {
    nlohmann::ordered_json entry = {{"index", picture.index}};
    if (!picture.path.empty()) put_name(entry, "path", picture.path);
    entry["reason"] = picture.reason;
    list.push_back(std::move(entry));
  }
  return list;
}

EncodeProgress progress_to_terminal(const std::string& what, int64_t total) {
  if (::isatty(STDERR_FILENO) != 1) return {};
  return [what, total, start = seconds_now()](int64_t done) {
    const double rate = static_cast<double>(done) / std::max(seconds_now() - start, 1e-3);
    const double left = static_cast<double>(total - done) / std::max(rate, 1e-9);
    // What is erased was longer.
    fmt::print(stderr, "\r\033[K{} {} of {}, {:.{}f}/s{}", what, done, total, rate, rate < 10 ? 1 : 0,
               done == total ? "\n" : ", ETA " + format_duration(left));
    std::fflush(stderr);
  };
}

}  // namespace cuclip
