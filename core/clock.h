// A monotonic clock for measuring durations.
#pragma once

#include <chrono>

namespace cuclip {

/// Seconds since some moment, on a clock that is never set back.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace cuclip
