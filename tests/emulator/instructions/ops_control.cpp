// Control flow, calls and barriers: PTX ISA 9.0, sections 9.7.12 and 9.7.13.
#include "engine/lanes.h"
#include "instructions/builtin.h"
#include "instructions/member.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

void bra(Warp& w, const Inst& in, u32 mask) { branch(w, in, static_cast<const Inst*>(in.link), mask); }

// Each lane its own target; all but the last go one by one.
void brx(Warp& w, const Inst& in, u32 mask) {
  const auto& table = *static_cast<const std::vector<const Inst*>*>(in.link);
  const u32* index = w.at<u32>(in.a);
  const u32 which = index[std::countr_zero(mask)];
  u32 same = 0;
  for_lanes(mask, [&](int lane) { same |= static_cast<u32>(index[lane] == which) << lane; });
  if (which >= table.size()) fault(700, w, in, std::countr_zero(mask), "indirect branch outside its table");
  if (same != mask) w.pc = &in;  // the others come back to this instruction
  branch(w, in, table[which], same);
}

void ret(Warp& w, const Inst&, u32 mask) {
  if (w.frame->back == nullptr) {
    exit_lanes(w, mask);
    return;
  }
  // Results go from the callee's frame to the variables that the call names.
  const Frame& frame = *w.frame;
  const Code& code = *frame.code;
  const u32* list = frame.call->list;
  const auto results = static_cast<u32>(code.return_offset.size());
  for (u32 i = 0; i < results && i < list[0]; ++i) {
    const u32 from = frame.local_base + code.return_offset[i], to = frame.parent->local_base + list[2 + i];
    const u64 size = code.source->returns[i].size;
    for_lanes(mask, [&](int lane) {
      u8* local = w.local + static_cast<u64>(lane) * w.local_stride;
      std::memcpy(local + to, local + from, size);
    });
  }
  return_lanes(w, mask);
}

void exit(Warp& w, const Inst&, u32 mask) { exit_lanes(w, mask); }

void trap(Warp& w, const Inst& in, u32 mask) { fault(719, w, in, std::countr_zero(mask), "trap"); }

// The call's list: {results, arguments, result offsets…, argument offsets…} in the caller's frame.
void pass_arguments(Warp& w, const Inst& in, const Code& callee, u32 mask) {
  const u32 results = in.list[0], arguments = in.list[1];
  const u32 here = w.frame->local_base, there = here + w.frame->code->frame_bytes;
  for_lanes(mask, [&](int lane) {
    if (there + callee.frame_bytes > w.tops[lane])
      fault(719, w, in, lane, "stack overflow (raise cudaLimitStackSize)");
  });
  for (u32 i = 0; i < arguments && i < callee.parameter_offset.size(); ++i) {
    const u32 from = here + in.list[2 + results + i], to = there + callee.parameter_offset[i];
    const u64 size = callee.source->parameters[i].size;
    for_lanes(mask, [&](int lane) {
      u8* local = w.local + static_cast<u64>(lane) * w.local_stride;
      std::memcpy(local + to, local + from, size);
    });
  }
}

void call(Warp& w, const Inst& in, u32 mask) {
  const Code& callee = *static_cast<const Code*>(in.link);
  pass_arguments(w, in, callee, mask);
  call_function(w, in, callee, mask, w.pc);
}

// Lanes with the same target go together; the others come back.
void call_indirect(Warp& w, const Inst& in, u32 mask) {
  const u64* target = w.at<u64>(in.a);
  const int first = std::countr_zero(mask);
  u32 same = 0;
  for_lanes(mask, [&](int lane) { same |= static_cast<u32>(target[lane] == target[first]) << lane; });
  const Code* callee = nullptr;
  for (const auto& [name, code] : w.launch->image->codes) {
    if (reinterpret_cast<u64>(code->source) == target[first]) callee = code.get();
  }
  if (callee == nullptr) fault(700, w, in, first, "indirect call of what is not a function");
  pass_arguments(w, in, *callee, same);
  call_function(w, in, *callee, same, same == mask ? w.pc : &in);
}

