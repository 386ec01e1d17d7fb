// Divergence and reconvergence.
//
// Every lane of a warp is in exactly one split or has arrived at exactly one join (or has exited). A join's
// expected lanes are those that are still on their way to it. When the last one arrives, they continue
// together. Lanes that wait at joins while others spin for several slices, or while nothing else can run, are
// released: they continue by themselves and the join no longer expects them. So a lock held between lanes of
// a warp is let go. So are those that a *.sync instruction names, as soon as all that is left of the warp
// waits: it has to do with them whether they come to it or exit.
#include <bit>
#include <cstring>

#include "engine/launch.h"
#include "engine/machine.h"

namespace emu {
namespace {

// Slices without a meeting after which waiting lanes are released. Those of a random schedule are a hundred
// times shorter, and the toolkit's own code counts on lanes that meet again soon after a branch.
constexpr u32 kPatience = 4, kRandomPatience = 400;

Join* new_join(Warp& warp) {
  if (warp.free_joins.empty()) return &warp.joins.emplace_back();
  Join* join = warp.free_joins.back();
  warp.free_joins.pop_back();
  *join = Join{};
  return join;
}

void hold(Join* join) {
  if (join != nullptr) ++join->holders;
}

void drop(Warp& warp, Join* join) {
  while (join != nullptr && --join->holders == 0) {
    Join* parent = join->parent;
    warp.free_joins.push_back(join);
    join = parent;
  }
}

Frame* new_frame(Warp& warp, const Code& code) {
  Frame* frame;
  if (warp.free_frames.empty()) {
    frame = &warp.frames.emplace_back();
  } else {
    frame = warp.free_frames.back();
    warp.free_frames.pop_back();
  }
  if (frame->storage.size() < code.register_bytes + 64u) frame->storage.resize(code.register_bytes + 64u);
  const auto raw = reinterpret_cast<uintptr_t>(frame->storage.data());
  frame->registers = reinterpret_cast<u8*>((raw + 63) & ~uintptr_t{63});
  frame->code = &code;
  if (frame->any_undefined) frame->undefined.assign(frame->undefined.size(), 0);
  frame->any_undefined = false;
  frame->parent = nullptr;
  frame->lowered = 0;
  frame->back = nullptr;
  return frame;
}

Split& add_split(Warp& warp, const Inst* pc, Frame* frame, Join* join, u32 mask) {
  Split split;
  split.pc = pc;
  split.frame = frame;
  split.join = join;
  split.mask = mask;
  hold(join);
  for (Split& free : warp.splits) {
    if (free.state == Split::State::done) return free = split;
  }
  return warp.splits.emplace_back(split);
}

void save(Warp& warp) {
  Split& split = warp.splits[warp.current];
  split.pc = warp.pc;
  split.frame = warp.frame;
  split.join = warp.join;
  split.mask = warp.active;
}

void load(Warp& warp, size_t index) {
  const Split& split = warp.splits[index];
  warp.current = index;
  warp.pc = split.pc;
  warp.frame = split.frame;
  warp.join = split.join;
  warp.active = split.mask;
  warp.base[kRegisters] = split.frame->registers;
}

void end_split(Warp& warp) {
  Split& split = warp.splits[warp.current];
  split.state = Split::State::done;
  Join* join = warp.join;
  warp.join = nullptr;
  split.join = nullptr;
  drop(warp, join);
  warp.stop = kSwitch;
}

// Starts the lanes that met at a join, or passes on that none will come. The join is held by the caller.
void settle(Warp& warp, Join* join) {
  while (join != nullptr && join->arrived == join->expected) {
    if (join->arrived != 0) {
      const u32 lanes = join->arrived;
      join->arrived = join->expected = 0;
      warp.stalled_slices = 0;
      add_split(warp, join->pc, join->frame, join->parent, lanes);
      return;
    }
    join = join->parent;
  }
}

void leave_frame(Warp& warp, Frame* frame, u32 lanes) {
  frame->lanes &= ~lanes;
  if (frame->lanes == 0 && frame->parent != nullptr) {
    drop(warp, frame->back);
    warp.free_frames.push_back(frame);
  }
}

size_t next_ready(const Warp& warp) {
  const size_t count = warp.splits.size();
  for (size_t step = 1; step <= count; ++step) {
    const size_t index = (warp.current + step) % count;
    if (warp.splits[index].state == Split::State::ready) return index;
  }
  return count;
}

// Does a split wait for a membermask's lanes at an instruction, or at one that does the same elsewhere?
bool waits_with(const Split& split, const Inst* pc, const Frame* frame, u32 member, bool aligned) {
  if (split.state != Split::State::sync || split.member != member) return false;
  const Inst &there = split.pc[-1], &here = pc[-1];
  return (split.pc == pc && split.frame == frame) || (!aligned && there.run == here.run && there.x == here.x);
}
u32 waiting(const Warp& warp, const Inst* pc, const Frame* frame, u32 member, bool aligned) {
  u32 lanes = 0;
  for (const Split& split : warp.splits) {
    if (waits_with(split, pc, frame, member, aligned)) lanes |= split.wait_mask;
  }
  return lanes;
}

// Where lanes have exited, those that waited for no others may continue. One split comes back to the
// instruction and carries it out for all.
void check_syncs(Warp& warp) {
  for (Split& split : warp.splits) {
    if (split.state != Split::State::sync) continue;
    const u32 here = waiting(warp, split.pc, split.frame, split.member, split.aligned);
    if ((split.member & warp.live & ~here) != 0) continue;
    --split.pc;
    split.state = Split::State::ready;
  }
}

// Nothing of the warp can run: lanes at a join that others wait for do not wait for these.
bool release_needed(Warp& warp) {
  u32 wanted = 0;
  for (const Split& split : warp.splits) {
    if (split.state == Split::State::sync) wanted |= split.member & warp.live & ~split.wait_mask;
  }
  return wanted != 0 && release_joins(warp, wanted);
}

}  // namespace

void start_warp(Warp& warp, const Code& code, u32 lanes) {
  warp.splits.clear();
  warp.joins.clear();
  warp.free_joins.clear();
  warp.free_frames.clear();
  for (Frame& frame : warp.frames) warp.free_frames.push_back(&frame);
  warp.live = lanes;
  warp.stalled_slices = 0;
  warp.current = 0;
  Frame* frame = new_frame(warp, code);
  frame->lanes = lanes;
  frame->local_base = 0;
  std::fill_n(warp.tops, kLanes, warp.local_stride);
  add_split(warp, code.insts.data(), frame, nullptr, lanes);
}

bool has_ready(const Warp& warp) {
  for (const Split& split : warp.splits) {
    if (split.state == Split::State::ready) return true;
  }
  return false;
}

Split& hold_back(Warp& warp, u32 mask, Split::State state) {
  const bool all = mask == warp.active;
  if (all) {
    save(warp);
    warp.stop = kSwitch;
  }
  Split& split = all ? warp.splits[warp.current] : add_split(warp, warp.pc, warp.frame, warp.join, mask);
  warp.active &= all ? kFullMask : ~mask;
  split.state = state;
  split.wait_mask = mask;
  return split;
}

bool run_warp(Warp& warp, i64 slice) {
  if (warp.done()) return false;
  bool ran = false;
  warp.fuel = slice;
  warp.polls = 0;
  size_t index = warp.current;
  if (index >= warp.splits.size() || warp.splits[index].state != Split::State::ready)
    index = next_ready(warp);
  while (index < warp.splits.size()) {
    load(warp, index);
    ran = true;
    warp.stop = kRun;
    run_split(warp);
    if (warp.splits[warp.current].state != Split::State::done) save(warp);
    if (warp.fuel <= 0) {
      const u32 patience = warp.launch->options->random_schedule ? kRandomPatience : kPatience;
      if (++warp.stalled_slices >= patience) release_joins(warp);
      const size_t next = next_ready(warp);
      if (next < warp.splits.size()) warp.current = next;
      return true;
    }
    index = next_ready(warp);
    if (index >= warp.splits.size() && release_needed(warp)) index = next_ready(warp);
  }
  return ran;
}

// `inst.imm` is the reconvergence point, or 0 where the paths only meet at the end.
void branch(Warp& warp, const Inst& inst, const Inst* target, u32 taken) {
  if (taken == warp.active) {
    warp.pc = target;
    return;
  }
  const auto* meet = reinterpret_cast<const Inst*>(inst.imm);
  const u32 others = warp.active & ~taken;
  const Inst* fall = warp.pc;
  const bool known = warp.join != nullptr && warp.join->pc == meet && warp.join->frame == warp.frame;
  if (meet != nullptr && !known) {
    Join* join = new_join(warp);
    join->pc = meet;
    join->frame = warp.frame;
    join->parent = warp.join;  // the split's hold passes to the new join
    join->expected = warp.active;
    join->holders = 1;
    warp.join = join;
  }
  if (target == meet) {
    warp.join->arrived |= taken;
    warp.active = others;
  } else if (fall == meet) {
    warp.join->arrived |= others;
    warp.active = taken;
    warp.pc = target;
  } else {
    add_split(warp, target, warp.frame, warp.join, taken);
    warp.active = others;
  }
}

void arrive(Warp& warp) {
  Join* join = warp.join;
  join->arrived |= warp.active;
  settle(warp, join);
  end_split(warp);
}

void exit_lanes(Warp& warp, u32 mask) {
  warp.live &= ~mask;
  warp.active &= ~mask;
  for (Join* join = warp.join; join != nullptr; join = join->parent) join->expected &= ~mask;
  for (Frame* frame = warp.frame; frame != nullptr;) {
    Frame* parent = frame->parent;
    leave_frame(warp, frame, mask);
    frame = parent;
  }
  if (warp.active == 0) {
    settle(warp, warp.join);
    end_split(warp);
  }
  check_syncs(warp);
  check_barriers(*warp.block);
}

// The activation of a call that other lanes have made before and not returned from; null when there is none,
// or these would continue elsewhere. Lanes that were apart are together again in it: they may wait for each
// other in the function.
Frame* activation(Warp& warp, const Inst& inst, const Code& callee) {
  if (warp.splits.size() == 1) return nullptr;
  for (Frame& frame : warp.frames) {
    if (frame.lanes != 0 && frame.parent == warp.frame && frame.call == &inst && frame.code == &callee &&
        frame.back->parent == warp.join && frame.back->pc == warp.pc)
      return &frame;
  }
  return nullptr;
}

void call_function(Warp& warp, const Inst& inst, const Code& callee, u32 mask, const Inst* others) {
  if (mask != warp.active) {
    // They meet the callers at the next reconvergence point.
    add_split(warp, others, warp.frame, warp.join, warp.active & ~mask);
  }
  Frame* frame = activation(warp, inst, callee);
  if (frame == nullptr) {
    Join* join = new_join(warp);
    join->pc = warp.pc;
    join->frame = warp.frame;
    join->parent = warp.join;  // the split's hold passes to the new join
    join->holders = 2;         // the split's and the frame's
    frame = new_frame(warp, callee);
    frame->parent = warp.frame;
    frame->back = join;
    frame->call = &inst;
    frame->local_base = warp.frame->local_base + warp.frame->code->frame_bytes;
  } else {
    hold(frame->back);
    drop(warp, warp.join);
    for (u32& bits : frame->undefined) bits &= ~mask;
  }
  frame->back->expected |= mask;
  frame->lanes |= mask;
  warp.join = frame->back;
  warp.frame = frame;
  warp.active = mask;
  warp.pc = callee.insts.data();
  warp.base[kRegisters] = frame->registers;
}

void return_lanes(Warp& warp, u32 mask) {
  Frame* frame = warp.frame;
  for (u32 lowered = frame->lowered & mask; lowered != 0; lowered &= lowered - 1) {
    const int lane = std::countr_zero(lowered);
    warp.tops[lane] = frame->tops[lane];
  }
  frame->lowered &= ~mask;
  Join* back = frame->back;
  for (Join* join = warp.join; join != back; join = join->parent) join->expected &= ~mask;
  back->arrived |= mask;
  warp.active &= ~mask;
  if (warp.active == 0) {
    settle(warp, warp.join);
    leave_frame(warp, frame, mask);
    end_split(warp);
  } else {
    leave_frame(warp, frame, mask);
  }
}

bool release_joins(Warp& warp, u32 wanted) {
  warp.stalled_slices = 0;
  for (const Split& split : warp.splits) {
    if (split.state == Split::State::done) continue;
    for (Join* join = split.join; join != nullptr; join = join->parent) {
      if ((join->arrived & wanted) == 0) continue;
      const u32 lanes = join->arrived;
      join->expected &= ~lanes;
      join->arrived = 0;
      add_split(warp, join->pc, join->frame, join->parent, lanes);
      return true;  // one at a time: the others may meet yet
    }
  }
  return false;
}

bool gather(Warp& warp, u32& mask, u32 member, bool aligned) {
  const u32 needed = member & warp.live;
  if ((mask & ~member) != 0 && warp.launch->watcher != nullptr) {
    warp.launch->watcher->violation(warp, warp.pc[-1], std::countr_zero(mask & ~member),
                                    "a lane outside the membermask executes this");
  }
  if ((mask & needed) == needed) return true;
  const u32 here = mask | waiting(warp, warp.pc, warp.frame, member, aligned);
  if ((here & needed) != needed) {
    Split& split = hold_back(warp, mask, Split::State::sync);
    split.member = member;
    split.aligned = aligned;
    return false;
  }
  GatheredLanes mine{&warp.pc[-1], warp.frame, mask};
  for (Split& split : warp.splits) {
    if (!waits_with(split, warp.pc, warp.frame, member, aligned)) continue;
    split.state = Split::State::ready;
    if (split.pc == warp.pc && split.frame == warp.frame) {
      mine.lanes |= split.wait_mask;
    } else {
      warp.gathered.push_back({&split.pc[-1], split.frame, split.wait_mask});
    }
  }
  if (!warp.gathered.empty()) warp.gathered.push_back(mine);
  mask = here;
  return true;
}

}  // namespace emu
