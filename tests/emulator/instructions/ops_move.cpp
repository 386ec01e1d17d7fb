// Moves, packing, selection and address conversion: PTX ISA 9.0, sections 9.7.9 and 9.7.6.
#include <time.h>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Space;
using ptx::Type;

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};
struct Move {
  template <class T>
  static constexpr Handler handler = unary<Same, T, T>;
};

void move_predicate(Warp& w, const Inst& in, u32 mask) {
  write_predicate(*w.at<u32>(in.d), *w.at<u32>(in.a) ^ in.x, mask);
}

template <class Wide, class Part>
void pack(Warp& w, const Inst& in, u32 mask) {
  constexpr int parts = sizeof(Wide) / sizeof(Part);
  alignas(64) Wide value[kLanes] = {};
  for (int k = 0; k < parts; ++k) {
    const Part* part = w.at<Part>(in.list[k]);
    for (int i = 0; i < kLanes; ++i)
      value[i] |= static_cast<Wide>(part[i]) << (k * static_cast<int>(sizeof(Part)) * 8);
  }
  keep(w.at<Wide>(in.d), value, mask);
}
template <class Wide, class Part>
void unpack(Warp& w, const Inst& in, u32 mask) {
  constexpr int parts = sizeof(Wide) / sizeof(Part);
  const Wide* whole = w.at<Wide>(in.a);
  for (int k = 0; k < parts; ++k) {
    alignas(64) Part value[kLanes];
    for (int i = 0; i < kLanes; ++i)
      value[i] = static_cast<Part>(whole[i] >> (k * static_cast<int>(sizeof(Part)) * 8));
    keep(w.at<Part>(in.list[k]), value, mask);
  }
}

Handler pack_handler(Decoder& d, int size, size_t parts, bool packing) {
  if (size == 4 && parts == 2) return packing ? pack<u32, u16> : unpack<u32, u16>;
  if (size == 8 && parts == 2) return packing ? pack<u64, u32> : unpack<u64, u32>;
  if (size == 8 && parts == 4) return packing ? pack<u64, u16> : unpack<u64, u16>;
  if (size == 16 && parts == 2) return packing ? pack<u128, u64> : unpack<u128, u64>;
  if (size == 16 && parts == 4) return packing ? pack<u128, u32> : unpack<u128, u32>;
  d.refuse("packing of this shape is not supported");
}

void decode_packing(Decoder& d, const Instruction& inst, int size) {
  const bool packing = inst.operands[1].kind == Operand::Kind::vector;
  const Operand& vector = inst.operands[packing ? 1 : 0];
  const size_t parts = vector.parts.size();
  const Handler handler = pack_handler(d, size, parts, packing);
  const int part_size = size / static_cast<int>(parts);
  std::vector<u32> places;
  for (const Operand& part : vector.parts) {
    places.push_back(packing ? d.source(part, part_size) : d.destination(part, part_size));
  }
  const u32 whole = packing ? d.destination(inst.operands[0], size) : d.source(inst.operands[1], size);
  const u32* list = d.list(places);
  Inst& out = d.emit(inst, handler);
  (packing ? out.d : out.a) = whole;
  out.list = list;
}

// The address of a variable in the frame: the same offset in every lane's local memory.
template <class T>
void frame_address(Warp& w, const Inst& in, u32 mask) {
  alignas(64) T value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = static_cast<T>(w.frame->local_base + in.imm);
  keep(w.at<T>(in.d), value, mask);
}

template <class T, int kClock, int kShift = 0>
void read_clock(Warp& w, const Inst& in, u32 mask) {
  timespec now{};
  clock_gettime(kClock == 0 ? CLOCK_MONOTONIC : CLOCK_REALTIME, &now);
  const u64 nanoseconds = static_cast<u64>(now.tv_sec) * 1'000'000'000u + static_cast<u64>(now.tv_nsec);
  const auto ticks = static_cast<T>(nanoseconds >> kShift);
  for_lanes(mask, [&](int lane) { w.at<T>(in.d)[lane] = ticks; });
  w.fuel -= 64;
  ++w.polls;
}

// A cooperative grid's barrier word lies behind the parameters, zero at the start; %envreg1 and 2 hold its
// address' halves (cooperative_groups/details/driver_abi.h).
template <int kShift>
void read_workspace(Warp& w, const Inst& in, u32 mask) {
  const auto end = reinterpret_cast<u64>(w.launch->parameters.data()) + w.launch->parameters.size();
  for_lanes(mask, [&](int lane) { w.at<u32>(in.d)[lane] = static_cast<u32>((end - 8) >> kShift); });
}

