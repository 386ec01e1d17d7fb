// Loads and stores: PTX ISA 9.0, section 9.7.9. Caching and eviction hints change nothing here.
#include "instructions/access.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

// x: the form, and from bit 8 the registers per lane.
u32 count_of(const Inst& in) { return in.x >> 8; }

Access access_of(const Inst& in, u32 mask, const u64* address, u32 element, u32 register_bytes,
                 Access::Kind kind) {
  Access access;
  access.kind = kind;
  access.space = space_of(in.x);
  access.mask = mask;
  access.address = address;
  // The checks know elements of at most 8 bytes: a 128-bit register is two of them (decode_access lists it
  // twice).
  const u32 halves = element == 16 ? 2 : 1;
  access.count = count_of(in) * halves;
  access.bytes = element * count_of(in);
  access.places = halves == 1 ? in.list : in.list + count_of(in);
  access.register_bytes = register_bytes;
  access.strong = (in.x & kPoll) != 0;
  access.release = (in.x & kRelease) != 0;
  access.block_scope = (in.x & kBlockScope) != 0;
  return access;
}

// Registers of type D from memory of type M.
template <class M, class D, u32 kCount>
void load_contiguous(Warp& w, const Inst& in, const u64* address) {
  M buffer[kLanes * kCount];
  std::memcpy(buffer, reinterpret_cast<const void*>(address[0]), sizeof buffer);
  for (u32 k = 0; k < kCount; ++k) {
    D* d = w.at<D>(in.list[k]);
    for (u32 i = 0; i < kLanes; ++i) d[i] = static_cast<D>(buffer[i * kCount + k]);
  }
}

/// Copies what one lane moves at once, as GPUs do with aligned vectors: cub keeps a flag and its value in
/// one.
template <u32 kBytes>
void move_whole(void* to, const void* from) {
  if constexpr (kBytes == 16) {
    _mm_storeu_si128(static_cast<__m128i*>(to), _mm_loadu_si128(static_cast<const __m128i*>(from)));
  } else if constexpr (kBytes == 8) {
    *static_cast<volatile u64*>(to) = *static_cast<const volatile u64*>(from);
  } else {
    std::memcpy(to, from, kBytes);
  }
}

template <class M, class D, u32 kCount>
void load_vectors(Warp& w, const Inst& in, u32 mask, const u64* address) {
  if (mask == kFullMask && contiguous(address, sizeof(M) * kCount)) {
    return load_contiguous<M, D, kCount>(w, in, address);
  }
  alignas(64) M buffer[kLanes][kCount];
  for_lanes(mask, [&](int i) {
    move_whole<sizeof(M) * kCount>(buffer[i], reinterpret_cast<const void*>(address[i]));
  });
  for (u32 k = 0; k < kCount; ++k) {
    D* d = w.at<D>(in.list[k]);
    for_lanes(mask, [&](int i) { d[i] = static_cast<D>(buffer[i][k]); });
  }
}

template <class M, class D>
void load_lanes(Warp& w, const Inst& in, u32 mask, const u64* address) {
  const u32 count = count_of(in);
  if (count == 2) return load_vectors<M, D, 2>(w, in, mask, address);
  if (count == 4) return load_vectors<M, D, 4>(w, in, mask, address);
  if (count == 8) return load_vectors<M, D, 8>(w, in, mask, address);
  if (sizeof(M) == 16 || (mask == kFullMask && contiguous(address, sizeof(M)))) {
    return load_vectors<M, D, 1>(w, in, mask, address);
  }
  D* d = w.at<D>(in.list[0]);
  if (mask == kFullMask) {
    for (int i = 0; i < kLanes; ++i) d[i] = static_cast<D>(read_at<M>(address[i]));
  } else {
    for_lanes(mask, [&](int i) { d[i] = static_cast<D>(read_at<M>(address[i])); });
  }
}

template <class M, class D>
void load(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  Watcher* const watcher = w.launch->watcher;
  if (watcher != nullptr)
    watcher->access(w, in, access_of(in, mask, address, sizeof(M), sizeof(D), Access::Kind::load));
  load_lanes<M, D>(w, in, mask, address);
  if ((in.x & kPoll) == 0) return;
  w.fuel -= 64;
  ++w.polls;
  if (watcher != nullptr)
    watcher->acquire(w, access_of(in, mask, address, sizeof(M), sizeof(D), Access::Kind::load));
}

template <class M, class S, u32 kCount>
void store_contiguous(Warp& w, const Inst& in, const u64* address) {
  M buffer[kLanes * kCount];
  for (u32 k = 0; k < kCount; ++k) {
    const S* s = w.at<S>(in.list[k]);
    for (u32 i = 0; i < kLanes; ++i) buffer[i * kCount + k] = static_cast<M>(s[i]);
  }
  std::memcpy(reinterpret_cast<void*>(address[0]), buffer, sizeof buffer);
}

template <class M, class S, u32 kCount>
void store_vectors(Warp& w, const Inst& in, u32 mask, const u64* address) {
  if (mask == kFullMask && contiguous(address, sizeof(M) * kCount)) {
    return store_contiguous<M, S, kCount>(w, in, address);
  }
  alignas(64) M buffer[kLanes][kCount];
  for (u32 k = 0; k < kCount; ++k) {
    const S* s = w.at<S>(in.list[k]);
    for_lanes(mask, [&](int i) { buffer[i][k] = static_cast<M>(s[i]); });
  }
  for_lanes(mask,
            [&](int i) { move_whole<sizeof(M) * kCount>(reinterpret_cast<void*>(address[i]), buffer[i]); });
}

