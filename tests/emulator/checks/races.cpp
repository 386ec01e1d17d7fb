// Shared-memory races between warps, and asynchronous copies read too early.
//
// Between two barriers of the block, what one warp writes no other may touch. Atomics and volatile accesses
// may meet each other. A store that leaves the bytes as they were is no race. Barriers of some of the warps
// count for all, so a race may be missed next to them but none is made up.
#include <algorithm>

#include "checks/checker.h"
#include "exec/lanes.h"

namespace emu {
namespace {

BlockShadow& shadow_of(const Block& block) { return *static_cast<BlockShadow*>(block.shadow.get()); }

}  // namespace

bool Checker::leaves_bytes(Warp& warp, const Access& access, int lane) const {
  if (access.kind != Access::Kind::store || access.places == nullptr) return false;
  const u32 element = access.bytes / access.count;
  for (u32 k = 0; k < access.count; ++k) {
    const u8* value = warp.at<u8>(access.places[k]) + static_cast<u32>(lane) * access.register_bytes;
    if (std::memcmp(reinterpret_cast<const u8*>(access.address[lane]) + k * element, value, element) != 0)
      return false;
  }
  return true;
}

void Checker::check_copy(Warp& warp, const Inst& inst, const Granule& granule, int lane) {
  const auto& groups = shadow_of(*warp.block).async[granule.copy_warp].waited_epoch;
  const u64 waited = granule.copy_group < groups.size() ? groups[granule.copy_group] : 0;
  const bool own = granule.copy_warp == warp.index && granule.copy_lane == lane;
  if (waited == 0) {
    violation(warp, inst, lane, "shared bytes of a cp.async that has not been waited for");
  } else if (!own && waited >= warp.block->epoch + 1) {
    violation(warp, inst, lane,
              "shared bytes of another thread's cp.async, with no barrier since it was waited for");
  }
}

void Checker::check_races(Warp& warp, const Inst& inst, const Access& access, u32 lanes) {
  if (access.bytes < 2) return;  // granules are two bytes
  BlockShadow& shadow = shadow_of(*warp.block);
  const auto epoch = static_cast<u32>(warp.block->epoch + 1);
  const auto me = static_cast<u8>(warp.index);
  const u32 others = ~(1u << me);
  const bool writes = access.kind != Access::Kind::load;
  for_lanes(lanes, [&](int lane) {
    const u64 first = (access.address[lane] - reinterpret_cast<u64>(warp.shared)) / 2;
    const char* race = nullptr;
    for (u64 g = first; g < first + access.bytes / 2; ++g) {
      Granule& granule = shadow.shared[g];
      const bool strong_pair = access.strong && granule.strong_write;
      if (granule.write_epoch == epoch && granule.writer != me && !strong_pair)
        race = "which another warp wrote since the last barrier";
      if (writes && !access.strong && granule.read_epoch == epoch && (granule.readers & others) != 0) {
        race = "which another warp read since the last barrier";
      }
      if (granule.copy_group != 0 && access.kind != Access::Kind::async_copy)
        check_copy(warp, inst, granule, lane);
      if (writes) {
        granule.write_epoch = epoch;
        granule.writer = me;
        granule.strong_write = access.strong;
        granule.copy_group = 0;
        if (access.kind == Access::Kind::async_copy) {
          granule.copy_warp = me;
          granule.copy_lane = static_cast<u8>(lane);
          granule.copy_group = shadow.async[me].open;
        }
      } else {
        if (granule.read_epoch != epoch) granule.readers = 0;
        granule.read_epoch = epoch;
        granule.readers |= 1u << me;
      }
    }
    if (race == nullptr || leaves_bytes(warp, access, lane)) return;
    violation(warp, inst, lane,
              std::string("shared-memory race: ") + (writes ? "writes" : "reads") + " bytes " + race);
  });
}

void Checker::async_commit(Warp& warp, u32) {
  if (full_) ++shadow_of(*warp.block).async[warp.index].open;
}

void Checker::async_wait(Warp& warp, u32, u32 open) {
  if (!full_) return;
  BlockShadow::AsyncGroups& groups = shadow_of(*warp.block).async[warp.index];
  // wait_all (0 may stay open) also waits for what has not been committed.
  const u32 last = open == 0 ? groups.open : groups.open - 1 - std::min(open, groups.open - 1);
  if (groups.waited_epoch.size() <= groups.open) groups.waited_epoch.resize(groups.open + 1, 0);
  for (u32 g = 1; g <= last; ++g) {
    if (groups.waited_epoch[g] == 0) groups.waited_epoch[g] = warp.block->epoch + 1;
  }
  if (open == 0) ++groups.open;
}

}  // namespace emu