bool decode_clock(Decoder& d, const Instruction& inst, int size) {
  const std::string_view name = inst.operands[1].name;
  Handler handler = nullptr;
  if (name == "%clock") handler = read_clock<u32, 0>;
  if (name == "%clock_hi") handler = read_clock<u32, 0, 32>;
  if (name == "%clock64") handler = read_clock<u64, 0>;
  if (name == "%globaltimer_lo") handler = read_clock<u32, 1>;
  if (name == "%globaltimer_hi") handler = read_clock<u32, 1, 32>;
  if (name == "%envreg1") handler = read_workspace<32>;
  if (name == "%envreg2") handler = read_workspace<0>;
  if (name == "%globaltimer") handler = read_clock<u64, 1>;
  if (handler == nullptr) return false;
  const u32 target = d.destination(inst.operands[0], size);
  d.emit(inst, handler).d = target;
  return true;
}

struct Widen {
  u64 operator()(u32 a) const { return a; }
};
struct Narrow {
  u16 operator()(u32 a) const { return static_cast<u16>(a); }
};

// mov.v2 and mov.v4. imm: the number of elements; list: the destinations, then the sources. All are read
// before any is written.
struct MoveVector {
  template <class T>
  static void run(Warp& w, const Inst& in, u32 mask) {
    alignas(64) T value[4][kLanes];
    for (u32 k = 0; k < in.imm; ++k) std::memcpy(value[k], w.at<T>(in.list[in.imm + k]), sizeof value[k]);
    for (u32 k = 0; k < in.imm; ++k) keep(w.at<T>(in.list[k]), value[k], mask);
  }
  template <class T>
  static constexpr Handler handler = run<T>;
};

void decode_vector(Decoder& d, const Instruction& inst, Type type) {
  const auto& operands = d.operands();
  const size_t count = inst.has("v4") ? 4 : 2;
  if (operands[0].parts.size() != count || operands[1].parts.size() != count)
    d.refuse("the vectors and the qualifier do not agree");
  std::vector<u32> places;
  for (const Operand& part : operands[0].parts) places.push_back(d.destination(part, ptx::size_of(type)));
  for (const Operand& part : operands[1].parts) places.push_back(d.source(part, ptx::size_of(type)));
  const u32* list = d.list(places);
  Inst& out = d.emit(inst, bits_handler<MoveVector>(d, type));
  out.list = list;
  out.imm = count;
}

void decode_mov(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (operands.size() != 2) d.refuse("wrong number of operands");
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  if (inst.has("v2") || inst.has("v4")) return decode_vector(d, inst, type);
  if (type == Type::pred) {
    emit_same(d, inst, move_predicate, 1, 0);
    d.code().insts.back().x = operands[1].negated ? kFullMask : 0;
    return;
  }
  const bool packing = operands[1].kind == Operand::Kind::vector || operands[0].kind == Operand::Kind::vector;
  if (packing) return decode_packing(d, inst, size);
  if (operands[1].kind == Operand::Kind::symbol) {
    const std::string_view name = operands[1].name;
    if (decode_clock(d, inst, size)) return;
    if (name[0] == '%') {
      const u32 from = d.source(operands[1], 4);
      const u32 target = d.destination(operands[0], size);
      Inst& out = d.emit(inst, size == 8   ? Handler{unary<Widen, u64, u32>}
                               : size == 2 ? Handler{unary<Narrow, u16, u32>}
                                           : Handler{unary<Same, u32, u32>});
      out.d = target;
      out.a = from;
      return;
    }
    const Decoder::Symbol where = d.symbol(name);
    if (where.in_frame) {
      const u32 target = d.destination(operands[0], size);
      Inst& out = d.emit(inst, size == 8 ? frame_address<u64> : frame_address<u32>);
      out.d = target;
      out.imm = where.address + operands[1].bits;
      return;
    }
  }
  emit_same(d, inst, bits_handler<Move>(d, type), 1, size);
}

struct Choose {
  template <class T>
  static void run(Warp& w, const Inst& in, u32 mask) {
    const T *a = w.at<T>(in.a), *b = w.at<T>(in.b);
    const u32 p = *w.at<u32>(in.c) ^ in.x;
    T* d = w.at<T>(in.d);
    alignas(64) T value[kLanes];
    for (int i = 0; i < kLanes; ++i) value[i] = p >> i & 1 ? a[i] : b[i];
    keep(d, value, mask);
  }
  template <class T>
  static constexpr Handler handler = run<T>;
};

