// f32 and f64 arithmetic: PTX ISA 9.0, section 9.7.3. Approximate functions are computed with libm's or IEEE
// operations, which are inside the documented bounds.
#include <limits>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a + b);
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a - b);
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a * b);
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return canonical(a / b);
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return canonical(std::fma(a, b, c));
  }
};
struct Rcp {
  template <class T>
  T operator()(T a) const {
    return canonical(T{1} / a);
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a) const {
    return canonical(std::sqrt(a));
  }
};
struct Rsqrt {
  template <class T>
  T operator()(T a) const {
    return canonical(T{1} / std::sqrt(a));
  }
};
template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, u32, u64>;
template <class T>
constexpr BitsOf<T> kSign = BitsOf<T>{1} << (sizeof(T) * 8 - 1);
template <class T>
T quiet() {
  return sizeof(T) == 4 ? std::bit_cast<T>(static_cast<BitsOf<T>>(0x7fffffff))
                        : std::numeric_limits<T>::quiet_NaN();
}

struct Abs {
  template <class T>
  T operator()(T a) const {
    return std::bit_cast<T>(static_cast<BitsOf<T>>(std::bit_cast<BitsOf<T>>(a) & ~kSign<T>));
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return std::bit_cast<T>(static_cast<BitsOf<T>>(std::bit_cast<BitsOf<T>>(a) ^ kSign<T>));
  }
};
struct Copysign {
  template <class T>
  T operator()(T a, T b) const {
    return std::bit_cast<T>(static_cast<BitsOf<T>>((std::bit_cast<BitsOf<T>>(b) & ~kSign<T>) |
                                                   (std::bit_cast<BitsOf<T>>(a) & kSign<T>)));
  }
};
inline float flushed(float a) {
  return std::fabs(a) < std::numeric_limits<float>::min() ? std::copysign(0.0f, a) : a;
}
template <class Plain>
struct Flushed {
  float operator()(float a) const { return Plain{}(flushed(a)); }
};
// -0 is less than +0; a NaN gives the other operand, or NaN with kNan.
template <bool kMax, bool kNan, bool kXorSign>
struct Extreme {
  template <class T>
  T operator()(T a, T b) const {
    using U = BitsOf<T>;
    const U sign = (std::bit_cast<U>(a) ^ std::bit_cast<U>(b)) & kSign<T>;
    if (kXorSign) {
      a = Abs{}(a);
      b = Abs{}(b);
    }
    const U both =
        kMax ? std::bit_cast<U>(a) & std::bit_cast<U>(b) : std::bit_cast<U>(a) | std::bit_cast<U>(b);
    T result = kMax ? (a > b ? a : b) : (a < b ? a : b);
    result = a == b ? std::bit_cast<T>(both) : result;
    result = a == a ? result : b;
    result = b == b ? result : a;
    const bool nan = kNan ? (a != a || b != b) : (a != a && b != b);
    result = nan ? quiet<T>() : result;
    return kXorSign ? std::bit_cast<T>(static_cast<U>(std::bit_cast<U>(result) | sign)) : result;
  }
};
// 2^x: the fraction in [-1/2, 1/2] by the exponential series to degree 7 (error 1e-8), the integer by
// exponents.
struct Ex2 {
  float operator()(float x) const {
    const float clamped = x < -152.0f ? -152.0f : x > 129.0f ? 129.0f : x;
    const float whole = std::nearbyint(clamped), f = clamped - whole;
    float p = 1.5252734e-5f;
    p = std::fma(p, f, 1.5403530e-4f);
    p = std::fma(p, f, 1.3333558e-3f);
    p = std::fma(p, f, 9.6181291e-3f);
    p = std::fma(p, f, 5.5504109e-2f);
    p = std::fma(p, f, 2.4022651e-1f);
    p = std::fma(p, f, 6.9314718e-1f);
    p = std::fma(p, f, 1.0f);
    const i32 n = static_cast<i32>(whole), half = n / 2;
    const float scaled =
        p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((n - half + 127) << 23);
    return x == x ? scaled : canonical(x);
  }
};
struct Lg2 {
  float operator()(float x) const { return canonical(std::log2(x)); }
};
struct Sin {
  float operator()(float x) const { return canonical(std::sin(x)); }
};
struct Cos {
  float operator()(float x) const { return canonical(std::cos(x)); }
};
struct Tanh {
  float operator()(float x) const { return canonical(std::tanh(x)); }
};
template <class Plain>
struct Saturate {
  template <class... T>
  float operator()(T... x) const {
    const float value = Plain{}(x...);
    return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;  // NaN gives +0
  }
};

template <class Op, class T, int kSources>
constexpr Handler plain() {
  if constexpr (kSources == 1) return unary<Op, T, T>;
  if constexpr (kSources == 2) return binary<Op, T, T, T>;
  if constexpr (kSources == 3) return ternary<Op, T, T, T, T>;
}

template <class Op, class T, int kSources>
Handler with_mode(u32 mode) {
  constexpr Handler base = plain<Op, T, kSources>();
  switch (mode) {
    case kRoundDown:
      return in_mode<kRoundDown, base>;
    case kRoundUp:
      return in_mode<kRoundUp, base>;
    case kRoundZero:
      return in_mode<kRoundZero, base>;
    case kFlush:
      return in_mode<kFlush, base>;
    case kFlush | kRoundDown:
      return in_mode<kFlush | kRoundDown, base>;
    case kFlush | kRoundUp:
      return in_mode<kFlush | kRoundUp, base>;
    case kFlush | kRoundZero:
      return in_mode<kFlush | kRoundZero, base>;
    default:
      return base;
  }
}

