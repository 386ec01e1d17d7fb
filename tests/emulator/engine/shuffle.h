// Whose value each lane of a shuffle gets: PTX ISA 9.0, section 9.7.9.6.
#pragma once

#include "engine/machine.h"

namespace emu {

enum ShuffleMode : u32 { kUp, kDown, kBfly, kIdx };  // Inst::x

struct ShuffleSources {
  u8 lane[kLanes];  // its own where the source is out of bounds
  u32 inside = 0;   // lanes whose source is in bounds
};

inline ShuffleSources shuffle_sources(Warp& w, const Inst& in) {
  const u32 *b = w.at<u32>(in.b), *c = w.at<u32>(in.c);
  ShuffleSources sources;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 bound = c[lane] & 31, segment = c[lane] >> 8 & 31, distance = b[lane] & 31;
    const u32 top = (lane & segment) | (bound & ~segment), bottom = lane & segment;
    u32 source = 0;
    bool valid = true;
    switch (in.x) {
      case kUp:
        source = lane - distance, valid = static_cast<i32>(source) >= static_cast<i32>(top);
        break;
      case kDown:
        source = lane + distance, valid = source <= top;
        break;
      case kBfly:
        source = lane ^ distance, valid = source <= top;
        break;
      default:
        source = bottom | (distance & ~segment), valid = source <= top;
        break;
    }
    sources.lane[lane] = static_cast<u8>(valid ? source & 31 : lane);
    sources.inside |= static_cast<u32>(valid) << lane;
  }
  return sources;
}

}  // namespace emu
