// mbarrier: PTX ISA 9.0, section 9.7.13.15. A block's shared memory belongs to one host thread, so plain
// reads and writes are atomic. A wait that fails gives way to other warps; it is always one of a loop.
#include "instructions/mbarrier.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;

constexpr int kPending = 0, kExpected = 20, kBytes = 40, kValid = 62, kPhase = 63;

}  // namespace

Mbarrier Mbarrier::unpack(u64 word) {
  Mbarrier b;
  b.pending = static_cast<u32>(word >> kPending) & kMost;
  b.expected = static_cast<u32>(word >> kExpected) & kMost;
  b.bytes = static_cast<i32>(static_cast<i64>(word << (43 - kBytes)) >> 43);
  b.phase = word >> kPhase & 1;
  b.valid = word >> kValid & 1;
  return b;
}

u64 Mbarrier::pack() const {
  return u64{pending} << kPending | u64{expected} << kExpected |
         (static_cast<u64>(bytes) & ((1u << 21) - 1)) << kBytes | u64{valid} << kValid | u64{phase} << kPhase;
}

u64 update_mbarrier(Warp& w, const Inst& in, int lane, u64 address, u32 arrivals, i32 bytes, u32 dropped) {
  const u64 before = read_at<u64>(address);
  Mbarrier b = Mbarrier::unpack(before);
  if (!b.valid) fault(719, w, in, lane, "an mbarrier that is not initialised");
  if (arrivals > b.pending || dropped > b.expected) {
    fault(719, w, in, lane,
          "an mbarrier expects " + std::to_string(b.pending) + " more arrivals, " + std::to_string(arrivals) +
              " came");
  }
  b.pending -= arrivals;
  b.expected -= dropped;
  b.bytes += bytes;
  if (std::abs(b.bytes) > static_cast<i32>(Mbarrier::kMost))
    fault(719, w, in, lane, "an mbarrier's count of bytes leaves its range");
  if (b.pending == 0 && b.bytes == 0) {
    b.phase = !b.phase;
    b.pending = b.expected;
    ++w.block->epoch;  // for copies that were waited for: it orders them for those who wait here
  }
  write_at<u64>(address, b.pack());
  return before;
}

namespace {

Access access_of(u32 mask, const u64* address, u32 form, Access::Kind kind) {
  Access access;
  access.kind = kind;
  access.space = space_of(form);
  access.mask = mask;
  access.address = address;
  access.bytes = 8;
  access.strong = access.block_scope = true;
  access.release = kind == Access::Kind::atomic;
  return access;
}

}  // namespace

void observe_mbarrier(Warp& w, const Inst& in, u32 mask, const u64* address, u32 form, Access::Kind kind) {
  if (w.launch->watcher != nullptr) w.launch->watcher->access(w, in, access_of(mask, address, form, kind));
}

namespace {

// x of all: the address' form. b: the count (or bytes); c: more, as each says.
void init(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::store);
  for_lanes(mask, [&](int lane) {
    const u32 count = w.at<u32>(in.b)[lane];
    if (count == 0 || count > Mbarrier::kMost)
      fault(719, w, in, lane, "an mbarrier for " + std::to_string(count) + " arrivals");
    Mbarrier b;
    b.pending = b.expected = count;
    b.valid = true;
    write_at<u64>(address[lane], b.pack());
  });
}

void invalidate(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::store);
  for_lanes(mask, [&](int lane) { write_at<u64>(address[lane], 0); });
}

// list: {arrivals or none (1), bytes or none (0), 1 when the arrivals are dropped}; d: the state, or none.
void arrive(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::atomic);
  for_lanes(mask, [&](int lane) {
    const u32 count = in.list[0] == kNone ? 1 : w.at<u32>(in.list[0])[lane];
    const i32 bytes = in.list[1] == kNone ? 0 : w.at<i32>(in.list[1])[lane];
    const u64 state = update_mbarrier(w, in, lane, address[lane], count, bytes, in.list[2] ? count : 0);
    if (in.d != kNone) w.at<u64>(in.d)[lane] = state;
  });
}