void call_builtin(Warp& w, const Inst& in, u32 mask) { reinterpret_cast<Builtin>(in.imm)(w, in, mask); }

void decode_bra(Decoder& d, const Instruction& inst) {
  Inst& out = d.emit(inst, bra);
  const u32 target = d.function().find_label(inst.operands.at(0).name, inst.scope, inst.line);
  d.branch(out, target, inst.guard < 0 ? kNone : d.flow().meet(d.body_index()));
}

void decode_brx(Decoder& d, const Instruction& inst) {
  const u32 index = d.source(inst.operands.at(0), 4);
  const ptx::Table& table = d.function().tables.at(inst.operands.at(1).name);
  std::vector<u32> targets;
  for (std::string_view label : table.labels)
    targets.push_back(d.function().find_label(label, inst.scope, inst.line));
  Inst& out = d.emit(inst, brx);
  out.a = index;
  d.branch_table(out, targets, d.flow().meet(d.body_index()));
}

template <Handler handler>
void decode_plain(Decoder& d, const Instruction& inst) {
  d.emit(inst, handler);
}

// imm: the offset in the frame's variables.
template <class T>
void to_frame(Warp& w, const Inst& in, u32 mask) {
  const T* a = w.at<T>(in.a);
  u8* local = w.local + w.frame->local_base + in.imm;
  for_lanes(mask,
            [&](int i) { std::memcpy(local + static_cast<u64>(i) * w.local_stride, &a[i], sizeof(T)); });
}
template <class T>
void from_frame(Warp& w, const Inst& in, u32 mask) {
  T* d = w.at<T>(in.d);
  const u8* local = w.local + w.frame->local_base + in.imm;
  for_lanes(mask,
            [&](int i) { std::memcpy(&d[i], local + static_cast<u64>(i) * w.local_stride, sizeof(T)); });
}

void decode_ret(Decoder& d, const Instruction& inst) {
  const ptx::Function& function = d.function();
  for (size_t i = 0; i < function.returns.size(); ++i) {
    const ptx::Variable& result = function.returns[i];
    if (result.reg >= 0)
      emit_frame_move(d, inst, true, d.register_place(result.reg), d.code().return_offset[i],
                      static_cast<int>(result.size));
  }
  d.emit(inst, ret);
}

/// The operands of a call: call (results), function, (arguments), prototype. All but the function may be
/// missing.
struct CallOperands {
  const Operand *results = nullptr, *target = nullptr, *arguments = nullptr, *prototype = nullptr;
};
CallOperands operands_of(Decoder& d, const Instruction& inst) {
  CallOperands call;
  for (const Operand& operand : inst.operands) {
    if (operand.kind == Operand::Kind::list) {
      (call.target == nullptr ? call.results : call.arguments) = &operand;
    } else {
      (call.target == nullptr ? call.target : call.prototype) = &operand;
    }
  }
  if (call.target == nullptr) d.refuse("no function to call");
  return call;
}

/// What a call passes one way: where each value lies in the frame, and those that have to be moved there or
/// from there.
struct Passing {
  std::vector<u32> offsets;
  struct Move {
    const Operand* value;
    u32 offset;
    int size;
  };
  std::vector<Move> moves;
};
// `formals`: what the function takes or gives; null where that is not known.
Passing passing_of(Decoder& d, const Operand* list, const std::vector<ptx::Variable>* formals) {
  Passing passing;
  const size_t count = list == nullptr ? 0 : list->parts.size();
  if (formals != nullptr && count != formals->size())
    d.refuse("the call passes " + std::to_string(count) + " values where the function has " +
             std::to_string(formals->size()));
  for (size_t i = 0; i < count; ++i) {
    const Operand& part = list->parts[i];
    if (part.kind == Operand::Kind::symbol) {
      const Decoder::Symbol where = d.symbol(part.name);
      if (!where.in_frame) d.refuse("arguments must be .param variables, registers or constants");
      passing.offsets.push_back(static_cast<u32>(where.address));
      continue;
    }
    if (formals == nullptr) d.refuse("registers cannot be passed without a prototype");
    const auto size = static_cast<int>((*formals)[i].size);
    if (size != 2 && size != 4 && size != 8 && size != 16)
      d.refuse("a register cannot be passed for " + std::to_string(size) + " bytes");
    passing.offsets.push_back(d.frame_room(static_cast<u32>(size)));
    if (part.kind != Operand::Kind::sink) passing.moves.push_back({&part, passing.offsets.back(), size});
  }
  return passing;
}

