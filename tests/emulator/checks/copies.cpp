// Asynchronous copies whose bytes are read too early: before their group has been waited for, or by another
// thread without a barrier after that.
#include <algorithm>

#include "checks/checker.h"

namespace emu {

void Checker::start_copies(Warp& warp, const Access& access, u32 lanes) {
  Copies& copies = shadow_of(*warp.block).copies;
  if (copies.cells.empty()) copies.cells.assign(warp.block->shared_size / 2 + 1, {});
  const auto base = reinterpret_cast<u64>(warp.shared);
  const u32 group = copies.groups[warp.index].open;
  for_lanes(lanes, [&](int lane) {
    const u64 first = (access.address[lane] - base) / 2;
    std::fill_n(copies.cells.begin() + static_cast<i64>(first), access.bytes / 2,
                Copies::Copy{group, static_cast<u8>(warp.index), static_cast<u8>(lane)});
  });
}

void Checker::check_copies(Warp& warp, const Inst& inst, const Access& access, u32 lanes) {
  Copies& copies = shadow_of(*warp.block).copies;
  if (copies.cells.empty()) return;
  const auto base = reinterpret_cast<u64>(warp.shared);
  const u64 now = warp.block->epoch + 1;
  for_lanes(lanes, [&](int lane) {
    const u64 first = (access.address[lane] - base) / 2;
    for (u64 cell = first; cell <= first + (access.bytes - 1) / 2; ++cell) {
      Copies::Copy& copy = copies.cells[cell];
      if (copy.group == 0) continue;
      const auto& groups = copies.groups[copy.warp].waited_epoch;
      const u64 waited = copy.group < groups.size() ? groups[copy.group] : 0;
      const bool own = copy.warp == warp.index && copy.lane == lane;
      if (waited == 0) {
        report_if_new(warp, inst, access, lane, "shared bytes of a cp.async that has not been waited for");
      } else if (waited < now) {
        copy.group = 0;  // for everybody
      } else if (!own) {
        report_if_new(warp, inst, access, lane,
                      "shared bytes of another thread's cp.async, with no barrier since it was waited for");
      }
    }
  });
}

void Checker::async_commit(Warp& warp, u32) {
  if (full_) ++shadow_of(*warp.block).copies.groups[warp.index].open;
}

void Checker::async_wait(Warp& warp, u32, u32 open) {
  if (!full_) return;
  Copies::Group& groups = shadow_of(*warp.block).copies.groups[warp.index];
  const bool all = open == kNone;  // also what has not been committed
  const u32 last = all ? groups.open : groups.open - 1 - std::min(open, groups.open - 1);
  if (groups.waited_epoch.size() <= groups.open) groups.waited_epoch.resize(groups.open + 1, 0);
  for (u32 g = last; g >= 1 && groups.waited_epoch[g] == 0; --g)
    groups.waited_epoch[g] = warp.block->epoch + 1;
  if (all) ++groups.open;
}

}  // namespace emu