// expect_tx and complete_tx; list: {bytes, 1 when they are complete}.
void count_bytes(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::atomic);
  for_lanes(mask, [&](int lane) {
    const i32 bytes = w.at<i32>(in.list[0])[lane];
    update_mbarrier(w, in, lane, address[lane], 0, in.list[1] != 0 ? -bytes : bytes, 0);
  });
}

// b: the state, or the parity of the phase waited for.
template <bool kParity>
void wait(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  observe_mbarrier(w, in, mask, address, in.x, Access::Kind::load);
  u32 complete = 0;
  for_lanes(mask, [&](int lane) {
    const Mbarrier b = Mbarrier::unpack(read_at<u64>(address[lane]));
    if (!b.valid) fault(719, w, in, lane, "an mbarrier that is not initialised");
    const bool waited = kParity ? w.at<u32>(in.b)[lane] & 1 : Mbarrier::unpack(w.at<u64>(in.b)[lane]).phase;
    complete |= static_cast<u32>(b.phase != waited) << lane;
  });
  write_predicate(*w.at<u32>(in.d), complete, mask);
  if (w.launch->watcher != nullptr && complete != 0)
    w.launch->watcher->acquire(w, access_of(complete, address, in.x, Access::Kind::load));
  if (complete == mask) return;
  w.fuel -= 512;
  w.polls += 4;
}

struct PendingCount {
  u32 operator()(u64 state) const { return static_cast<u32>(state >> kPending) & Mbarrier::kMost; }
};

void decode_arrive(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (operands.size() < 2 || operands.size() > 3) d.refuse("wrong number of operands");
  const u32 state = operands[0].kind == Operand::Kind::sink ? kNone : d.destination(operands[0], 8);
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands[1], base, offset);
  const bool expects = inst.has("expect_tx");
  const u32 third = operands.size() > 2 ? d.source(operands[2], 4) : kNone;
  if (expects && third == kNone) d.refuse("wrong number of operands");
  const u32* list =
      d.list({expects ? kNone : third, expects ? third : kNone, inst.has("arrive_drop") ? 1u : 0u});
  Inst& out = d.emit(inst, arrive);
  out.d = state;
  out.a = base;
  out.imm = offset;
  out.list = list;
  out.x = form;
}

void decode_wait(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (operands.size() < 3) d.refuse("wrong number of operands");  // a fourth is the most time to suspend
  const bool parity = inst.has("parity");
  const u32 target = d.destination(operands[0], 0), what = d.source(operands[2], parity ? 4 : 8);
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands[1], base, offset);
  Inst& out = d.emit(inst, parity ? wait<true> : wait<false>);
  out.d = target;
  out.a = base;
  out.b = what;
  out.imm = offset;
  out.x = form;
}

void decode_mbarrier(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (inst.has("arrive") || inst.has("arrive_drop")) return decode_arrive(d, inst);
  if (inst.has("test_wait") || inst.has("try_wait")) return decode_wait(d, inst);
  if (inst.has("pending_count")) {
    const u32 target = d.destination(operands.at(0), 4), state = d.source(operands.at(1), 8);
    Inst& out = d.emit(inst, unary<PendingCount, u32, u64>);
    out.d = target;
    out.a = state;
    return;
  }
  const bool expects = inst.has("expect_tx"), completes = inst.has("complete_tx"), starts = inst.has("init");
  if (!expects && !completes && !starts && !inst.has("inval")) d.refuse("this form is not supported");
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands.at(0), base, offset);
  const u32 count = inst.has("inval") ? kNone : d.source(operands.at(1), 4);
  const u32* list = d.list({count, completes ? 1u : 0u});
  Inst& out = d.emit(inst, starts ? init : expects || completes ? count_bytes : invalidate);
  out.a = base;
  out.b = count;
  out.imm = offset;
  out.list = list;
  out.x = form;
}

}  // namespace

void register_mbarrier(Opcodes& opcodes) { opcodes["mbarrier"] = decode_mbarrier; }

}  // namespace emu
