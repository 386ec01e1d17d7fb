// f16 and bf16 arithmetic, one value or two in a word: PTX ISA 9.0, section 9.7.4.
// add and mul are computed in f32, whose 24 bits make the second rounding innocuous (Figueroa, 1995); fma in
// f64 rounded to odd, so that the rounding to 16 bits is the only one that shows.
#include <limits>

#include "instructions/half.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

enum Flags : u32 { kRelu = 1, kSat = 2, kFtz = 4, kNanWins = 8, kXorSign = 16 };

double fma_to_odd(double a, double b, double c) {
  const double product = a * b;  // exact: 11 + 11 bits
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (c - back);
  if (error == 0) return sum;
  u64 bits = std::bit_cast<u64>(sum);
  if ((error < 0) != (sum < 0)) --bits;
  return std::bit_cast<double>(bits | 1);
}

struct Add {
  static double run(float a, float b, float, u32) { return a + b; }
};
struct Sub {
  static double run(float a, float b, float, u32) { return a - b; }
};
struct Mul {
  static double run(float a, float b, float, u32) { return a * b; }
};
struct Fma {
  static double run(float a, float b, float c, u32) { return fma_to_odd(a, b, c); }
};
template <bool kMax>
struct Extreme {
  static double run(float a, float b, float, u32 flags) {
    const bool sign = std::signbit(a) != std::signbit(b);
    if (flags & kXorSign) {
      a = std::fabs(a);
      b = std::fabs(b);
    }
    if ((flags & kNanWins) && (a != a || b != b)) return std::numeric_limits<double>::quiet_NaN();
    if (a != a) return b;
    if (b != b) return a;
    double result = kMax ? std::max(a, b) : std::min(a, b);
    if (a == b) result = kMax ? (std::signbit(a) ? b : a) : (std::signbit(a) ? a : b);
    return (flags & kXorSign) ? std::copysign(result, sign ? -1.0 : 1.0) : result;
  }
};
struct Ex2 {
  static double run(float a, float, float, u32) { return std::exp2(double{a}); }
};
struct Tanh {
  static double run(float a, float, float, u32) { return std::tanh(double{a}); }
};
struct Neg {
  static double run(float a, float, float, u32) { return -double{a}; }
};
struct Abs {
  static double run(float a, float, float, u32) { return std::fabs(double{a}); }
};

template <class Format>
float read(u16 bits, u32 flags) {
  const float value = Format::widen(bits);
  return (flags & kFtz) && (bits & 0x7c00) == 0 && std::is_same_v<Format, F16> ? std::copysign(0.0f, value)
                                                                               : value;
}

template <class Format, class Op>
u16 one(u16 a, u16 b, u16 c, u32 flags) {
  double value = Op::run(read<Format>(a, flags), read<Format>(b, flags), read<Format>(c, flags), flags);
  if ((flags & kRelu) && value <= 0) value = 0;
  if (flags & kSat) value = value > 0 ? (value < 1 ? value : 1) : 0;
  const u16 bits = Format::narrow(value);
  return (flags & kFtz) && (bits & 0x7c00) == 0 && std::is_same_v<Format, F16> ? bits & 0x8000 : bits;
}

template <class Format, class Op, class Word>
void half(Warp& w, const Inst& in, u32 mask) {
  Word* d = w.at<Word>(in.d);
  const Word *a = w.at<Word>(in.a), *b = w.at<Word>(in.b), *c = w.at<Word>(in.c);
  for_lanes(mask, [&](int i) {
    u32 out = one<Format, Op>(static_cast<u16>(a[i]), static_cast<u16>(b[i]), static_cast<u16>(c[i]), in.x);
    if constexpr (sizeof(Word) == 4) {
      out |= static_cast<u32>(one<Format, Op>(static_cast<u16>(a[i] >> 16), static_cast<u16>(b[i] >> 16),
                                              static_cast<u16>(c[i] >> 16), in.x))
             << 16;
    }
    d[i] = static_cast<Word>(out);
  });
}

template <class Op>
Handler handler_of(Type type) {
  switch (type) {
    case Type::f16:
      return half<F16, Op, u16>;
    case Type::f16x2:
      return half<F16, Op, u32>;
    case Type::bf16:
      return half<BF16, Op, u16>;
    default:
      return half<BF16, Op, u32>;
  }
}

}  // namespace

bool decode_half(Decoder& d, const Instruction& inst) {
  const Type type = last_type(inst);
  if (type != Type::f16 && type != Type::f16x2 && type != Type::bf16 && type != Type::bf16x2) return false;
  const std::string_view op = inst.words[0];
  Handler handler = nullptr;
  size_t sources = 2;
  if (op == "add") handler = handler_of<Add>(type);
  if (op == "sub") handler = handler_of<Sub>(type);
  if (op == "mul") handler = handler_of<Mul>(type);
  if (op == "min") handler = handler_of<Extreme<false>>(type);
  if (op == "max") handler = handler_of<Extreme<true>>(type);
  if (op == "fma") handler = handler_of<Fma>(type), sources = 3;
  if (op == "ex2") handler = handler_of<Ex2>(type), sources = 1;
  if (op == "tanh") handler = handler_of<Tanh>(type), sources = 1;
  if (op == "neg") handler = handler_of<Neg>(type), sources = 1;
  if (op == "abs") handler = handler_of<Abs>(type), sources = 1;
  if (handler == nullptr) d.refuse("this operation is not supported on 16-bit floats");
  const auto& operands = d.operands();
  if (operands.size() != sources + 1) d.refuse("wrong number of operands");
  const int size = ptx::size_of(type);
  u32 places[4];
  places[0] = d.destination(operands[0], size);
  for (size_t i = 1; i < 4; ++i) places[i] = d.source(operands[std::min(i, sources)], size);
  Inst& out = d.emit(inst, handler);
  out.d = places[0];
  out.a = places[1];
  out.b = places[2];
  out.c = places[3];
  out.x = (inst.has("relu") ? kRelu : 0u) | (inst.has("sat") ? kSat : 0u) | (inst.has("ftz") ? kFtz : 0u) |
          (inst.has("NaN") ? kNanWins : 0u) | (inst.has("xorsign") ? kXorSign : 0u);
  return true;
}

}  // namespace emu