u32 mode_of(const Instruction& inst) {
  const u32 rounding = inst.has("rz")   ? kRoundZero
                       : inst.has("rm") ? kRoundDown
                       : inst.has("rp") ? kRoundUp
                                        : kRoundNearest;
  return rounding | (inst.has("ftz") ? kFlush : 0);
}

template <class Op, int kSources>
void emit_real(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  const u32 mode = mode_of(inst);
  const bool sat = inst.has("sat");
  Handler handler;
  if (type == Type::f64) {
    if (sat) d.refuse("f64 does not saturate");
    handler = with_mode<Op, double, kSources>(mode & ~kFlush);
  } else if (type == Type::f32) {
    handler = sat ? with_mode<Saturate<Op>, float, kSources>(mode) : with_mode<Op, float, kSources>(mode);
  } else {
    d.refuse("this type is not supported");
  }
  emit_same(d, inst, handler, kSources, ptx::size_of(type));
}

template <class Op, int kSources>
void decode_real(Decoder& d, const Instruction& inst) {
  if (!decode_half(d, inst)) emit_real<Op, kSources>(d, inst);
}

template <class Op>
void decode_approx(Decoder& d, const Instruction& inst) {
  if (decode_half(d, inst)) return;
  if (last_type(inst) != Type::f32) d.refuse("this type is not supported");
  emit_same(d, inst, with_mode<Op, float, 1>(mode_of(inst)), 1, 4);
}

template <class Op>
void decode_sign(Decoder& d, const Instruction& inst) {
  const bool wide = last_type(inst) == Type::f64;
  const Handler narrow =
      inst.has("ftz") ? Handler{unary<Flushed<Op>, float, float>} : Handler{unary<Op, float, float>};
  emit_same(d, inst, wide ? Handler{unary<Op, double, double>} : narrow, 1, wide ? 8 : 4);
}

// The vector unit's minimum does not flush.
template <bool kMax, bool kNan, bool kXorSign>
struct FlushedExtreme {
  float operator()(float a, float b) const { return Extreme<kMax, kNan, kXorSign>{}(flushed(a), flushed(b)); }
};
template <bool kMax, bool kNan, bool kXorSign>
Handler extreme(u32 mode) {
  return mode & kFlush ? with_mode<FlushedExtreme<kMax, kNan, kXorSign>, float, 2>(mode)
                       : with_mode<Extreme<kMax, kNan, kXorSign>, float, 2>(mode);
}

template <bool kMax>
void decode_extreme(Decoder& d, const Instruction& inst) {
  const bool nan = inst.has("NaN"), sign = inst.has("xorsign");
  if (inst.operands.size() != 3) d.refuse("three operands are not supported");
  if (last_type(inst) == Type::f64)
    return emit_same(d, inst, binary<Extreme<kMax, false, false>, double, double, double>, 2, 8);
  const u32 mode = mode_of(inst);
  const Handler handler = nan ? (sign ? extreme<kMax, true, true>(mode) : extreme<kMax, true, false>(mode))
                              : (sign ? extreme<kMax, false, true>(mode) : extreme<kMax, false, false>(mode));
  emit_same(d, inst, handler, 2, 4);
}

void decode_copysign(Decoder& d, const Instruction& inst) {
  const bool wide = last_type(inst) == Type::f64;
  emit_same(d, inst,
            wide ? Handler{binary<Copysign, double, double, double>}
                 : Handler{binary<Copysign, float, float, float>},
            2, wide ? 8 : 4);
}

}  // namespace

bool decode_float(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  if (decode_half(d, inst)) return true;
  if (type != Type::f32 && type != Type::f64) return false;
  const std::string_view op = inst.words[0];
  if (op == "add") emit_real<Add, 2>(d, inst);
  if (op == "sub") emit_real<Sub, 2>(d, inst);
  if (op == "mul") emit_real<Mul, 2>(d, inst);
  if (op == "mad") emit_real<Fma, 3>(d, inst);
  if (op == "div") emit_real<Div, 2>(d, inst);
  if (op == "min") decode_extreme<false>(d, inst);
  if (op == "max") decode_extreme<true>(d, inst);
  if (op == "abs") decode_sign<Abs>(d, inst);
  if (op == "neg") decode_sign<Neg>(d, inst);
  return true;
}

void register_float(Opcodes& opcodes) {
  opcodes["fma"] = decode_real<Fma, 3>;
  opcodes["rcp"] = decode_real<Rcp, 1>;
  opcodes["sqrt"] = decode_real<Sqrt, 1>;
  opcodes["rsqrt"] = decode_real<Rsqrt, 1>;
  opcodes["ex2"] = decode_approx<Ex2>;
  opcodes["lg2"] = decode_approx<Lg2>;
  opcodes["sin"] = decode_approx<Sin>;
  opcodes["cos"] = decode_approx<Cos>;
  opcodes["tanh"] = decode_approx<Tanh>;
  opcodes["copysign"] = decode_copysign;
}

}  // namespace emu