void decode_selp(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  const u32 places[4] = {d.destination(operands.at(0), size), d.source(operands.at(1), size),
                         d.source(operands.at(2), size), d.source(operands.at(3), 0)};
  Inst& out = d.emit(inst, bits_handler<Choose>(d, type));
  out.d = places[0];
  out.a = places[1];
  out.b = places[2];
  out.c = places[3];
  out.x = operands[3].negated ? kFullMask : 0;
}

// Generic addresses are host addresses. Shared and local ones are offsets in the block's and the lane's
// memory.
template <bool kTo>
void convert_shared(Warp& w, const Inst& in, u32 mask) {
  const auto base = reinterpret_cast<u64>(w.shared);
  const u64* a = w.at<u64>(in.a);
  alignas(64) u64 value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = kTo ? a[i] - base : a[i] + base;
  keep(w.at<u64>(in.d), value, mask);
}
template <bool kTo>
void convert_local(Warp& w, const Inst& in, u32 mask) {
  const auto base = reinterpret_cast<u64>(w.local);
  const u64* a = w.at<u64>(in.a);
  alignas(64) u64 value[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const u64 mine = base + static_cast<u64>(i) * w.local_stride;
    value[i] = kTo ? a[i] - mine : a[i] + mine;
  }
  keep(w.at<u64>(in.d), value, mask);
}

template <bool kTo>
void convert_param(Warp& w, const Inst& in, u32 mask) {
  const auto base = reinterpret_cast<u64>(w.launch->parameters.data());
  const u64* a = w.at<u64>(in.a);
  alignas(64) u64 value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = kTo ? a[i] - base : a[i] + base;
  keep(w.at<u64>(in.d), value, mask);
}

void decode_cvta(Decoder& d, const Instruction& inst) {
  const bool to = inst.has("to");
  Handler handler = unary<Same, u64, u64>;
  if (has_space(inst, "shared")) handler = to ? convert_shared<true> : convert_shared<false>;
  if (has_space(inst, "local")) handler = to ? convert_local<true> : convert_local<false>;
  if (has_space(inst, "param")) handler = to ? convert_param<true> : convert_param<false>;
  if (last_type(inst) != Type::u64) d.refuse("only 64-bit addresses are supported");
  const Operand& from = d.operands().at(1);
  if (from.kind == Operand::Kind::symbol && d.symbol(from.name).in_frame)
    d.refuse("the address of a frame variable needs a mov");
  emit_same(d, inst, handler, 1, 8);
}

// x: 0 global, 1 shared, 2 local, 3 const or param
void is_space(Warp& w, const Inst& in, u32 mask) {
  const u64* a = w.at<u64>(in.a);
  const auto shared = reinterpret_cast<u64>(w.shared), local = reinterpret_cast<u64>(w.local);
  u32 bits = 0;
  for (int i = 0; i < kLanes; ++i) {
    const bool in_shared = a[i] - shared < 256 << 10;
    const bool in_local = a[i] - local < w.local_stride * kLanes;
    const bool holds = in.x == 1   ? in_shared
                       : in.x == 2 ? in_local
                       : in.x == 0 ? !in_shared && !in_local
                                   : false;
    bits |= static_cast<u32>(holds) << i;
  }
  write_predicate(*w.at<u32>(in.d), bits, mask);
}

void decode_isspacep(Decoder& d, const Instruction& inst) {
  const u32 target = d.destination(d.operands().at(0), 0), address = d.source(d.operands().at(1), 8);
  Inst& out = d.emit(inst, is_space);
  out.d = target;
  out.a = address;
  out.x = has_space(inst, "global") ? 0 : has_space(inst, "shared") ? 1 : has_space(inst, "local") ? 2 : 3;
}

// Cache policies are hints; the value only has to be something.
void decode_createpolicy(Decoder& d, const Instruction& inst) {
  const u32 target = d.destination(d.operands().at(0), 8), zero = d.constant(0, 8);
  Inst& out = d.emit(inst, unary<Same, u64, u64>);
  out.d = target;
  out.a = zero;
}

}  // namespace

void register_move(Opcodes& opcodes) {
  opcodes["mov"] = decode_mov;
  opcodes["selp"] = decode_selp;
  opcodes["cvta"] = decode_cvta;
  opcodes["isspacep"] = decode_isspacep;
  opcodes["createpolicy"] = decode_createpolicy;
}

}  // namespace emu
