// Reads of uninitialised memory. Memory has a bit per byte, registers one per lane. A value none of whose
// bytes is defined (words of structures have padding) is undefined, and so is what is computed from it; it is
// reported where it becomes an address, decides a branch, or is stored to global memory. Undefined registers
// alone are not reported: compilers make them.
#include <algorithm>
#include <bit>

#include "checks/checker.h"
#include "engine/shuffle.h"

namespace emu {
namespace {

constexpr u32 kSweep = 256;  // steps after which a frame is looked through for what is still undefined

std::vector<u32>& undefined_of(Frame& frame) {
  const size_t words = frame.code->register_bytes / 4;
  if (frame.undefined.size() != words) frame.undefined.assign(words, 0);
  return frame.undefined;
}

u32 register_of(u32 place) { return (place & 0x0fffffff) / 4; }
bool is_register(u32 place) { return place != kNone && place >> 28 == kRegisters; }

// Exchanges need no earlier value; and clears bits, as cooperative groups do with a barrier's to begin with.
bool initialises(const Warp& warp, const Inst& inst) {
  const ptx::Instruction& source = warp.frame->code->source->body[inst.body];
  return source.has("exch") || source.has("and");
}

// Lanes whose result of a selp is undefined: the predicate is, or the operand that it chooses.
u32 undefined_choice(const Warp& warp, const Code::Effects& effects, const std::vector<u32>& undefined) {
  const auto of = [&](size_t use) {
    return effects.uses[use] == kNone ? 0 : undefined[effects.uses[use] / 4];
  };
  const u32 predicate = *reinterpret_cast<const u32*>(warp.frame->registers + effects.uses[2]);
  return (predicate & of(0)) | (~predicate & of(1)) | of(2);
}

// Lanes that a defined operand of a conjunction or disjunction decides, whatever the others are.
u32 decided(const Warp& warp, const Code::Effects& effects, const std::vector<u32>& undefined) {
  u32 lanes = 0;
  for (const auto& decider : effects.deciders) {
    const u32 value = *reinterpret_cast<const u32*>(warp.frame->registers + decider.place);
    lanes |= (value ^ decider.flip) & ~undefined[decider.place / 4];
  }
  return lanes;
}

// Lanes that get an undefined value in a shuffle.
u32 undefined_shuffle(Warp& warp, const Inst& inst, u32 undefined) {
  const ShuffleSources sources = shuffle_sources(warp, inst);
  u32 bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= (undefined >> sources.lane[lane] & 1) << lane;
  return bits;
}

}  // namespace

// Only while some register of the frame is undefined.
void Checker::undefined_step(Warp& warp, const Inst& inst, u32 mask) {
  Frame& frame = *warp.frame;
  const Code& code = *frame.code;
  if (inst.body >= code.effects.size()) return;
  const Code::Effects& effects = code.effects[inst.body];
  std::vector<u32>& undefined = undefined_of(frame);
  if (inst.link != nullptr && inst.guard != kNone) {
    const u32 doubtful = undefined[inst.guard / 4] & warp.active;
    if (doubtful != 0)
      violation(warp, inst, std::countr_zero(doubtful), "branch on a value read from uninitialised memory");
  }
  u32 bits = 0;
  if (effects.chooses) {
    bits = undefined_choice(warp, effects, undefined);
  } else {
    for (size_t i = effects.shuffles ? 1 : 0; i < effects.uses.size(); ++i)
      bits |= undefined[effects.uses[i] / 4];
    bits &= ~decided(warp, effects, undefined);
  }
  u32 moved = 0;  // the shuffle's predicate does not depend on it
  // Lanes that come one after the other may find what the first ones' are to become.
  const bool in_place = effects.shuffles && effects.uses[0] == effects.defines[0] && mask != warp.live;
  if (effects.shuffles && effects.uses[0] != kNone && !in_place)
    moved = undefined_shuffle(warp, inst, undefined[effects.uses[0] / 4]);
  for (u32 define : effects.defines) {
    u32& word = undefined[define / 4];
    word = (word & ~mask) | ((bits | moved) & mask);
    moved = 0;
  }
  if (++frame.undefined_steps % kSweep != 0) return;
  u32 any = 0;
  for (u32 word : undefined) any |= word;
  frame.any_undefined = any != 0;
}

void Checker::check_address(Warp& warp, const Inst& inst, const Access& access) {
  if (!warp.frame->any_undefined || !is_register(inst.a)) return;
  const u32 doubtful = undefined_of(*warp.frame)[register_of(inst.a)] & access.mask;
  if (doubtful != 0)
    report_if_new(warp, inst, access, std::countr_zero(doubtful),
                  "address computed from uninitialised memory");
}

// The bits of [begin, end) and the number of the first; null where all is defined. A launch's parameters are
// in no allocation: the barrier word of a cooperative grid lies behind them.
Bits* Checker::bits_of(const Warp& warp, ptx::Space space, u64 begin, u64 end, u64& first) const {
  BlockShadow& shadow = shadow_of(*warp.block);
  if (space == ptx::Space::shared) {
    first = begin - reinterpret_cast<u64>(warp.shared);
    return &shadow.shared_defined;
  }
  if (space == ptx::Space::local) {
    first = begin - reinterpret_cast<u64>(warp.block->local_storage.data());
    return &shadow.local_defined;
  }
  const CheckedRange* range = range_of(warp, begin, end);
  if (range == nullptr) return nullptr;
  first = begin - range->begin;
  return range->defined;
}

void Checker::check_load(Warp& warp, const Access& access, ptx::Space space, u32 lanes, const Runs& runs) {
  bool defined = true;
  u64 first = 0;
  for (u32 r = 0; r < runs.count && defined; ++r) {
    const Bits* bits = bits_of(warp, space, runs.run[r].begin, runs.run[r].end, first);
    defined = bits == nullptr || bits->all(first, runs.run[r].end - runs.run[r].begin);
  }
  if (access.places == nullptr || (defined && !warp.frame->any_undefined)) return;
  std::vector<u32>& undefined = undefined_of(*warp.frame);
  const u32 element = access.bytes / access.count;
  for (u32 k = 0; k < access.count; ++k) {
    u32 missing = 0;
    if (!defined) {
      for_lanes(lanes, [&](int lane) {
        const u64 at = access.address[lane] + k * element;
        const Bits* bits = bits_of(warp, space, at, at + element, first);
        if (bits != nullptr && !bits->any(first, element)) missing |= 1u << lane;
      });
    }
    u32& word = undefined[register_of(access.places[k])];
    word = (word & ~lanes) | missing;
    warp.frame->any_undefined |= missing != 0;
  }
}

void Checker::check_store(Warp& warp, const Inst& inst, const Access& access, ptx::Space space, u32 lanes,
                          const Runs& runs) {
  u64 first = 0;
  for (u32 r = 0; r < runs.count; ++r) {
    Bits* bits = bits_of(warp, space, runs.run[r].begin, runs.run[r].end, first);
    if (bits != nullptr && access.kind == Access::Kind::atomic && !initialises(warp, inst) &&
        !bits->all(first, runs.run[r].end - runs.run[r].begin))
      report_if_new(warp, inst, access, std::countr_zero(lanes), "atomic update of uninitialised memory");
    if (bits != nullptr) bits->set(first, runs.run[r].end - runs.run[r].begin);
  }
  if (!warp.frame->any_undefined || access.places == nullptr) return;
  const std::vector<u32>& undefined = undefined_of(*warp.frame);
  const auto undefined_lanes = [&](u32 k) {
    return is_register(access.places[k]) ? undefined[register_of(access.places[k])] & lanes : 0;
  };
  const u32 element = access.bytes / access.count;
  u32 reported = 0;  // once: who reads it shall not be
  if (space == ptx::Space::global) {
    // A vector some of which is defined may be a structure with padding.
    reported = lanes;
    for (u32 k = 0; k < access.count; ++k) reported &= undefined_lanes(k);
    if (reported != 0 && access.kind == Access::Kind::store)
      report_if_new(warp, inst, access, std::countr_zero(reported),
                    "store to global memory of a value read from uninitialised memory");
  }
  for (u32 k = 0; k < access.count; ++k) {
    for_lanes(undefined_lanes(k) & ~reported, [&](int lane) {
      const u64 at = access.address[lane] + k * element;
      Bits* bits = bits_of(warp, space, at, at + element, first);
      if (bits != nullptr) bits->reset(first, element);
    });
  }
}

}  // namespace emu
