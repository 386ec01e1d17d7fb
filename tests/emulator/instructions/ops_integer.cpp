// Integer arithmetic: PTX ISA 9.0, section 9.7.1 and 9.7.2 (extended precision).
#include <algorithm>

#include "engine/decode.h"
#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// Two's complement wrap-around, defined for signed types too.
struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Unsigned<T>(a) + Unsigned<T>(b));
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(Unsigned<T>(a) - Unsigned<T>(b));
  }
};
struct MulLo {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(u64(Unsigned<T>(a)) * u64(Unsigned<T>(b)));
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
// Division by zero gives what GPUs give: all bits set; the remainder is the dividend.
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(~T{0});
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return Sub{}(T{0}, a);
    }
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  T operator()(T a, T b) const {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return a < 0 ? Sub{}(T{0}, a) : a;
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return Sub{}(T{0}, a);
  }
};
struct MulHi {
  template <class T>
  T operator()(T a, T b) const {
    if constexpr (sizeof(T) == 8) {
      using Wide = std::conditional_t<std::is_signed_v<T>, i128, u128>;
      return static_cast<T>((static_cast<Wide>(a) * b) >> 64);
    } else {
      using Wide = std::conditional_t<std::is_signed_v<T>, i64, u64>;
      return static_cast<T>((static_cast<Wide>(a) * b) >> (sizeof(T) * 8));
    }
  }
};
template <class W>
struct MulWide {
  template <class T>
  W operator()(T a, T b) const {
    return static_cast<W>(static_cast<W>(a) * static_cast<W>(b));
  }
};
struct MadLo {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add{}(MulLo{}(a, b), c);
  }
};
struct MadHi {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add{}(MulHi{}(a, b), c);
  }
};
struct MadHiSat {
  i32 operator()(i32 a, i32 b, i32 c) const {
    return static_cast<i32>(std::clamp<i64>(i64{MulHi{}(a, b)} + c, INT32_MIN, INT32_MAX));
  }
};
template <class W>
struct MadWide {
  template <class T>
  W operator()(T a, T b, W c) const {
    return Add{}(MulWide<W>{}(a, b), c);
  }
};
struct AddSat {
  i32 operator()(i32 a, i32 b) const {
    return static_cast<i32>(std::clamp<i64>(i64{a} + b, INT32_MIN, INT32_MAX));
  }
};
struct SubSat {
  i32 operator()(i32 a, i32 b) const {
    return static_cast<i32>(std::clamp<i64>(i64{a} - b, INT32_MIN, INT32_MAX));
  }
};
struct Sad {
  template <class T>
  T operator()(T a, T b, T c) const {
    return Add{}(c, a < b ? Sub{}(b, a) : Sub{}(a, b));
  }
};
template <class T>
struct Mul24Lo {
  static i64 product(T a, T b) {
    const auto cut = [](T x) { return static_cast<T>(static_cast<T>(static_cast<u32>(x) << 8) >> 8); };
    return i64{cut(a)} * cut(b);
  }
  T operator()(T a, T b) const { return static_cast<T>(product(a, b)); }
  T operator()(T a, T b, T c) const { return Add{}(static_cast<T>(product(a, b)), c); }
};
template <class T>
struct Mul24Hi {
  T operator()(T a, T b) const { return static_cast<T>(Mul24Lo<T>::product(a, b) >> 16); }
  T operator()(T a, T b, T c) const { return Add{}((*this)(a, b), c); }
};

template <class A, class B>
struct Dp4a {
  u32 operator()(u32 a, u32 b, u32 c) const {
    for (int i = 0; i < 4; ++i)
      c += static_cast<u32>(i32{static_cast<A>(a >> 8 * i)} * i32{static_cast<B>(b >> 8 * i)});
    return c;
  }
};
template <class A, class B, bool kHigh>
struct Dp2a {
  u32 operator()(u32 a, u32 b, u32 c) const {
    for (int i = 0; i < 2; ++i) {
      c += static_cast<u32>(i32{static_cast<A>(a >> 16 * i)} * i32{static_cast<B>(b >> 8 * (i + 2 * kHigh))});
    }
    return c;
  }
};

