// The learning rate at each step.
#pragma once

#include <cstdint>

namespace cuclip {

/// Linear warm-up, then a cosine to zero (open_clip's cosine_lr).
struct LrSchedule {
  double peak = 5e-4;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;

  /// step counts from 0: peak·(step+1)/warmup during the warm-up, then peak·½(1 + cos(π·progress)).
  double at(int64_t step) const;
};

}  // namespace cuclip
