// Communication between a warp's lanes: PTX ISA 9.0, sections 9.7.9.6 and 9.7.13.
#include <algorithm>

#include "engine/lanes.h"
#include "engine/shuffle.h"
#include "instructions/member.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

// x: the mode; list: {membermask, predicate or none}. A lane outside the mask gives its own stale register,
// as on a GPU; the checks report it.
void shuffle(Warp& w, const Meeting<u32>& meeting) {
  const Inst& in = meeting.inst;
  alignas(64) u32 from[kLanes], value[kLanes];
  std::memcpy(from, meeting.values, sizeof from);
  const ShuffleSources sources = shuffle_sources(w, in);
  u32 stale = 0;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    value[lane] = from[sources.lane[lane]];
    stale |= (~meeting.all >> sources.lane[lane] & 1) << lane;
  }
  stale &= meeting.lanes & sources.inside;
  if (stale != 0 && w.launch->watcher != nullptr) {
    w.launch->watcher->violation(w, in, std::countr_zero(stale),
                                 "shuffle from a lane that does not take part");
  }
  keep(w.at<u32>(in.d), value, meeting.lanes);
  if (in.list[1] != kNone) write_predicate(*w.at<u32>(in.list[1]), sources.inside, meeting.lanes);
}

void shfl(Warp& w, const Inst& in, u32 mask) {
  if (in.list[0] == kNone) return shuffle(w, {in, mask, mask, w.at<u32>(in.a)});
  by_member<u32>(w, in, in.list[0], mask, [&](const Meeting<u32>& meeting) { shuffle(w, meeting); });
}

void decode_shfl(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const bool sync = inst.has("sync");
  if (operands.size() != (sync ? 5u : 4u)) d.refuse("wrong number of operands");
  const bool pair = operands[0].kind == Operand::Kind::pair;
  const u32 target = d.destination(pair ? operands[0].parts[0] : operands[0], 4);
  const u32 predicate = pair ? d.destination(operands[0].parts[1], 0) : kNone;
  const u32 a = d.source(operands[1], 4), b = d.source(operands[2], 4), c = d.source(operands[3], 4);
  const u32 member = sync ? d.source(operands[4], 4) : kNone;
  const u32* list = d.list({member, predicate});
  Inst& out = d.emit(inst, shfl);
  out.d = target;
  out.a = a;
  out.b = b;
  out.c = c;
  out.list = list;
  out.x = inst.has("up") ? kUp : inst.has("down") ? kDown : inst.has("bfly") ? kBfly : kIdx;
}

// x: 0 all, 1 any, 2 uni, 3 ballot; imm: flips a negated predicate.
void count_votes(Warp& w, const Meeting<Predicate>& meeting) {
  const Inst& in = meeting.inst;
  const u32 yes = meeting.values->bits & meeting.all;
  if (in.x == 3) {
    u32* d = w.at<u32>(in.d);
    for_lanes(meeting.lanes, [&](int i) { d[i] = yes; });
    return;
  }
  const bool all = yes == meeting.all, held = in.x == 0 ? all : in.x == 1 ? yes != 0 : all || yes == 0;
  write_predicate(*w.at<u32>(in.d), held ? kFullMask : 0, meeting.lanes);
}

void vote(Warp& w, const Inst& in, u32 mask) {
  if (in.b == kNone) {
    const Predicate predicate{*w.at<u32>(in.a) ^ static_cast<u32>(in.imm)};
    return count_votes(w, {in, mask, mask, &predicate});
  }
  by_member<Predicate>(w, in, in.b, mask,
                       [&](const Meeting<Predicate>& meeting) { count_votes(w, meeting); });
}

void decode_vote(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const bool ballot = inst.has("ballot"), sync = inst.has("sync");
  const u32 target = d.destination(operands.at(0), ballot ? 4 : 0);
  const u32 predicate = d.source(operands.at(1), 0);
  const u32 member = sync ? d.source(operands.at(2), 4) : kNone;
  Inst& out = d.emit(inst, vote);
  out.d = target;
  out.a = predicate;
  out.b = member;
  out.imm = operands[1].negated ? kFullMask : 0;
  out.x = ballot ? 3 : inst.has("all") ? 0 : inst.has("any") ? 1 : 2;
}

// match.any: the lanes with my value; match.all: all of them or none.
template <class T, bool kAll>
void compare_lanes(Warp& w, const Meeting<T>& meeting) {
  const Inst& in = meeting.inst;
  const u32 takers = meeting.all;
  u32* d = w.at<u32>(in.d);
  alignas(64) u32 same[kLanes] = {};
  for_lanes(takers, [&](int i) {
    for_lanes(takers,
              [&](int j) { same[i] |= static_cast<u32>(meeting.values[i] == meeting.values[j]) << j; });
  });
  const bool all = same[std::countr_zero(takers)] == takers;
  for_lanes(meeting.lanes, [&](int i) { d[i] = kAll ? (all ? takers : 0) : same[i]; });
  if (in.c != kNone) write_predicate(*w.at<u32>(in.c), all ? kFullMask : 0, meeting.lanes);
}

