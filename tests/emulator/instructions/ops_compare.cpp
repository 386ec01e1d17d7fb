// Comparison: PTX ISA 9.0, section 9.7.5 (setp, set, slct) and testp.
#include "engine/lanes.h"
#include "instructions/half.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

enum class Compare : u8 { eq, ne, lt, le, gt, ge, equ, neu, ltu, leu, gtu, geu, num, nan };

template <Compare kCompare>
struct Holds {
  template <class T>
  bool operator()(T a, T b) const {
    if constexpr (kCompare == Compare::eq) return a == b;
    if constexpr (kCompare == Compare::ne) return a < b || b < a;
    if constexpr (kCompare == Compare::lt) return a < b;
    if constexpr (kCompare == Compare::le) return a <= b;
    if constexpr (kCompare == Compare::gt) return a > b;
    if constexpr (kCompare == Compare::ge) return a >= b;
    if constexpr (kCompare == Compare::equ) return !(a < b || b < a);
    if constexpr (kCompare == Compare::neu) return !(a == b);
    if constexpr (kCompare == Compare::ltu) return !(a >= b);
    if constexpr (kCompare == Compare::leu) return !(a > b);
    if constexpr (kCompare == Compare::gtu) return !(a <= b);
    if constexpr (kCompare == Compare::geu) return !(a < b);
    if constexpr (kCompare == Compare::num) return a == a && b == b;
    if constexpr (kCompare == Compare::nan) return a != a || b != b;
  }
};

using Bits = u32 (*)(Warp&, u32 a, u32 b);

template <Compare kCompare, class T>
u32 compare_bits(Warp& w, u32 a, u32 b) {
  return lane_bits<Holds<kCompare>>(w.at<T>(a), w.at<T>(b));
}
// 16-bit floats are compared as the f32 that they are.
template <Compare kCompare, class Format>
u32 compare_half(Warp& w, u32 a, u32 b) {
  alignas(64) float wide_a[kLanes], wide_b[kLanes];
  widen<Format>(w.at<u16>(a), wide_a);
  widen<Format>(w.at<u16>(b), wide_b);
  return lane_bits<Holds<kCompare>>(wide_a, wide_b);
}
template <Compare kCompare>
u32 compare_flushed(Warp& w, u32 a, u32 b) {
  const FloatMode scope(kFlush);
  return compare_bits<kCompare, float>(w, a, b);
}

template <Compare kCompare>
Bits bits_for(Decoder& d, Type type, bool flush) {
  switch (type) {
    case Type::u16:
    case Type::b16:
      return compare_bits<kCompare, u16>;
    case Type::s16:
      return compare_bits<kCompare, i16>;
    case Type::u32:
    case Type::b32:
      return compare_bits<kCompare, u32>;
    case Type::s32:
      return compare_bits<kCompare, i32>;
    case Type::u64:
    case Type::b64:
      return compare_bits<kCompare, u64>;
    case Type::s64:
      return compare_bits<kCompare, i64>;
    case Type::f32:
      return flush ? compare_flushed<kCompare> : compare_bits<kCompare, float>;
    case Type::f64:
      return compare_bits<kCompare, double>;
    case Type::f16:
      return compare_half<kCompare, F16>;
    case Type::bf16:
      return compare_half<kCompare, BF16>;
    default:
      d.refuse("this type is not supported");
  }
}

