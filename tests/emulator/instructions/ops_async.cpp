// cp.async: PTX ISA 9.0, section 9.7.9.25. The bytes are copied immediately, which is one of the orders a GPU
// may choose; the checks know that they may not be read before their group has been waited for.
#include "instructions/mbarrier.h"

namespace emu {
namespace {

using ptx::Instruction;

void observe(Warp& w, const Inst& in, u32 mask, const u64* address, u32 bytes, Access::Kind kind) {
  Access access;
  access.kind = kind;
  access.space = kind == Access::Kind::async_copy ? ptx::Space::shared : ptx::Space::generic;
  access.mask = mask;
  access.bytes = bytes;
  access.address = address;
  w.launch->watcher->access(w, in, access);
}

// list: {source base, source form, source offset low, high, source size or none}; x: form; b: size.
void copy(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 to[kLanes], from[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, to);
  lane_addresses(w, in, in.list[1], in.list[0], in.list[2] | u64{in.list[3]} << 32, from);
  const u32 bytes = in.b;
  u32 sizes[kLanes];
  u32 reading = 0;
  for (int i = 0; i < kLanes; ++i) {
    sizes[i] = in.list[4] == kNone ? bytes : std::min(bytes, w.at<u32>(in.list[4])[i]);
    if (in.list[5] != kNone && *w.at<u32>(in.list[5]) >> i & 1) sizes[i] = 0;  // ignore-src
    reading |= static_cast<u32>(sizes[i] == bytes) << i;
  }
  if (w.launch->watcher != nullptr) {
    observe(w, in, mask & reading, from, bytes, Access::Kind::load);
    observe(w, in, mask, to, bytes, Access::Kind::async_copy);
  }
  for_lanes(mask, [&](int i) {
    auto* target = reinterpret_cast<u8*>(to[i]);
    std::memcpy(target, reinterpret_cast<const void*>(from[i]), sizes[i]);
    std::memset(target + sizes[i], 0, bytes - sizes[i]);
  });
}

// x: groups that may stay open; wait_all: none, nor copies of no group.
void wait(Warp& w, const Inst& in, u32 mask) {
  if (w.launch->watcher != nullptr) w.launch->watcher->async_wait(w, mask, in.x);
}
void commit(Warp& w, const Inst&, u32 mask) {
  if (w.launch->watcher != nullptr) w.launch->watcher->async_commit(w, mask);
}

void decode_copy(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (operands.size() < 3) d.refuse("wrong number of operands");
  u32 to, from;
  u64 to_offset, from_offset;
  const u32 to_form = (decode_address(d, inst, operands[0], to, to_offset) & ~u32{kFormMask}) | kShared;
  const Decoder::Address source = d.address(operands[1]);
  from = source.base;
  from_offset = source.offset;
  u32 size_place = kNone, ignore = kNone;
  // A cache policy may be the last operand; a predicate or a size the fourth.
  const size_t last = operands.size() - (inst.has("L2::cache_hint") ? 1 : 0);
  if (last > 3) {
    const bool predicate = operands[3].kind == ptx::Operand::Kind::reg && d.register_size(operands[3]) == 0;
    (predicate ? ignore : size_place) = d.source(operands[3], predicate ? 0 : 4);
  }
  const u32* list = d.list({from, source.narrow ? u32{kNarrow} : 0, static_cast<u32>(from_offset),
                            static_cast<u32>(from_offset >> 32), size_place, ignore});
  Inst& out = d.emit(inst, copy);
  out.a = to;
  out.imm = to_offset;
  out.list = list;
  out.x = to_form;
  out.b = static_cast<u32>(operands[2].bits);
}

void decode_cp(Decoder& d, const Instruction& inst) {
  if (inst.words.size() < 3 || inst.words[1] != "async") d.refuse("this instruction is not supported");
  if (inst.has("bulk")) return decode_bulk(d, inst);
  if (inst.has("mbarrier")) return decode_async_arrive(d, inst);
  if (inst.has("commit_group")) {
    d.emit(inst, commit);
  } else if (inst.has("wait_all")) {
    d.emit(inst, wait).x = kNone;
  } else if (inst.has("wait_group")) {
    const auto open = static_cast<u32>(d.operands().at(0).bits);
    d.emit(inst, wait).x = open;
  } else {
    decode_copy(d, inst);
  }
}

}  // namespace

void register_async(Opcodes& opcodes) { opcodes["cp"] = decode_cp; }

}  // namespace emu
