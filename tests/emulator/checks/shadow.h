// What the checks remember of a block's shared and local memory.
#pragma once

#include <vector>

#include "exec/launch.h"

namespace emu {

/// Two bytes of shared memory: who touched them since the last barrier (epochs count barriers, from 1).
struct Granule {
  u32 write_epoch = 0, read_epoch = 0;
  u32 readers = 0;  // warps
  u8 writer = 0;
  bool strong_write = false;  // atomic or volatile
  // An asynchronous copy that may not be complete: its thread and the number of its group; 0: none.
  u8 copy_warp = 0, copy_lane = 0;
  u32 copy_group = 0;
};

struct BlockShadow {
  std::vector<Granule> shared;
  std::vector<u8> shared_defined, local_defined;  // per byte, 1: defined
  struct AsyncGroups {
    u32 open = 1;                   // number of the group being filled
    std::vector<u64> waited_epoch;  // by group: the epoch in which it was waited for; 0: not yet
  };
  std::vector<AsyncGroups> async;  // per warp
};

}  // namespace emu