void emit_call(Decoder& d, const Instruction& inst, const Operand& target, const u32* list) {
  if (target.kind == Operand::Kind::reg) {
    const u32 place = d.source(target, 8);
    Inst& out = d.emit(inst, call_indirect);
    out.a = place;
    out.list = list;
    return;
  }
  const ptx::Function* callee = d.image().module->find_function(target.name);
  if (callee == nullptr) d.refuse("no function " + std::string(target.name));
  if (callee->has_body) {
    const Code& code = code_of(d.image(), *callee);
    Inst& out = d.emit(inst, call);
    out.list = list;
    out.link = &code;
    return;
  }
  const Builtin builtin = find_builtin(callee->name);
  if (builtin == nullptr) d.refuse("function " + std::string(callee->name) + " has no body");
  if (callee->name == "malloc" || callee->name == "free") d.image().allocates = true;
  Inst& out = d.emit(inst, call_builtin);
  out.list = list;
  out.imm = reinterpret_cast<u64>(builtin);
}

void decode_call(Decoder& d, const Instruction& inst) {
  const CallOperands operands = operands_of(d, inst);
  const std::vector<ptx::Variable>*returns = nullptr, *parameters = nullptr;
  const auto table = operands.prototype == nullptr ? d.function().tables.end()
                                                   : d.function().tables.find(operands.prototype->name);
  if (const ptx::Function* callee = d.image().module->find_function(operands.target->name)) {
    returns = &callee->returns;
    parameters = &callee->parameters;
  } else if (table != d.function().tables.end() && table->second.labels.empty()) {
    returns = &table->second.returns;
    parameters = &table->second.parameters;
  }
  const Passing results = passing_of(d, operands.results, returns);
  const Passing arguments = passing_of(d, operands.arguments, parameters);
  std::vector<u32> places{static_cast<u32>(results.offsets.size()),
                          static_cast<u32>(arguments.offsets.size())};
  places.insert(places.end(), results.offsets.begin(), results.offsets.end());
  places.insert(places.end(), arguments.offsets.begin(), arguments.offsets.end());
  for (const Passing::Move& move : arguments.moves)
    emit_frame_move(d, inst, true, d.source(*move.value, move.size), move.offset, move.size);
  emit_call(d, inst, *operands.target, d.list(places));
  for (const Passing::Move& move : results.moves)
    emit_frame_move(d, inst, false, d.destination(*move.value, move.size), move.offset, move.size);
}

// --- barriers of the block ---

u32 barrier_id(Warp& w, const Inst& in, u32 mask) {
  const int lane = std::countr_zero(mask);
  const u32 id = w.at<u32>(in.a)[lane];
  if (id >= kBarriers) fault(715, w, in, lane, "barrier " + std::to_string(id) + " of 16");
  return id;
}
u32 barrier_threads(Warp& w, const Inst& in, u32 mask) {
  return in.b == kNone ? 0 : w.at<u32>(in.b)[std::countr_zero(mask)];
}

void bar_sync(Warp& w, const Inst& in, u32 mask) {
  wait_barrier(w, mask, barrier_id(w, in, mask), barrier_threads(w, in, mask));
}
void bar_arrive(Warp& w, const Inst& in, u32 mask) {
  arrive_barrier(w, mask, barrier_id(w, in, mask), barrier_threads(w, in, mask));
}
// x: 1 popc, 2 and, 3 or. The result is written when the barrier completes.
void bar_red(Warp& w, const Inst& in, u32 mask) {
  const u32 id = barrier_id(w, in, mask);
  Barrier& barrier = w.block->barriers[id];
  const u32 predicate = *w.at<u32>(in.c) ^ static_cast<u32>(in.imm);
  barrier.red_count += static_cast<u32>(std::popcount(mask));
  barrier.red_true += static_cast<u32>(std::popcount(mask & predicate));
  wait_barrier(w, mask, id, barrier_threads(w, in, mask));
}

