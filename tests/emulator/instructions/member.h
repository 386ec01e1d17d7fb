// Instructions that lanes carry out together, by the membermask that each of them names.
#pragma once

#include <utility>

#include "engine/lanes.h"

namespace emu {

/// What one lane or several of them do in such an instruction.
template <class T>
struct Meeting {
  const Inst& inst;
  u32 lanes;        // that come to this instruction, and get its result
  u32 all;          // that take part
  const T* values;  // of all that do, of the operand `a`; of a predicate, a mask
};

/// A predicate's lanes, true or, where the instruction negates it, false.
struct Predicate {
  u32 bits;
};

template <class T>
void take_values(Warp& w, const Inst& in, u32 lanes, T* values) {
  const T* a = w.at<T>(in.a);
  for_lanes(lanes, [&](int i) { values[i] = a[i]; });
}
inline void take_values(Warp& w, const Inst& in, u32 lanes, Predicate* values) {
  values->bits |= (*w.at<u32>(in.a) ^ static_cast<u32>(in.imm)) & lanes;
}

// Lanes at several places: each with its own registers.
template <class T, class Body>
void meet_scattered(Warp& w, u32 all, const Body& body) {
  const std::vector<GatheredLanes> gathered = std::exchange(w.gathered, {});
  Frame* const frame = w.frame;
  const auto at = [&](const GatheredLanes& group) {
    w.frame = group.frame;
    w.base[kRegisters] = group.frame->registers;
  };
  alignas(64) T values[kLanes] = {};
  for (const GatheredLanes& group : gathered) {
    at(group);
    take_values(w, *group.inst, group.lanes, values);
  }
  for (const GatheredLanes& group : gathered) {
    at(group);
    body(Meeting<T>{*group.inst, group.lanes, all, values});
  }
  w.frame = frame;
  w.base[kRegisters] = frame->registers;
}

// Which of the mask's lanes name a membermask: mostly all.
inline u32 lanes_with(const u32* member, u32 value, u32 mask) {
  u32 difference = 0, lanes = 0;
  for (int i = 0; i < kLanes; ++i) difference |= member[i] ^ value;
  if (difference == 0) return mask;
  for_lanes(mask, [&](int i) { lanes |= static_cast<u32>(member[i] == value) << i; });
  return lanes;
}

/// Calls body(meeting) for the lanes of each membermask, once all that it names have come; those that have to
/// wait do so in splits of their own. Usually there is one mask, and all lanes are here; the tiles of a warp
/// may pass through one instruction together, each with its own, and compilers make several of one.
template <class T, class Body>
void by_member(Warp& w, const Inst& in, u32 place, u32 mask, const Body& body) {
  const u32* member = w.at<u32>(place);
  while (mask != 0) {
    const u32 value = member[std::countr_zero(mask)];
    u32 lanes = lanes_with(member, value, mask);
    mask &= ~lanes;
    if (!gather(w, lanes, value, false)) continue;
    if (!w.gathered.empty()) {
      meet_scattered<T>(w, lanes, body);
    } else if constexpr (std::is_same_v<T, Predicate>) {
      const Predicate predicate{*w.at<u32>(in.a) ^ static_cast<u32>(in.imm)};
      body(Meeting<T>{in, lanes, lanes, &predicate});
    } else {
      body(Meeting<T>{in, lanes, lanes, w.at<T>(in.a)});
    }
  }
}

}  // namespace emu