template <class Op>
struct Two {
  template <class T>
  static constexpr Handler handler = binary<Op, T, T, T>;
};
template <class Op>
struct Three {
  template <class T>
  static constexpr Handler handler = ternary<Op, T, T, T, T>;
};
template <class Op>
struct One {
  template <class T>
  static constexpr Handler handler = unary<Op, T, T>;
};

// min.s16x2 and friends: two 16-bit lanes in a word.
template <class Op, class T>
struct Packed {
  u32 operator()(u32 a, u32 b) const {
    const T lo = Op{}(static_cast<T>(a), static_cast<T>(b));
    const T hi = Op{}(static_cast<T>(a >> 16), static_cast<T>(b >> 16));
    return static_cast<u32>(static_cast<u16>(hi)) << 16 | static_cast<u16>(lo);
  }
};
template <class Op>
Handler packed(const Instruction& inst) {
  if (inst.has("s16x2")) return binary<Packed<Op, i16>, u32, u32, u32>;
  if (inst.has("u16x2")) return binary<Packed<Op, u16>, u32, u32, u32>;
  return nullptr;
}

template <class Op, class Saturated = Op>
void decode_two(Decoder& d, const Instruction& inst) {
  if (decode_float(d, inst)) return;
  if (const Handler handler = packed<Op>(inst)) return emit_same(d, inst, handler, 2, 4);
  const Type type = last_type(inst);
  if (inst.has("cc")) return decode_carry(d, inst);
  if (inst.has("sat")) {
    if (type != Type::s32) d.refuse("saturation needs .s32");
    if constexpr (!std::is_same_v<Op, Saturated>)
      return emit_same(d, inst, binary<Saturated, i32, i32, i32>, 2, 4);
  }
  emit_same(d, inst, integer_handler<Two<Op>>(d, type), 2, ptx::size_of(type));
}

template <class Op>
void decode_one(Decoder& d, const Instruction& inst) {
  if (decode_float(d, inst)) return;
  const Type type = last_type(inst);
  emit_same(d, inst, signed_handler<One<Op>>(d, type), 1, ptx::size_of(type));
}

template <class Op>
void decode_integer_two(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  emit_same(d, inst, integer_handler<Two<Op>>(d, type), 2, ptx::size_of(type));
}

void decode_div(Decoder& d, const Instruction& inst) {
  if (!decode_float(d, inst)) decode_integer_two<Div>(d, inst);
}

// A product as wide as both factors.
void decode_wide(Decoder& d, const Instruction& inst, Type type, bool mad) {
  Handler handler = nullptr;
  switch (type) {
    case Type::u16:
      handler = mad ? ternary<MadWide<u32>, u32, u16, u16, u32> : binary<MulWide<u32>, u32, u16, u16>;
      break;
    case Type::s16:
      handler = mad ? ternary<MadWide<i32>, i32, i16, i16, i32> : binary<MulWide<i32>, i32, i16, i16>;
      break;
    case Type::u32:
      handler = mad ? ternary<MadWide<u64>, u64, u32, u32, u64> : binary<MulWide<u64>, u64, u32, u32>;
      break;
    case Type::s32:
      handler = mad ? ternary<MadWide<i64>, i64, i32, i32, i64> : binary<MulWide<i64>, i64, i32, i32>;
      break;
    default:
      d.refuse("this type has no wide product");
  }
  const int size = ptx::size_of(type);
  Inst& out = d.emit(inst, handler);
  out.d = d.destination(d.operands().at(0), size * 2);
  out.a = d.source(d.operands().at(1), size);
  out.b = d.source(d.operands().at(2), size);
  if (mad) out.c = d.source(d.operands().at(3), size * 2);
}

void decode_mul(Decoder& d, const Instruction& inst) {
  if (decode_float(d, inst)) return;
  const Type type = last_type(inst);
  if (inst.has("wide")) return decode_wide(d, inst, type, false);
  const Handler handler =
      inst.has("hi") ? integer_handler<Two<MulHi>>(d, type) : integer_handler<Two<MulLo>>(d, type);
  emit_same(d, inst, handler, 2, ptx::size_of(type));
}

