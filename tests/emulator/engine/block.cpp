// Blocks: their warps' scheduling and their barriers.
#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/launch.h"

namespace emu {
namespace {

constexpr i64 kSlice = 20'000;  // warp-instructions

u64 next_random(u64& state) {  // splitmix64
  u64 z = state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

void fill(Warp& warp, Special which, u32 value) { std::fill_n(warp.specials[which], kLanes, value); }

void set_specials(Warp& warp) {
  const Block& block = *warp.block;
  const Launch& launch = *warp.launch;
  const u32 threads = launch.threads();
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 linear = std::min(warp.index * kLanes + lane, threads - 1);
    warp.specials[kTidX][lane] = linear % launch.block[0];
    warp.specials[kTidY][lane] = linear / launch.block[0] % launch.block[1];
    warp.specials[kTidZ][lane] = linear / (launch.block[0] * launch.block[1]);
    warp.specials[kLaneId][lane] = lane;
    warp.specials[kLaneEq][lane] = 1u << lane;
    warp.specials[kLaneLt][lane] = (1u << lane) - 1;
    warp.specials[kLaneLe][lane] = (2u << lane) - 1;
    warp.specials[kLaneGe][lane] = ~((1u << lane) - 1);
    warp.specials[kLaneGt][lane] = ~((2u << lane) - 1);
  }
  for (u32 axis = 0; axis < 3; ++axis) {
    fill(warp, static_cast<Special>(kNtidX + axis), launch.block[axis]);
    fill(warp, static_cast<Special>(kNctaidX + axis), launch.grid[axis]);
  }
  fill(warp, kWarpId, warp.index);
  fill(warp, kNwarpId, 64);
  fill(warp, kNsmId, launch.multiprocessors);
  fill(warp, kGridId, static_cast<u32>(launch.id));
  fill(warp, kDynamicShared, launch.dynamic_shared);
  fill(warp, kTotalShared, launch.image->static_shared + launch.dynamic_shared);
  fill(warp, kReservedShared, static_cast<u32>(block.shared_size) - launch.image->reserved_shared);
  fill(warp, kZero, 0);
  fill(warp, kOne, 1);
}

// bar.sync and barrier.sync.aligned need a warp's lanes together; barrier.sync does not. Lanes that wait at
// one instruction are together even if they came there one after the other.
void report_divergence(Warp& warp, u32 id) {
  const Split* first = nullptr;
  for (const Split& split : warp.splits) {
    if (split.state != Split::State::barrier || split.barrier != id) continue;
    if (first == nullptr) first = &split;
    const Inst& inst = split.pc[-1];
    const ptx::Instruction& source = split.frame->code->source->body[inst.body];
    if (split.pc == first->pc || (source.words[0] != "bar" && !source.has("aligned"))) continue;
    Frame* const frame = warp.frame;
    warp.frame = split.frame;
    warp.launch->watcher->violation(warp, inst, std::countr_zero(split.wait_mask),
                                    "barrier reached by some of the warp's lanes only");
    warp.frame = frame;
    return;
  }
}

void complete(Block& block, u32 id) {
  Barrier& barrier = block.barriers[id];
  // A barrier of some warps orders only them; taking it for all misses races but reports none that is not.
  ++block.epoch;
  if (block.launch->watcher != nullptr) block.launch->watcher->synchronised(block);
  for (auto& warp : block.warps) {
    if (block.launch->watcher != nullptr) report_divergence(*warp, id);
    warp->stalled_slices = 0;
    for (Split& split : warp->splits) {
      if (split.state != Split::State::barrier || split.barrier != id) continue;
      split.state = Split::State::ready;
      // bar.red left what it needs in the instruction before the split's pc.
      const Inst& inst = split.pc[-1];
      if (inst.x == 0) continue;
      const u32 count = barrier.red_count, held = barrier.red_true;
      u8* registers = split.frame->registers;
      const u32 offset = inst.d & 0x0fffffffu;
      if (inst.x == 1) {
        auto* out = reinterpret_cast<u32*>(registers + offset);
        for (int lane = 0; lane < kLanes; ++lane) out[lane] = split.wait_mask >> lane & 1 ? held : out[lane];
      } else {
        const bool value = inst.x == 2 ? held == count : held != 0;
        auto* out = reinterpret_cast<u32*>(registers + offset);
        *out = value ? *out | split.wait_mask : *out & ~split.wait_mask;
      }
    }
  }
  std::fill(barrier.arrived.begin(), barrier.arrived.end(), 0);
  barrier.used = false;
  barrier.red_count = barrier.red_true = 0;
}

void check_barrier(Block& block, u32 id) {
  Barrier& barrier = block.barriers[id];
  if (!barrier.used) return;
  u32 threads = 0;
  bool all = true;
  for (size_t i = 0; i < block.warps.size(); ++i) {
    const u32 here = barrier.arrived[i];  // some may have arrived and exited
    const bool whole = (block.warps[i]->live & ~here) == 0;
    all = all && whole;
    if (here != 0) threads += whole ? kLanes : static_cast<u32>(std::popcount(here));
  }
  if (barrier.expected == 0 ? all : threads >= barrier.expected) complete(block, id);
}

Barrier& join_barrier(Warp& warp, u32 mask, u32 id, u32 threads) {
  Barrier& barrier = warp.block->barriers[id];
  barrier.used = true;
  barrier.expected = threads;
  barrier.arrived[warp.index] |= mask;
  return barrier;
}

}  // namespace

void start_block(Block& block, const Launch& launch, u32 index) {
  block.launch = &launch;
  block.index = index;
  block.ctaid[0] = index % launch.grid[0];
  block.ctaid[1] = index / launch.grid[0] % launch.grid[1];
  block.ctaid[2] = index / (launch.grid[0] * launch.grid[1]);
  block.shared_size = launch.image->static_shared + launch.dynamic_shared;
  if (launch.image->reserved_shared != 0)
    block.shared_size = (block.shared_size + 15) / 16 * 16 + launch.image->reserved_shared;
  block.epoch = 0;
  block.spinning = false;
  block.random = launch.options->seed * 1000003 + index;
  const u32 threads = launch.threads();
  const u32 warps = (threads + kLanes - 1) / kLanes;
  const bool fresh = block.warps.size() != warps || block.launch_id != launch.id;
  block.launch_id = launch.id;
  while (block.warps.size() < warps) block.warps.push_back(std::make_unique<Warp>());
  block.warps.resize(warps);
  const u64 stride = launch.stack_bytes;
  block.local_storage.grow(stride * warps * kLanes);
  for (Barrier& barrier : block.barriers) {
    barrier.used = false;
    barrier.arrived.assign(warps, 0);
  }
  for (u32 w = 0; w < warps; ++w) {
    Warp& warp = *block.warps[w];
    warp.block = &block;
    warp.launch = &launch;
    warp.index = w;
    warp.shared = block.shared;
    warp.local = block.local_storage.data() + u64{w} * kLanes * stride;
    warp.local_stride = stride;
    warp.base[kConstants] = launch.image->constants_base;
    warp.base[kSpecials] = reinterpret_cast<u8*>(warp.specials);
    if (fresh) set_specials(warp);
    for (u32 axis = 0; axis < 3; ++axis) fill(warp, static_cast<Special>(kCtaidX + axis), block.ctaid[axis]);
    fill(warp, kSmId, index % launch.multiprocessors);
    const u32 lanes = std::min(threads - w * kLanes, u32{kLanes});
    warp.range_begin = warp.range_end = 0;
    start_warp(warp, *launch.image->entry, lanes == kLanes ? kFullMask : (1u << lanes) - 1);
  }
  if (launch.watcher != nullptr) launch.watcher->start_block(block);
}

bool step_block(Block& block) {
  const bool shuffle = block.launch->options->random_schedule;
  const size_t count = block.warps.size();
  const size_t first = shuffle ? next_random(block.random) % count : 0;
  const size_t stride = shuffle && next_random(block.random) % 2 ? count - 1 : 1;
  bool alive = false, ran = false, spinning = true, changed = false;
  u64 executed = 0;
  for (size_t step = 0; step < count; ++step) {
    Warp& warp = *block.warps[(first + step * stride) % count];
    if (warp.done() || !has_ready(warp)) continue;
    const i64 slice = shuffle ? static_cast<i64>(1 + next_random(block.random) % 400) : kSlice;
    const u64 changes = warp.changes;
    ran |= run_warp(warp, slice);
    changed |= warp.changes != changes;
    executed += static_cast<u64>(slice - warp.fuel);
    if (warp.fuel > 0 || warp.polls * 128 < static_cast<u64>(slice)) spinning = false;
  }
  for (auto& warp : block.warps) alive |= !warp->done();
  if (!alive && block.launch->watcher != nullptr) block.launch->watcher->end_block(block);
  block.spinning = spinning;
  block.changed = changed;
  block.executed += executed;
  if (alive && !ran) {
    bool released = false;
    for (auto& warp : block.warps) released |= !warp->done() && release_joins(*warp);
    if (!released) {
      for (auto& warp : block.warps) {
        for (const Split& split : warp->splits) {
          if (split.state != Split::State::barrier && split.state != Split::State::sync) continue;
          warp->frame = split.frame;
          const bool at_barrier = split.state == Split::State::barrier;
          fault(702, *warp, split.pc[-1], std::countr_zero(split.wait_mask),
                at_barrier ? "deadlock: a barrier that not all threads reach"
                           : "deadlock: lanes of the membermask never reach this instruction");
        }
      }
    }
  }
  return alive;
}

void wait_barrier(Warp& warp, u32 mask, u32 id, u32 threads) {
  join_barrier(warp, mask, id, threads);
  hold_back(warp, mask, Split::State::barrier).barrier = id;
  check_barrier(*warp.block, id);
}

void arrive_barrier(Warp& warp, u32 mask, u32 id, u32 threads) {
  join_barrier(warp, mask, id, threads);
  check_barrier(*warp.block, id);
}

void check_barriers(Block& block) {
  for (u32 id = 0; id < kBarriers; ++id) check_barrier(block, id);
}

std::string describe(const Warp& warp, const Inst& inst, int lane) {
  const Launch& launch = *warp.launch;
  const ptx::Function& function = *warp.frame->code->source;
  std::string text = "kernel " + std::string(launch.name);
  if (inst.body < function.body.size()) {
    const ptx::Instruction& source = function.body[inst.body];
    text += ", PTX line " + std::to_string(source.line) + " (" + std::string(source.opcode) + ")";
    const std::string where = launch.image->module->where(source.source);
    if (!where.empty()) text += ", " + where;
  }
  const u32* ctaid = warp.block->ctaid;
  text += ", block (" + std::to_string(ctaid[0]) + "," + std::to_string(ctaid[1]) + "," +
          std::to_string(ctaid[2]) + ")";
  text += " thread (" + std::to_string(warp.specials[kTidX][lane]) + "," +
          std::to_string(warp.specials[kTidY][lane]) + "," + std::to_string(warp.specials[kTidZ][lane]) + ")";
  return text;
}

void fault(int code, const Warp& warp, const Inst& inst, int lane, const std::string& what) {
  throw Fault(code, what + ": " + describe(warp, inst, lane & 31));
}

}  // namespace emu
