// What the checks remember of a block: its shared and local memory, and what its warps have synchronised
// with.
#pragma once

#include <vector>

#include "checks/bits.h"
#include "checks/order.h"
#include "engine/launch.h"

namespace emu {

/// An allocation as the checks see it.
struct CheckedRange {
  u64 begin = 0, end = 0;
  bool freed = false;
  std::string name;
  Bits* defined = nullptr;   // null: all defined
  Stamps* stamps = nullptr;  // null: races are not looked for
};

/// Asynchronous copies that may not be complete.
struct Copies {
  struct Group {
    u32 open = 1;                   // number of the group being filled
    std::vector<u64> waited_epoch;  // by group: the epoch in which it was waited for; 0: not yet
  };
  std::vector<Group> groups;  // by warp
  // For each two bytes of shared memory the copy that fills them, 0: none. Empty until there is a copy.
  struct Copy {
    u32 group = 0;
    u8 warp = 0, lane = 0;
  };
  std::vector<Copy> cells;
};

struct BlockShadow {
  std::unique_ptr<Stamps> shared;
  Bits shared_defined, local_defined;
  Copies copies;

  u32 instance = 0;
  Stamp launch = 0;                       // stamps below are of earlier launches
  u32 segment = 0;                        // raised by every synchronisation
  u32 barrier_segment = 0;                // the first one after the last barrier
  bool touched = false;                   // something was stamped in this segment
  u32 fenced = 0, fenced_device = 0;      // segments below are behind a fence of the block, of the device
  u32 released = 0, released_device = 0;  // and these have been released
  u32 released_reads = 0;                 // and these as to what they read
  Releases releases;
  std::unordered_map<u64, Times> places;  // in shared memory
  struct OfWarp {
    Times acquired;
    const CheckedRange* range = nullptr;  // last used
  };
  std::vector<OfWarp> warps;

  void next_segment() {
    if (segment + 1 < kSegments) ++segment;
    touched = false;
  }
};

inline BlockShadow& shadow_of(const Block& block) { return *static_cast<BlockShadow*>(block.shadow.get()); }

}  // namespace emu