void decode_mad(Decoder& d, const Instruction& inst) {
  if (decode_float(d, inst)) return;
  if (inst.has("cc")) return decode_carry(d, inst);
  const Type type = last_type(inst);
  if (inst.has("wide")) return decode_wide(d, inst, type, true);
  if (inst.has("sat")) return emit_same(d, inst, ternary<MadHiSat, i32, i32, i32, i32>, 3, 4);
  const Handler handler =
      inst.has("hi") ? integer_handler<Three<MadHi>>(d, type) : integer_handler<Three<MadLo>>(d, type);
  emit_same(d, inst, handler, 3, ptx::size_of(type));
}

void decode_mul24(Decoder& d, const Instruction& inst) {
  const bool hi = inst.has("hi");
  const bool mad = inst.words[0] == "mad24";
  if (inst.has("sat")) d.refuse("saturation is not supported");
  Handler handler;
  if (last_type(inst) == Type::s32) {
    handler =
        mad ? (hi ? ternary<Mul24Hi<i32>, i32, i32, i32, i32> : ternary<Mul24Lo<i32>, i32, i32, i32, i32>)
            : (hi ? binary<Mul24Hi<i32>, i32, i32, i32> : binary<Mul24Lo<i32>, i32, i32, i32>);
  } else {
    handler =
        mad ? (hi ? ternary<Mul24Hi<u32>, u32, u32, u32, u32> : ternary<Mul24Lo<u32>, u32, u32, u32, u32>)
            : (hi ? binary<Mul24Hi<u32>, u32, u32, u32> : binary<Mul24Lo<u32>, u32, u32, u32>);
  }
  emit_same(d, inst, handler, mad ? 3 : 2, 4);
}

void decode_sad(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  emit_same(d, inst, integer_handler<Three<Sad>>(d, type), 3, ptx::size_of(type));
}

void decode_dot(Decoder& d, const Instruction& inst) {
  const bool sa = first_type(inst) == Type::s32, sb = last_type(inst) == Type::s32;
  Handler handler;
  if (inst.words[0] == "dp4a") {
    handler =
        sa ? (sb ? ternary<Dp4a<i8, i8>, u32, u32, u32, u32> : ternary<Dp4a<i8, u8>, u32, u32, u32, u32>)
           : (sb ? ternary<Dp4a<u8, i8>, u32, u32, u32, u32> : ternary<Dp4a<u8, u8>, u32, u32, u32, u32>);
  } else if (inst.has("hi")) {
    handler = sa ? (sb ? ternary<Dp2a<i16, i8, true>, u32, u32, u32, u32>
                       : ternary<Dp2a<i16, u8, true>, u32, u32, u32, u32>)
                 : (sb ? ternary<Dp2a<u16, i8, true>, u32, u32, u32, u32>
                       : ternary<Dp2a<u16, u8, true>, u32, u32, u32, u32>);
  } else {
    handler = sa ? (sb ? ternary<Dp2a<i16, i8, false>, u32, u32, u32, u32>
                       : ternary<Dp2a<i16, u8, false>, u32, u32, u32, u32>)
                 : (sb ? ternary<Dp2a<u16, i8, false>, u32, u32, u32, u32>
                       : ternary<Dp2a<u16, u8, false>, u32, u32, u32, u32>);
  }
  emit_same(d, inst, handler, 3, 4);
}

}  // namespace

void register_integer(Opcodes& opcodes) {
  opcodes["add"] = decode_two<Add, AddSat>;
  opcodes["sub"] = decode_two<Sub, SubSat>;
  opcodes["min"] = decode_two<Min>;
  opcodes["max"] = decode_two<Max>;
  opcodes["mul"] = decode_mul;
  opcodes["mad"] = decode_mad;
  opcodes["mul24"] = opcodes["mad24"] = decode_mul24;
  opcodes["div"] = decode_div;
  opcodes["rem"] = decode_integer_two<Rem>;
  opcodes["sad"] = decode_sad;
  opcodes["dp4a"] = opcodes["dp2a"] = decode_dot;
  opcodes["abs"] = decode_one<Abs>;
  opcodes["neg"] = decode_one<Neg>;
  opcodes["addc"] = opcodes["subc"] = opcodes["madc"] = decode_carry;
}

}  // namespace emu