Bits find_bits(Decoder& d, const Instruction& inst, Type type) {
  const std::string_view op = inst.words.at(1);
  const bool flush = inst.has("ftz");
  const bool is_unsigned = type == Type::u16 || type == Type::u32 || type == Type::u64;
  if (op == "eq") return bits_for<Compare::eq>(d, type, flush);
  if (op == "ne") return bits_for<Compare::ne>(d, type, flush);
  if (op == "lt" || (op == "lo" && is_unsigned)) return bits_for<Compare::lt>(d, type, flush);
  if (op == "le" || (op == "ls" && is_unsigned)) return bits_for<Compare::le>(d, type, flush);
  if (op == "gt" || (op == "hi" && is_unsigned)) return bits_for<Compare::gt>(d, type, flush);
  if (op == "ge" || (op == "hs" && is_unsigned)) return bits_for<Compare::ge>(d, type, flush);
  if (op == "equ") return bits_for<Compare::equ>(d, type, flush);
  if (op == "neu") return bits_for<Compare::neu>(d, type, flush);
  if (op == "ltu") return bits_for<Compare::ltu>(d, type, flush);
  if (op == "leu") return bits_for<Compare::leu>(d, type, flush);
  if (op == "gtu") return bits_for<Compare::gtu>(d, type, flush);
  if (op == "geu") return bits_for<Compare::geu>(d, type, flush);
  if (op == "num") return bits_for<Compare::num>(d, type, flush);
  if (op == "nan") return bits_for<Compare::nan>(d, type, flush);
  d.refuse("no comparison " + std::string(op));
}

// How the comparison and a predicate combine.
enum Combine : u32 { kAlone, kAnd, kOr, kXor };
u32 combine(u32 how, u32 bits, u32 other) {
  switch (how) {
    case kAnd:
      return bits & other;
    case kOr:
      return bits | other;
    case kXor:
      return bits ^ other;
    default:
      return bits;
  }
}
u32 combine_of(const Instruction& inst) {
  return inst.has("and") ? kAnd : inst.has("or") ? kOr : inst.has("xor") ? kXor : kAlone;
}

u32 combined(Warp& w, const Inst& in, u32 bits) {
  if (in.x == kAlone) return bits;
  return combine(in.x & 3, bits, *w.at<u32>(in.c) ^ (in.x & 4 ? kFullMask : 0));
}

// list: the second destination, or nothing; link: the comparison.
void setp(Warp& w, const Inst& in, u32 mask) {
  const u32 bits = reinterpret_cast<Bits>(in.imm)(w, in.a, in.b);
  const u32 first = combined(w, in, bits), second = combined(w, in, ~bits);
  write_predicate(*w.at<u32>(in.d), first, mask);
  if (in.list != nullptr) write_predicate(*w.at<u32>(in.list[0]), second, mask);
}

// Two comparisons of packed halves: p|q.
template <class Format>
void setp_pair(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u16 a[2][kLanes], b[2][kLanes];
  const u32 *packed_a = w.at<u32>(in.a), *packed_b = w.at<u32>(in.b);
  for (int i = 0; i < kLanes; ++i) {
    a[0][i] = static_cast<u16>(packed_a[i]);
    a[1][i] = static_cast<u16>(packed_a[i] >> 16);
    b[0][i] = static_cast<u16>(packed_b[i]);
    b[1][i] = static_cast<u16>(packed_b[i] >> 16);
  }
  // The comparison reads through a register file; lend it one.
  u8* saved = w.base[kRegisters];
  u32 bits[2];
  for (int k = 0; k < 2; ++k) {
    w.base[kRegisters] = reinterpret_cast<u8*>(a[k]);
    const auto distance = static_cast<u32>(reinterpret_cast<u8*>(b[k]) - reinterpret_cast<u8*>(a[k]));
    bits[k] = reinterpret_cast<Bits>(in.imm)(w, place(kRegisters, 0), place(kRegisters, distance));
  }
  w.base[kRegisters] = saved;
  write_predicate(*w.at<u32>(in.d), combined(w, in, bits[0]), mask);
  write_predicate(*w.at<u32>(in.list[0]), combined(w, in, bits[1]), mask);
}

