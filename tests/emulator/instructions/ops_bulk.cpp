// cp.async.bulk without tensors, and cp.async.mbarrier.arrive: PTX ISA 9.0, sections 9.7.9.25
// and 9.7.13.15.16. The bytes are copied immediately, which is one of the orders a GPU may choose.
#include <algorithm>

#include "instructions/mbarrier.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;

// For the watchers a copy is accesses of 16 bytes, 32 side by side, as a warp would make them: its sectors
// count as they move, and no rule of alignment but the instruction's own holds.
void observe_range(Warp& w, const Inst& in, u64 begin, u64 bytes, Access::Kind kind) {
  if (w.launch->watcher == nullptr) return;
  for (u64 at = 0; at < bytes; at += u64{16} * kLanes) {
    alignas(64) u64 address[kLanes];
    const u64 chunks = std::min<u64>((bytes - at) / 16, kLanes);
    for (u64 i = 0; i < kLanes; ++i) address[i] = begin + at + 16 * i;
    Access access;
    access.kind = kind;
    access.mask = chunks == kLanes ? kFullMask : (1u << chunks) - 1;
    access.address = address;
    access.bytes = 16;
    w.launch->watcher->access(w, in, access);
  }
}

struct BulkPlace {
  u32 base = kNone, form = 0;
  u64 offset = 0;
};

// A shared address may be any in the cluster's window, which is this block's own.
BulkPlace bulk_place(Decoder& d, const Operand& operand, bool shared) {
  const Decoder::Address where = d.address(operand);
  const u32 form = (shared ? kShared : kAbsolute) | (where.narrow ? u32{kNarrow} : 0);
  return {where.base, form, where.offset};
}

void push(std::vector<u32>& list, const BulkPlace& place) {
  list.insert(list.end(),
              {place.base, place.form, static_cast<u32>(place.offset), static_cast<u32>(place.offset >> 32)});
}
void addresses(const Warp& w, const Inst& in, u32 which, u64* address) {
  const u32* at = in.list + 4 * which;
  lane_addresses(w, in, at[1], at[0], at[2] | u64{at[3]} << 32, address);
}

// list: destination, source, mbarrier (base none: a bulk group's); b: bytes.
void copy(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 to[kLanes], from[kLanes], barrier[kLanes];
  addresses(w, in, 0, to);
  addresses(w, in, 1, from);
  const bool counted = in.list[8] != kNone;
  if (counted) addresses(w, in, 2, barrier);
  for_lanes(mask, [&](int lane) {
    const u32 bytes = w.at<u32>(in.b)[lane];
    if ((to[lane] | from[lane] | bytes) % 16 != 0)
      fault(716, w, in, lane, "a bulk copy whose addresses or size are not multiples of 16");
    observe_range(w, in, from[lane], bytes, Access::Kind::load);
    observe_range(w, in, to[lane], bytes, Access::Kind::store);
    std::memmove(reinterpret_cast<void*>(to[lane]), reinterpret_cast<const void*>(from[lane]), bytes);
    if (!counted) return;
    observe_mbarrier(w, in, 1u << lane, barrier, kShared, Access::Kind::atomic);  // releases the copy
    update_mbarrier(w, in, lane, barrier[lane], 0, -static_cast<i32>(bytes), 0);
  });
}

void nothing(Warp&, const Inst&, u32) {}

// The barrier tracks all of the thread's earlier cp.async, which are done: with .noinc this is an arrival,
// without it the count rises and falls. x: form; b: 1 for .noinc.
void async_arrive(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::atomic);
  if (w.launch->watcher != nullptr) {
    w.launch->watcher->async_commit(w, mask);
    w.launch->watcher->async_wait(w, mask, 0);
  }
  for_lanes(mask, [&](int lane) { update_mbarrier(w, in, lane, address[lane], in.b, 0, 0); });
}

}  // namespace

void decode_async_arrive(Decoder& d, const Instruction& inst) {
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, d.operands().at(0), base, offset);
  Inst& out = d.emit(inst, async_arrive);
  out.a = base;
  out.imm = offset;
  out.x = form;
  out.b = inst.has("noinc") ? 1 : 0;
}

// cp.async.bulk.dst.src.completion [dst], [src], size{, [mbarrier]}{, cache policy}
void decode_bulk(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (inst.has("commit_group") || inst.has("wait_group") || inst.has("prefetch")) {
    d.emit(inst, nothing);
    return;
  }
  const bool counted = inst.has("mbarrier::complete_tx::bytes");
  const size_t spaces = counted ? 4 : 3;
  if (inst.has("tensor") || inst.has("multicast::cluster") || inst.has("cp_mask") || inst.words.size() < 6 ||
      (!counted && !inst.has("bulk_group")) || operands.size() < spaces)
    d.refuse("this form of cp.async.bulk is not supported");
  const auto shared = [&](size_t word) { return inst.words[word].substr(0, 6) == "shared"; };
  std::vector<u32> list;
  push(list, bulk_place(d, operands[0], shared(3)));
  push(list, bulk_place(d, operands[1], shared(4)));
  push(list, counted ? bulk_place(d, operands[3], true) : BulkPlace{});
  const u32 bytes = d.source(operands[2], 4);
  const u32* kept = d.list(list);
  Inst& out = d.emit(inst, copy);
  out.b = bytes;
  out.list = kept;
}

}  // namespace emu
