// Logic, shifts and bit manipulation: PTX ISA 9.0, sections 9.7.1 and 9.7.8.
#include <algorithm>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct Cnot {
  template <class T>
  T operator()(T a) const {
    return a == 0;
  }
};
struct Shl {
  template <class T>
  T operator()(T a, u32 n) const {
    return n < sizeof(T) * 8 ? static_cast<T>(a << (n % (sizeof(T) * 8))) : T{0};
  }
};
struct Shr {
  template <class T>
  T operator()(T a, u32 n) const {
    constexpr u32 bits = sizeof(T) * 8;
    if constexpr (std::is_signed_v<T>) return static_cast<T>(a >> std::min(n, bits - 1));
    return n < bits ? static_cast<T>(a >> (n % bits)) : T{0};
  }
};
struct Popc {
  u32 operator()(u32 a) const { return static_cast<u32>(std::popcount(a)); }
  u32 operator()(u64 a) const { return static_cast<u32>(std::popcount(a)); }
};
struct Clz {
  u32 operator()(u32 a) const { return static_cast<u32>(std::countl_zero(a)); }
  u32 operator()(u64 a) const { return static_cast<u32>(std::countl_zero(a)); }
};
struct Brev {
  template <class T>
  T operator()(T a) const {
    T out = 0;
    for (size_t i = 0; i < sizeof(T) * 8; ++i) out = static_cast<T>(out << 1 | (a >> i & 1));
    return out;
  }
};
template <bool kShift>
struct Bfind {
  template <class T>
  u32 operator()(T a) const {
    using U = std::make_unsigned_t<T>;
    U bits = static_cast<U>(a);
    if (a < 0) bits = static_cast<U>(~bits);
    if (bits == 0) return kNone;
    const u32 zeros = static_cast<u32>(std::countl_zero(bits));
    return kShift ? zeros : static_cast<u32>(sizeof(T) * 8) - 1 - zeros;
  }
};
struct Bfe {
  template <class T>
  T operator()(T a, u32 b, u32 c) const {
    using U = std::make_unsigned_t<T>;
    constexpr u32 bits = sizeof(T) * 8;
    const u32 at = b & 0xff, length = c & 0xff;
    const U sign =
        std::is_signed_v<T> && length != 0 ? static_cast<U>(a) >> std::min(at + length - 1, bits - 1) & 1 : 0;
    const U fill = static_cast<U>(0 - sign);
    const U field = at < bits ? static_cast<U>(static_cast<U>(a) >> at) : fill;
    const u32 have = at < bits ? std::min(length, bits - at) : 0;
    if (length == 0) return 0;
    if (have >= bits) return static_cast<T>(field);
    const U mask = static_cast<U>((U{1} << have) - 1);
    return static_cast<T>((field & mask) | (fill & static_cast<U>(~mask)));
  }
};
struct Bfi {
  template <class T>
  T operator()(T a, T b, u32 c, u32 d) const {
    constexpr u32 bits = sizeof(T) * 8;
    const u32 at = c & 0xff, length = std::min(d & 0xff, bits);
    if (at >= bits || length == 0) return b;
    const T ones = length >= bits ? static_cast<T>(~T{0}) : static_cast<T>((T{1} << length) - 1);
    const T mask = static_cast<T>(ones << at);
    return static_cast<T>((b & ~mask) | (static_cast<T>(a << at) & mask));
  }
};
template <bool kClamp>
struct Bmsk {
  u32 operator()(u32 a, u32 b) const {
    const u32 at = kClamp ? std::min(a, 32u) : a & 31, width = kClamp ? std::min(b, 32u) : b & 31;
    return static_cast<u32>(((u64{1} << width) - 1) << at);
  }
};
template <bool kClamp>
struct Szext {
  template <class T>
  T operator()(T a, u32 b) const {
    const u32 width = kClamp ? std::min(b, 32u) : b & 31;
    if (width == 0) return 0;
    return static_cast<T>(static_cast<T>(static_cast<u32>(a) << (32 - width)) >> (32 - width));
  }
};
// The n-th set bit from a base, upwards for positive n.
struct Fns {
  u32 operator()(u32 mask, u32 base, i32 n) const {
    if (n == 0) return base < 32 && (mask >> base & 1) ? base : kNone;
    const int step = n > 0 ? 1 : -1;
    int left = n > 0 ? n : -n;
    for (int at = static_cast<int>(base); at >= 0 && at < 32; at += step) {
      if ((mask >> at & 1) && --left == 0) return static_cast<u32>(at);
    }
    return kNone;
  }
};
template <bool kLeft, bool kClamp>
struct Funnel {
  u32 operator()(u32 a, u32 b, u32 c) const {
    const u32 n = kClamp ? std::min(c, 32u) : c & 31;
    const u64 both = u64{b} << 32 | a;
    return kLeft ? static_cast<u32>(both << n >> 32) : static_cast<u32>(both >> n);
  }
};
u32 select_byte(u64 bytes, u32 which) {
  const u32 byte = static_cast<u32>(bytes >> 8 * (which & 7)) & 0xff;
  return which & 8 ? (byte & 0x80 ? 0xff : 0) : byte;
}
struct Prmt {
  u32 operator()(u32 a, u32 b, u32 c) const {
    const u64 bytes = u64{b} << 32 | a;
    u32 out = 0;
    for (int i = 0; i < 4; ++i) out |= select_byte(bytes, c >> 4 * i & 0xf) << 8 * i;
    return out;
  }
};
// The modes turn the two low bits of c into a selector: f4e, b4e, rc8, ecl, ecr, rc16.
template <int kMode>
struct PrmtMode {
  u32 operator()(u32 a, u32 b, u32 c) const {
    static constexpr u32 selectors[6][4] = {
        {0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123}, {0x0000, 0x1111, 0x2222, 0x3333},
        {0x3210, 0x3211, 0x3222, 0x3333}, {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
    return Prmt{}(a, b, selectors[kMode][c & 3]);
  }
};

// Any function of three bits, by its truth table in in.x; in.imm: 0 or what the predicate output combines.
void lop3(Warp& w, const Inst& in, u32 mask) {
  const u32 *a = w.at<u32>(in.a), *b = w.at<u32>(in.b), *c = w.at<u32>(in.c);
  alignas(64) u32 value[kLanes] = {};
  for (u32 row = 0; row < 8; ++row) {
    if (!(in.x >> row & 1)) continue;
    const u32 na = row & 4 ? 0 : kFullMask, nb = row & 2 ? 0 : kFullMask, nc = row & 1 ? 0 : kFullMask;
    for (int i = 0; i < kLanes; ++i) value[i] |= (a[i] ^ na) & (b[i] ^ nb) & (c[i] ^ nc);
  }
  keep(w.at<u32>(in.d), value, mask);
  if (in.imm == 0) return;
  u32 bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<u32>(value[i] != 0) << i;
  const u32 q = *w.at<u32>(in.list[1]);
  write_predicate(*w.at<u32>(in.list[0]), in.imm == 1 ? bits | q : bits & q, mask);
}

template <class Op>
struct Two {
  template <class T>
  static constexpr Handler handler = binary<Op, T, T, T>;
};
template <class Op>
struct One {
  template <class T>
  static constexpr Handler handler = unary<Op, T, T>;
};
template <class Op>
struct Shift {
  template <class T>
  static constexpr Handler handler = binary<Op, T, T, u32>;
};
struct Extract {
  template <class T>
  static constexpr Handler handler = ternary<Bfe, T, T, u32, u32>;
};
template <bool kShift>
struct Find {
  template <class T>
  static constexpr Handler handler = unary<Bfind<kShift>, u32, T>;
};

template <class Op>
void predicate_logic(Warp& w, const Inst& in, u32 mask) {
  const u32 a = *w.at<u32>(in.a) ^ (in.x & 1 ? kFullMask : 0),
            b = *w.at<u32>(in.b) ^ (in.x & 2 ? kFullMask : 0);
  write_predicate(*w.at<u32>(in.d), Op{}(a, b), mask);
}

template <class Op>
void decode_logic(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  if (type == Type::pred) {
    emit_same(d, inst, predicate_logic<Op>, 2, 0);
    Inst& out = d.code().insts.back();
    out.x = (d.operands()[1].negated ? 1u : 0u) | (d.operands()[2].negated ? 2u : 0u);
    return;
  }
  emit_same(d, inst, bits_handler<Two<Op>>(d, type), 2, ptx::size_of(type));
}

void predicate_not(Warp& w, const Inst& in, u32 mask) {
  write_predicate(*w.at<u32>(in.d), ~*w.at<u32>(in.a), mask);
}

template <class Op>
void decode_not(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  if (type == Type::pred) return emit_same(d, inst, predicate_not, 1, 0);
  emit_same(d, inst, bits_handler<One<Op>>(d, type), 1, ptx::size_of(type));
}

// Operands of several sizes: d, then each source's size.
void emit_sizes(Decoder& d, const Instruction& inst, Handler handler, std::initializer_list<int> sizes) {
  const auto& operands = d.operands();
  if (operands.size() != sizes.size()) d.refuse("wrong number of operands");
  const int* size = sizes.begin();
  u32 places[5] = {kNone, kNone, kNone, kNone, kNone};
  places[0] = d.destination(operands[0], size[0]);
  for (size_t i = 1; i < operands.size(); ++i) places[i] = d.source(operands[i], size[i]);
  Inst& out = d.emit(inst, handler);
  out.d = places[0];
  out.a = places[1];
  out.b = places[2];
  out.c = places[3];
  if (operands.size() > 4) out.list = d.list({places[4]});
}

void decode_shl(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  emit_sizes(d, inst, bits_handler<Shift<Shl>>(d, type), {size, size, 4});
}
void decode_shr(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  const bool is_signed = type == Type::s16 || type == Type::s32 || type == Type::s64;
  emit_sizes(d, inst, is_signed ? signed_handler<Shift<Shr>>(d, type) : bits_handler<Shift<Shr>>(d, type),
             {size, size, 4});
}
void decode_shf(Decoder& d, const Instruction& inst) {
  const bool left = inst.has("l"), clamp = inst.has("clamp");
  using F = Handler;
  const F handler = left ? (clamp ? F{ternary<Funnel<true, true>, u32, u32, u32, u32>}
                                  : F{ternary<Funnel<true, false>, u32, u32, u32, u32>})
                         : (clamp ? F{ternary<Funnel<false, true>, u32, u32, u32, u32>}
                                  : F{ternary<Funnel<false, false>, u32, u32, u32, u32>});
  emit_same(d, inst, handler, 3, 4);
}
template <class Op>
void decode_count(Decoder& d, const Instruction& inst) {
  const int size = ptx::size_of(last_type(inst));
  emit_sizes(d, inst, size == 8 ? Handler{unary<Op, u32, u64>} : Handler{unary<Op, u32, u32>}, {4, size});
}
void decode_bfind(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  const Handler handler =
      inst.has("shiftamt") ? integer_handler<Find<true>>(d, type) : integer_handler<Find<false>>(d, type);
  emit_sizes(d, inst, handler, {4, ptx::size_of(type)});
}
void decode_bfe(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  emit_sizes(d, inst, integer_handler<Extract>(d, type), {size, size, 4, 4});
}
void decode_bfi(Decoder& d, const Instruction& inst) {
  const int size = ptx::size_of(last_type(inst));
  const Handler handler = size == 8 ? Handler{quaternary<Bfi, u64, u64, u64, u32, u32>}
                                    : Handler{quaternary<Bfi, u32, u32, u32, u32, u32>};
  emit_sizes(d, inst, handler, {size, size, size, 4, 4});
}
void decode_fns(Decoder& d, const Instruction& inst) {
  emit_same(d, inst, ternary<Fns, u32, u32, u32, i32>, 3, 4);
}
void decode_bmsk(Decoder& d, const Instruction& inst) {
  emit_same(d, inst,
            inst.has("clamp") ? Handler{binary<Bmsk<true>, u32, u32, u32>}
                              : Handler{binary<Bmsk<false>, u32, u32, u32>},
            2, 4);
}
void decode_szext(Decoder& d, const Instruction& inst) {
  const bool clamp = inst.has("clamp");
  const Handler handler = last_type(inst) == Type::s32
                              ? (clamp ? Handler{binary<Szext<true>, i32, i32, u32>}
                                       : Handler{binary<Szext<false>, i32, i32, u32>})
                              : (clamp ? Handler{binary<Szext<true>, u32, u32, u32>}
                                       : Handler{binary<Szext<false>, u32, u32, u32>});
  emit_same(d, inst, handler, 2, 4);
}

void decode_prmt(Decoder& d, const Instruction& inst) {
  static constexpr std::string_view names[] = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  static constexpr Handler handlers[] = {
      ternary<PrmtMode<0>, u32, u32, u32, u32>, ternary<PrmtMode<1>, u32, u32, u32, u32>,
      ternary<PrmtMode<2>, u32, u32, u32, u32>, ternary<PrmtMode<3>, u32, u32, u32, u32>,
      ternary<PrmtMode<4>, u32, u32, u32, u32>, ternary<PrmtMode<5>, u32, u32, u32, u32>};
  Handler handler = ternary<Prmt, u32, u32, u32, u32>;
  for (int i = 0; i < 6; ++i) {
    if (inst.has(names[i])) handler = handlers[i];
  }
  emit_same(d, inst, handler, 3, 4);
}

void decode_lop3(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const bool predicated = inst.has("or") || inst.has("and");
  if (operands.size() != (predicated ? 6u : 5u)) d.refuse("wrong number of operands");
  const ptx::Operand& target = predicated ? operands[0].parts.at(0) : operands[0];
  const u32 places[4] = {d.destination(target, 4), d.source(operands[1], 4), d.source(operands[2], 4),
                         d.source(operands[3], 4)};
  const u32* list = nullptr;
  if (predicated) list = d.list({d.destination(operands[0].parts.at(1), 0), d.source(operands[5], 0)});
  Inst& out = d.emit(inst, lop3);
  out.d = places[0];
  out.a = places[1];
  out.b = places[2];
  out.c = places[3];
  out.list = list;
  out.x = static_cast<u32>(operands[4].bits & 0xff);
  out.imm = predicated ? (inst.has("or") ? 1 : 2) : 0;
}

}  // namespace

void register_bits(Opcodes& opcodes) {
  opcodes["and"] = decode_logic<And>;
  opcodes["or"] = decode_logic<Or>;
  opcodes["xor"] = decode_logic<Xor>;
  opcodes["not"] = decode_not<Not>;
  opcodes["cnot"] = decode_not<Cnot>;
  opcodes["shl"] = decode_shl;
  opcodes["shr"] = decode_shr;
  opcodes["shf"] = decode_shf;
  opcodes["lop3"] = decode_lop3;
  opcodes["prmt"] = decode_prmt;
  opcodes["popc"] = decode_count<Popc>;
  opcodes["clz"] = decode_count<Clz>;
  opcodes["brev"] = decode_not<Brev>;
  opcodes["bfind"] = decode_bfind;
  opcodes["bfe"] = decode_bfe;
  opcodes["bfi"] = decode_bfi;
  opcodes["fns"] = decode_fns;
  opcodes["bmsk"] = decode_bmsk;
  opcodes["szext"] = decode_szext;
}

}  // namespace emu