template <class T, bool kFloat>
void set(Warp& w, const Inst& in, u32 mask) {
  const u32 bits = combined(w, in, reinterpret_cast<Bits>(in.imm)(w, in.a, in.b));
  constexpr T yes = static_cast<T>(kFloat ? (sizeof(T) == 2 ? 0x3c00u : 0x3f800000u) : ~0u);
  T* d = w.at<T>(in.d);
  const T held = in.list == nullptr ? yes : T{0x3f80};
  for_lanes(mask, [&](int lane) { d[lane] = bits >> lane & 1 ? held : T{0}; });
}

void decode_setp(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const Type type = last_type(inst);
  const bool pair = type == Type::f16x2 || type == Type::bf16x2;
  const Type element = type == Type::f16x2 ? Type::f16 : type == Type::bf16x2 ? Type::bf16 : type;
  const int size = ptx::size_of(type);
  const Operand& target = operands.at(0);
  const bool two = target.kind == Operand::Kind::pair;
  const u32 first = d.destination(two ? target.parts[0] : target, 0);
  const u32* second = two ? d.list({d.destination(target.parts[1], 0)}) : nullptr;
  if (pair && !two) d.refuse("a packed comparison needs two predicates");
  const u32 a = d.source(operands.at(1), size), b = d.source(operands.at(2), size);
  const u32 how = combine_of(inst);
  const u32 other = how == kAlone ? kNone : d.source(operands.at(3), 0);
  const Bits bits = find_bits(d, inst, element);
  Inst& out = d.emit(inst, !pair ? setp : type == Type::f16x2 ? setp_pair<F16> : setp_pair<BF16>);
  out.d = first;
  out.list = second;
  out.a = a;
  out.b = b;
  out.c = other;
  out.x = how | (how != kAlone && operands[3].negated ? 4u : 0u);
  out.imm = reinterpret_cast<u64>(bits);
}

// set.cmp.f16x2.f16x2: 1.0 in each half where it holds; set.cmp.u32.f16x2: all ones in 16 bits each.
void set_pair(Warp& w, const Inst& in, u32 mask) {
  const u32 yes = in.x;
  u32* d = w.at<u32>(in.d);
  const u32 *a = w.at<u32>(in.a), *b = w.at<u32>(in.b);
  alignas(64) u16 half[2][2][kLanes];
  for (int i = 0; i < kLanes; ++i) {
    for (int k = 0; k < 2; ++k) {
      half[0][k][i] = static_cast<u16>(a[i] >> 16 * k);
      half[1][k][i] = static_cast<u16>(b[i] >> 16 * k);
    }
  }
  u8* saved = w.base[kRegisters];
  u32 bits[2];
  for (u32 k = 0; k < 2; ++k) {
    w.base[kRegisters] = reinterpret_cast<u8*>(half);
    bits[k] = reinterpret_cast<Bits>(in.imm)(w, place(kRegisters, 64 * k), place(kRegisters, 128 + 64 * k));
  }
  w.base[kRegisters] = saved;
  for_lanes(mask, [&](int i) { d[i] = (bits[0] >> i & 1 ? yes : 0) | (bits[1] >> i & 1 ? yes << 16 : 0); });
}

void decode_set_pair(Decoder& d, const Instruction& inst, Type type) {
  const auto& operands = d.operands();
  if (combine_of(inst) != kAlone) d.refuse("a packed set with a predicate is not supported");
  const u32 target = d.destination(operands.at(0), 4), a = d.source(operands.at(1), 4),
            b = d.source(operands.at(2), 4);
  const Bits bits = find_bits(d, inst, type == Type::f16x2 ? Type::f16 : Type::bf16);
  const Type result = first_type(inst);
  Inst& out = d.emit(inst, set_pair);
  out.d = target;
  out.a = a;
  out.b = b;
  out.x = result == Type::f16x2 ? 0x3c00 : result == Type::bf16x2 ? 0x3f80 : 0xffff;
  out.imm = reinterpret_cast<u64>(bits);
}

