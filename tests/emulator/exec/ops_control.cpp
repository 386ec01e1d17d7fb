// Control flow, calls and barriers: PTX ISA 9.0, sections 9.7.12 and 9.7.13.
#include "exec/builtin.h"
#include "exec/lanes.h"
#include "exec/types.h"

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

// call (results), function, (arguments), prototype — the lists may be missing.
void decode_call(Decoder& d, const Instruction& inst) {
  const Operand* results = nullptr;
  const Operand* arguments = nullptr;
  const Operand* target = nullptr;
  for (const Operand& operand : inst.operands) {
    if (operand.kind == Operand::Kind::list) {
      (target == nullptr ? results : arguments) = &operand;
    } else if (target == nullptr) {
      target = &operand;
    }
  }
  if (target == nullptr) d.refuse("no function to call");
  std::vector<u32> places{0, 0};
  const auto add = [&](const Operand* list, u32& count) {
    if (list == nullptr) return;
    for (const Operand& part : list->parts) {
      if (part.kind != Operand::Kind::symbol) d.refuse("arguments must be .param variables");
      const Decoder::Symbol where = d.symbol(part.name);
      if (!where.in_frame) d.refuse("arguments must be .param variables");
      places.push_back(static_cast<u32>(where.address));
      ++count;
    }
  };
  u32 result_count = 0, argument_count = 0;
  add(results, result_count);
  add(arguments, argument_count);
  places[0] = result_count;
  places[1] = argument_count;
  const u32* list = d.list(places);
  if (target->kind == Operand::Kind::reg) {
    const u32 place = d.source(*target, 8);
    Inst& out = d.emit(inst, call_indirect);
    out.a = place;
    out.list = list;
    return;
  }
  const ptx::Function* callee = d.image().module->find_function(target->name);
  if (callee == nullptr) d.refuse("no function " + std::string(target->name));
  if (!callee->has_body) {
    const Builtin builtin = find_builtin(callee->name);
    if (builtin == nullptr) d.refuse("function " + std::string(callee->name) + " has no body");
    if (callee->name == "malloc" || callee->name == "free") d.image().allocates = true;
    Inst& out = d.emit(inst, call_builtin);
    out.list = list;
    out.imm = reinterpret_cast<u64>(builtin);
    return;
  }
  const Code& code = code_of(d.image(), *callee);
  Inst& out = d.emit(inst, call);
  out.list = list;
  out.link = &code;
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
  const u32* member = w.at<u32>(in.a);
  const u32 first = member[std::countr_zero(mask)];
  bool same = true;
  for_lanes(mask, [&](int i) { same &= member[i] == first; });
  if (same) gather(w, mask, first, true);  // else tiles that are here together
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

void register_control(Opcodes& opcodes) {
  opcodes["bra"] = decode_bra;
  opcodes["brx"] = decode_brx;
  opcodes["ret"] = decode_plain<ret>;
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
