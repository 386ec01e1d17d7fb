// The bytes that a warp's access touches, as few contiguous runs.
#pragma once

#include "engine/lanes.h"

namespace emu {

struct Run {
  u64 begin, end;
};

struct Runs {
  u32 count = 0;
  Run run[kLanes];
};

/// Lanes that follow each other in memory, or repeat what the run holds, make one run.
inline Runs runs_of(const u64* address, u32 mask, u32 bytes) {
  Runs runs;
  if (mask == kFullMask && contiguous(address, bytes)) {
    runs.count = 1;
    runs.run[0] = {address[0], address[0] + u64{bytes} * kLanes};
    return runs;
  }
  for_lanes(mask, [&](int lane) {
    const u64 at = address[lane];
    if (runs.count != 0) {
      Run& last = runs.run[runs.count - 1];
      if (at == last.end) {
        last.end += bytes;
        return;
      }
      if (at >= last.begin && at + bytes <= last.end) return;
    }
    runs.run[runs.count++] = {at, at + bytes};
  });
  return runs;
}

}  // namespace emu