// set.cmp.dtype.stype: all ones (or 1.0) where it holds.
void decode_set(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const Type result = first_type(inst), type = last_type(inst);
  if (type == Type::f16x2 || type == Type::bf16x2) return decode_set_pair(d, inst, type);
  const int size = ptx::size_of(type), result_size = ptx::size_of(result);
  const u32 target = d.destination(operands.at(0), result_size);
  const u32 a = d.source(operands.at(1), size), b = d.source(operands.at(2), size);
  const u32 how = combine_of(inst);
  const u32 other = how == kAlone ? kNone : d.source(operands.at(3), 0);
  const Bits bits = find_bits(d, inst, type);
  Handler handler;
  const u32* brain = nullptr;
  switch (result) {
    case Type::f32:
      handler = set<u32, true>;
      break;
    case Type::f16:
      handler = set<u16, true>;
      break;
    case Type::bf16:
      handler = set<u16, true>;
      brain = d.list({});
      break;
    case Type::u32:
    case Type::s32:
      handler = set<u32, false>;
      break;
    case Type::u16:
    case Type::s16:
      handler = set<u16, false>;
      break;
    default:
      d.refuse("this result type is not supported");
  }
  Inst& out = d.emit(inst, handler);
  out.d = target;
  out.a = a;
  out.b = b;
  out.c = other;
  out.list = brain;
  out.x = how | (how != kAlone && operands[3].negated ? 4u : 0u);
  out.imm = reinterpret_cast<u64>(bits);
}

template <class C>
struct Slct {
  template <class T>
  T operator()(T a, T b, C c) const {
    return c >= 0 ? a : b;
  }
};
template <class C>
struct SlctBy {
  template <class T>
  static constexpr Handler handler = ternary<Slct<C>, T, T, T, C>;
};

// slct.dtype.ctype d, a, b, c: a where c >= 0.
void decode_slct(Decoder& d, const Instruction& inst) {
  const Type type = first_type(inst);
  const bool real = last_type(inst) == Type::f32;
  const int size = ptx::size_of(type);
  const auto& operands = d.operands();
  const u32 places[4] = {d.destination(operands.at(0), size), d.source(operands.at(1), size),
                         d.source(operands.at(2), size), d.source(operands.at(3), 4)};
  Inst& out = d.emit(inst, real ? bits_handler<SlctBy<float>>(d, type) : bits_handler<SlctBy<i32>>(d, type));
  out.d = places[0];
  out.a = places[1];
  out.b = places[2];
  out.c = places[3];
}

template <class T>
void testp(Warp& w, const Inst& in, u32 mask) {
  const T* a = w.at<T>(in.a);
  u32 bits = 0;
  for (int i = 0; i < kLanes; ++i) {
    const int kind = std::fpclassify(a[i]);
    const bool results[6] = {std::isfinite(a[i]), !std::isfinite(a[i]) && kind == FP_INFINITE,
                             !(kind == FP_NAN),   kind == FP_NAN,
                             kind == FP_NORMAL,   kind == FP_SUBNORMAL};
    bits |= static_cast<u32>(results[in.x]) << i;
  }
  write_predicate(*w.at<u32>(in.d), bits, mask);
}

void decode_testp(Decoder& d, const Instruction& inst) {
  static constexpr std::string_view names[] = {"finite",     "infinite", "number",
                                               "notanumber", "normal",   "subnormal"};
  const bool wide = last_type(inst) == Type::f64;
  const u32 target = d.destination(d.operands().at(0), 0), value = d.source(d.operands().at(1), wide ? 8 : 4);
  Inst& out = d.emit(inst, wide ? testp<double> : testp<float>);
  out.d = target;
  out.a = value;
  for (u32 i = 0; i < 6; ++i) {
    if (inst.words.at(1) == names[i]) out.x = i;
  }
}

}  // namespace

void register_compare(Opcodes& opcodes) {
  opcodes["setp"] = decode_setp;
  opcodes["set"] = decode_set;
  opcodes["slct"] = decode_slct;
  opcodes["testp"] = decode_testp;
}

}  // namespace emu