// bar.warp.sync: memory needs nothing, a warp's lanes run in one host thread.
void warp_sync(Warp& w, const Inst& in, u32 mask) {
  by_member<u32>(w, in, in.a, mask, [](const Meeting<u32>&) {});
}

void decode_bar(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (inst.has("warp")) {
    const u32 member = d.source(operands.at(0), 4);
    d.emit(inst, warp_sync).a = member;
    return;
  }
  if (inst.has("cluster")) {  // a cluster of one block
    if (inst.has("wait")) {
      const u32 id = d.constant(0, 4);
      d.emit(inst, bar_sync).a = id;
    }
    return;
  }
  if (inst.has("red")) {
    const bool popc = inst.has("popc");
    const u32 target = d.destination(operands.at(0), popc ? 4 : 0);
    const u32 id = d.source(operands.at(1), 4);
    const bool counted = operands.size() == 4;
    const u32 threads = counted ? d.source(operands[2], 4) : kNone;
    const Operand& predicate = operands.back();
    const u32 value = d.source(predicate, 0);
    Inst& out = d.emit(inst, bar_red);
    out.d = target;
    out.a = id;
    out.b = threads;
    out.c = value;
    out.imm = predicate.negated ? kFullMask : 0;
    out.x = popc ? 1 : inst.has("and") ? 2 : 3;
    return;
  }
  const u32 id = operands.empty() ? d.constant(0, 4) : d.source(operands[0], 4);
  const u32 threads = operands.size() > 1 ? d.source(operands[1], 4) : kNone;
  Inst& out = d.emit(inst, inst.has("arrive") ? bar_arrive : bar_sync);
  out.a = id;
  out.b = threads;
}

// x: 1 for a fence of the device, 0 of the block.
void fence(Warp& w, const Inst& in, u32) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (w.launch->watcher != nullptr) w.launch->watcher->fence(w, in.x != 0);
}
void decode_fence(Decoder& d, const Instruction& inst) { d.emit(inst, fence).x = inst.has("cta") ? 0 : 1; }
void nothing(Warp&, const Inst&, u32) {}
void sleep(Warp& w, const Inst&, u32) {
  w.fuel -= 4096;
  w.polls += 32;
}

}  // namespace

void emit_frame_move(Decoder& d, const Instruction& inst, bool to, u32 reg, u32 offset, int size) {
  Handler handler = nullptr;
  if (size == 2) handler = to ? to_frame<u16> : from_frame<u16>;
  if (size == 4) handler = to ? to_frame<u32> : from_frame<u32>;
  if (size == 8) handler = to ? to_frame<u64> : from_frame<u64>;
  if (size == 16) handler = to ? to_frame<u128> : from_frame<u128>;
  Inst& out = d.emit(inst, handler);
  (to ? out.a : out.d) = reg;
  out.imm = offset;
}

void register_control(Opcodes& opcodes) {
  opcodes["bra"] = decode_bra;
  opcodes["brx"] = decode_brx;
  opcodes["ret"] = decode_ret;
  opcodes["exit"] = decode_plain<exit>;
  opcodes["trap"] = decode_plain<trap>;
  opcodes["brkpt"] = decode_plain<trap>;
  opcodes["call"] = decode_call;
  opcodes["bar"] = opcodes["barrier"] = decode_bar;
  opcodes["membar"] = opcodes["fence"] = decode_fence;
  opcodes["nanosleep"] = decode_plain<sleep>;
  opcodes["pmevent"] = opcodes["griddepcontrol"] = opcodes["setmaxnreg"] = decode_plain<nothing>;
  opcodes["prefetch"] = opcodes["prefetchu"] = opcodes["discard"] = opcodes["applypriority"] =
      decode_plain<nothing>;
}

}  // namespace emu
