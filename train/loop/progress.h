// What a training run shows: one line that rewrites itself on a terminal, plain lines otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cuclip {

/// "1:02:03", "4:05", "7 s".
std::string format_duration(double seconds);

class Progress {
 public:
  /// `first` steps are already done (a resumed run), `last` is the end.
  Progress(int64_t first, int64_t last);
  ~Progress();

  struct Line {
    int64_t step = 0;
    double epoch = 0;
    double loss = 0;
    double lr = 0;
    double samples_per_second = 0;
    double data_wait_share = 0;
  };
  void show(const Line& line);

  /// Prints a message on a line of its own.
  void note(const std::string& message);

 private:
  using Clock = std::chrono::steady_clock;
  int64_t first_, last_;
  Clock::time_point start_;
  bool terminal_;
  bool line_open_ = false;
};

}  // namespace cuclip
