// cvt to and from pairs of 8-bit floats: PTX ISA 9.0, section 9.7.9.21. To f8 always rounds to nearest even
// and clamps to the largest finite value.
#include <algorithm>

#include "instructions/half.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

struct E4M3 {  // no infinities; all ones is NaN
  static u8 narrow(double value) {
    if (value != value) return 0x7f;
    return static_cast<u8>(round_bits<4, 3, false>(std::clamp(value, -448.0, 448.0)));
  }
  static u16 to_f16(u8 bits) {
    if ((bits & 0x7f) == 0x7f) return F16::kNan;
    const int exponent = bits >> 3 & 15, mantissa = bits & 7;
    const double size = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    return F16::narrow(bits & 0x80 ? -size : size);
  }
};
struct E5M2 {  // the upper half of f16
  static u8 narrow(double value) {
    if (value != value) return 0x7f;
    return static_cast<u8>(round_bits<5, 2>(std::clamp(value, -57344.0, 57344.0)));
  }
  static u16 to_f16(u8 bits) { return (bits & 0x7f) > 0x7c ? F16::kNan : static_cast<u16>(bits << 8); }
};

template <bool kRelu>
double rectified(double x) {
  return kRelu && x <= 0 ? 0.0 : x;
}

template <class Format, bool kRelu>
struct FromF32 {  // the first operand goes into the upper half
  u16 operator()(float a, float b) const {
    return static_cast<u16>(Format::narrow(rectified<kRelu>(a)) << 8 | Format::narrow(rectified<kRelu>(b)));
  }
};
template <class Format, bool kRelu>
struct FromF16 {
  u16 operator()(u32 a) const {
    return FromF32<Format, kRelu>{}(F16::widen(static_cast<u16>(a >> 16)), F16::widen(static_cast<u16>(a)));
  }
};
template <class Format, bool kRelu>
struct ToF16 {
  u32 operator()(u16 a) const {
    const auto one = [](u16 bits) -> u32 {
      const u16 half = Format::to_f16(static_cast<u8>(bits));
      return kRelu && (half & 0x8000) ? 0 : half;
    };
    return one(a >> 8) << 16 | one(a & 0xff);
  }
};

// Few and rare: lane by lane, for conversions that trap nothing and need no vectors.
template <class Op, class D, class... S>
void by_lane(u32 mask, D* d, const S*... s) {
  for_lanes(mask, [&](int i) { d[i] = Op{}(s[i]...); });
}
template <class Op>
void from_f32(Warp& w, const Inst& in, u32 mask) {
  by_lane<Op>(mask, w.at<u16>(in.d), w.at<float>(in.a), w.at<float>(in.b));
}
template <class Op>
void from_f16(Warp& w, const Inst& in, u32 mask) {
  by_lane<Op>(mask, w.at<u16>(in.d), w.at<u32>(in.a));
}
template <class Op>
void to_f16(Warp& w, const Inst& in, u32 mask) {
  by_lane<Op>(mask, w.at<u32>(in.d), w.at<u16>(in.a));
}

template <class Format, bool kRelu>
Handler handler_of(Type to, Type from) {
  if (to == Type::f16x2) return to_f16<ToF16<Format, kRelu>>;
  if (from == Type::f16x2) return from_f16<FromF16<Format, kRelu>>;
  return from == Type::f32 ? from_f32<FromF32<Format, kRelu>> : nullptr;
}

}  // namespace

bool decode_f8(Decoder& d, const Instruction& inst) {
  const Type to = first_type(inst), from = last_type(inst);
  const auto is_f8 = [](Type t) { return t == Type::e4m3x2 || t == Type::e5m2x2; };
  if (!is_f8(to) && !is_f8(from)) return false;
  const bool four = to == Type::e4m3x2 || from == Type::e4m3x2, relu = inst.has("relu");
  const bool narrows = is_f8(to);
  const Handler handler = four
                              ? (relu ? handler_of<E4M3, true>(to, from) : handler_of<E4M3, false>(to, from))
                              : (relu ? handler_of<E5M2, true>(to, from) : handler_of<E5M2, false>(to, from));
  if (handler == nullptr || !inst.has("rn") || narrows != inst.has("satfinite") ||
      (is_f8(from) && to != Type::f16x2))
    d.refuse("this conversion is not supported");
  const auto& operands = d.operands();
  const bool two = from == Type::f32;
  if (operands.size() != (two ? 3u : 2u)) d.refuse("wrong number of operands");
  const int source_size = narrows ? 4 : 2;
  const u32 target = d.destination(operands[0], narrows ? 2 : 4), a = d.source(operands[1], source_size);
  const u32 b = two ? d.source(operands[2], source_size) : kNone;
  Inst& out = d.emit(inst, handler);
  out.d = target;
  out.a = a;
  out.b = b;
  return true;
}

}  // namespace emu