template <class M, class S>
void store(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  Watcher* const watcher = w.launch->watcher;
  if (watcher != nullptr)
    watcher->access(w, in, access_of(in, mask, address, sizeof(M), sizeof(S), Access::Kind::store));
  ++w.changes;
  switch (count_of(in)) {
    case 1:
      return store_vectors<M, S, 1>(w, in, mask, address);
    case 2:
      return store_vectors<M, S, 2>(w, in, mask, address);
    case 4:
      return store_vectors<M, S, 4>(w, in, mask, address);
    default:
      return store_vectors<M, S, 8>(w, in, mask, address);
  }
}

template <class M>
Handler load_handler(Decoder& d, int register_size) {
  switch (register_size) {
    case 2:
      if constexpr (sizeof(M) <= 2) return load<M, u16>;
      break;
    case 4:
      if constexpr (sizeof(M) <= 4) return load<M, u32>;
      break;
    case 8:
      if constexpr (sizeof(M) <= 8) return load<M, u64>;
      break;
    case 16:
      if constexpr (sizeof(M) == 16) return load<M, u128>;
      break;
    default:
      break;
  }
  d.refuse("the register is too narrow");
}

template <class M>
Handler store_handler(Decoder& d, int register_size) {
  switch (register_size) {
    case 2:
      if constexpr (sizeof(M) <= 2) return store<M, u16>;
      break;
    case 4:
      if constexpr (sizeof(M) <= 4) return store<M, u32>;
      break;
    case 8:
      if constexpr (sizeof(M) <= 8) return store<M, u64>;
      break;
    case 16:
      if constexpr (sizeof(M) == 16) return store<M, u128>;
      break;
    default:
      break;
  }
  d.refuse("the register is too narrow");
}

Handler handler_for(Decoder& d, Type type, int register_size, bool loads) {
  switch (type) {
    case Type::s8:
      return loads ? load_handler<i8>(d, register_size) : store_handler<u8>(d, register_size);
    case Type::s16:
      return loads ? load_handler<i16>(d, register_size) : store_handler<u16>(d, register_size);
    case Type::s32:
      return loads ? load_handler<i32>(d, register_size) : store_handler<u32>(d, register_size);
    default:
      break;
  }
  switch (ptx::size_of(type)) {
    case 1:
      return loads ? load_handler<u8>(d, register_size) : store_handler<u8>(d, register_size);
    case 2:
      return loads ? load_handler<u16>(d, register_size) : store_handler<u16>(d, register_size);
    case 4:
      return loads ? load_handler<u32>(d, register_size) : store_handler<u32>(d, register_size);
    case 8:
      return loads ? load_handler<u64>(d, register_size) : store_handler<u64>(d, register_size);
    case 16:
      return loads ? load_handler<u128>(d, register_size) : store_handler<u128>(d, register_size);
    default:
      d.refuse("this type is not supported");
  }
}

bool is_strong(const Instruction& inst) {
  return inst.has("volatile") || inst.has("acquire") || inst.has("relaxed") || inst.has("release") ||
         inst.has("mmio");
}

void decode_access(Decoder& d, const Instruction& inst, bool loads) {
  const auto& operands = d.operands();
  if (operands.size() < 2) d.refuse("wrong number of operands");
  const Operand& where = operands[loads ? 0 + 1 : 0];
  const Operand& data = operands[loads ? 0 : 1];
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  const std::vector<Operand> single{data};
  const std::vector<Operand>& parts = data.kind == Operand::Kind::vector ? data.parts : single;
  const bool vector = inst.has("v2") || inst.has("v4") || inst.has("v8");
  const size_t wanted = inst.has("v8") ? 8 : inst.has("v4") ? 4 : inst.has("v2") ? 2 : 1;
  if (vector != (data.kind == Operand::Kind::vector) || parts.size() != wanted)
    d.refuse("the vector and the qualifier do not agree");
  int register_size = size < 2 ? 2 : size;
  for (const Operand& part : parts) {
    if (part.kind == Operand::Kind::reg) register_size = std::max(register_size, d.register_size(part));
  }
  std::vector<u32> places;
  for (const Operand& part : parts) {
    places.push_back(loads ? d.destination(part, register_size) : d.source(part, register_size));
  }
  u32 base;
  u64 offset;
  u32 form = decode_address(d, inst, where, base, offset);
  if (is_strong(inst)) form |= kPoll | order_form(inst);
  const auto count = static_cast<u32>(places.size());
  for (size_t i = 0; size == 16 && i < count; ++i) places.insert(places.end(), 2, places[i]);
  const u32* list = d.list(places);
  Inst& out = d.emit(inst, handler_for(d, type, register_size, loads));
  out.a = base;
  out.imm = offset;
  out.list = list;
  out.x = form | count << 8;
}

void decode_ld(Decoder& d, const Instruction& inst) { decode_access(d, inst, true); }
void decode_st(Decoder& d, const Instruction& inst) { decode_access(d, inst, false); }

}  // namespace

void register_memory(Opcodes& opcodes) {
  opcodes["ld"] = opcodes["ldu"] = decode_ld;
  opcodes["st"] = decode_st;
}

}  // namespace emu