template <class T, bool kAll>
void match(Warp& w, const Inst& in, u32 mask) {
  by_member<T>(w, in, in.b, mask, [&](const Meeting<T>& meeting) { compare_lanes<T, kAll>(w, meeting); });
}

void decode_match(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const bool wide = ptx::size_of(last_type(inst)) == 8, all = inst.has("all");
  const bool pair = operands.at(0).kind == Operand::Kind::pair;
  const u32 target = d.destination(pair ? operands[0].parts[0] : operands[0], 4);
  const u32 predicate = pair ? d.destination(operands[0].parts[1], 0) : kNone;
  const u32 a = d.source(operands.at(1), wide ? 8 : 4), member = d.source(operands.at(2), 4);
  Inst& out = d.emit(
      inst,
      all ? (wide ? match<u64, true> : match<u32, true>) : (wide ? match<u64, false> : match<u32, false>));
  out.d = target;
  out.a = a;
  out.b = member;
  out.c = predicate;
}

struct Sum {
  template <class T>
  static T run(T a, T b) {
    return static_cast<T>(static_cast<u32>(a) + static_cast<u32>(b));
  }
};
struct Least {
  template <class T>
  static T run(T a, T b) {
    return std::min(a, b);
  }
};
struct Most {
  template <class T>
  static T run(T a, T b) {
    return std::max(a, b);
  }
};
struct All {
  static u32 run(u32 a, u32 b) { return a & b; }
};
struct Any {
  static u32 run(u32 a, u32 b) { return a | b; }
};
struct Odd {
  static u32 run(u32 a, u32 b) { return a ^ b; }
};

template <class Op, class T>
void reduce(Warp& w, const Meeting<T>& meeting) {
  T result = meeting.values[std::countr_zero(meeting.all)];
  for_lanes(meeting.all & (meeting.all - 1), [&](int i) { result = Op::run(result, meeting.values[i]); });
  T* d = w.at<T>(meeting.inst.d);
  for_lanes(meeting.lanes, [&](int i) { d[i] = result; });
}

template <class Op, class T>
void redux(Warp& w, const Inst& in, u32 mask) {
  by_member<T>(w, in, in.b, mask, [&](const Meeting<T>& meeting) { reduce<Op, T>(w, meeting); });
}

void decode_redux(Decoder& d, const Instruction& inst) {
  const bool is_signed = last_type(inst) == Type::s32;
  Handler handler = nullptr;
  if (last_type(inst) == Type::f32) d.refuse("this type is not supported");
  if (inst.has("add")) handler = redux<Sum, u32>;
  if (inst.has("min")) handler = is_signed ? redux<Least, i32> : redux<Least, u32>;
  if (inst.has("max")) handler = is_signed ? redux<Most, i32> : redux<Most, u32>;
  if (inst.has("and")) handler = redux<All, u32>;
  if (inst.has("or")) handler = redux<Any, u32>;
  if (inst.has("xor")) handler = redux<Odd, u32>;
  if (handler == nullptr) d.refuse("this operation is not supported");
  emit_same(d, inst, handler, 2, 4);
}

void activemask(Warp& w, const Inst& in, u32 mask) {
  u32* d = w.at<u32>(in.d);
  for_lanes(mask, [&](int i) { d[i] = mask; });
}
void decode_activemask(Decoder& d, const Instruction& inst) { emit_same(d, inst, activemask, 0, 4); }

// elect.sync d|p, membermask: the lowest lane leads.
void elect(Warp& w, const Inst& in, u32 mask) {
  by_member<u32>(w, in, in.a, mask, [&](const Meeting<u32>& meeting) {
    const int leader = std::countr_zero(meeting.all);
    u32* d = w.at<u32>(meeting.inst.d);
    for_lanes(meeting.lanes, [&](int i) { d[i] = static_cast<u32>(leader); });
    write_predicate(*w.at<u32>(meeting.inst.b), 1u << leader, meeting.lanes);
  });
}
void decode_elect(Decoder& d, const Instruction& inst) {
  const Operand& pair = d.operands().at(0);
  if (pair.kind != Operand::Kind::pair) d.refuse("expected d|p");
  const u32 target = d.destination(pair.parts[0], 4), predicate = d.destination(pair.parts[1], 0);
  const u32 member = d.source(d.operands().at(1), 4);
  Inst& out = d.emit(inst, elect);
  out.d = target;
  out.a = member;
  out.b = predicate;
}

}  // namespace

void register_warp(Opcodes& opcodes) {
  opcodes["shfl"] = decode_shfl;
  opcodes["vote"] = decode_vote;
  opcodes["match"] = decode_match;
  opcodes["redux"] = decode_redux;
  opcodes["activemask"] = decode_activemask;
  opcodes["elect"] = decode_elect;
}

}  // namespace emu
