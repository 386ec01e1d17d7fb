#include "train/loop/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "models/files/names.h"

namespace cuclip {

std::string format_duration(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(int64_t first, int64_t last)
    : first_(first), last_(last), start_(Clock::now()), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (line_open_) std::fputc('\n', stderr);
}

void Progress::show(const Line& line) {
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const int64_t done = line.step - first_;
  const double left =
      done > 0 ? elapsed / static_cast<double>(done) * static_cast<double>(last_ - line.step) : 0;
  const std::string text = fmt::format(
      "step {}/{}  epoch {:.2f}  loss {:.4f}  lr {:.2e}  {:.0f} samples/s  data wait {:.1f} %  ETA {}",
      line.step, last_, line.epoch, line.loss, line.lr, line.samples_per_second, 100 * line.data_wait_share,
      format_duration(left));
  if (terminal_) {
    fmt::print(stderr, "\r\033[K{}", text);
    line_open_ = true;
  } else {
    fmt::print(stderr, "{}\n", text);
  }
  std::fflush(stderr);
}

void Progress::note(const std::string& message) {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
  fmt::print(stderr, "{}\n", escaped_text(message));
}

}  // namespace cuclip
