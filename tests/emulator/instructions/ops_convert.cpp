// cvt: PTX ISA 9.0, section 9.7.9.21. The common conversions are vector loops; all others go lane by lane
// through one general routine.
#include <algorithm>

#include "instructions/half.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

enum class Round : u8 { nearest, zero, down, up, nearest_away };

struct Conversion {
  Type to, from;
  Round round = Round::nearest;
  bool to_integer = false;  // rounds to an integral value
  bool sat = false, ftz = false, relu = false;
  int to_size = 0, from_size = 0;  // of the registers
};

bool is_real(Type t) { return t == Type::f16 || t == Type::bf16 || t == Type::f32 || t == Type::f64; }
bool is_signed(Type t) { return t == Type::s8 || t == Type::s16 || t == Type::s32 || t == Type::s64; }

u32 csr_of(Round round) {
  switch (round) {
    case Round::zero:
      return kRoundZero;
    case Round::down:
      return kRoundDown;
    case Round::up:
      return kRoundUp;
    default:
      return kRoundNearest;
  }
}

// A rounding to fewer bits in any direction: the nearest value, corrected by one step where it overshot.
template <class Format>
u16 narrow(double value, Round round) {
  u16 bits = Format::narrow(value);
  if (round == Round::nearest || value != value) return bits;
  const double got = Format::widen(bits);
  const bool too_big = got > value, too_small = got < value;
  const bool negative = std::signbit(value);
  const bool step_down = too_big && (round == Round::down || (round == Round::zero && !negative));
  const bool step_up = too_small && (round == Round::up || (round == Round::zero && negative));
  if (!step_down && !step_up) return bits;
  const bool is_negative = (bits & 0x8000) != 0;
  if ((bits & 0x7fff) == 0) return step_down ? 0x8001 : 0x0001;
  return static_cast<u16>(is_negative == step_down ? bits + 1 : bits - 1);
}

double read_real(Type type, u64 bits, bool ftz) {
  switch (type) {
    case Type::f16:
      return F16::widen(static_cast<u16>(bits));
    case Type::bf16:
      return BF16::widen(static_cast<u16>(bits));
    case Type::f32: {
      const float value = std::bit_cast<float>(static_cast<u32>(bits));
      return ftz && std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0, value) : value;
    }
    default:
      return std::bit_cast<double>(bits);
  }
}

[[gnu::noinline]] float to_float(double value) { return static_cast<float>(value); }
[[gnu::noinline]] float to_float(u64 value) { return static_cast<float>(value); }
[[gnu::noinline]] float to_float(i64 value) { return static_cast<float>(value); }
[[gnu::noinline]] double to_double(u64 value) { return static_cast<double>(value); }
[[gnu::noinline]] double to_double(i64 value) { return static_cast<double>(value); }

u64 write_real(const Conversion& c, double value) {
  if (c.sat) value = value > 0 ? (value < 1 ? value : 1) : 0;
  if (c.relu && value <= 0) value = 0;
  switch (c.to) {
    case Type::f16:
      return narrow<F16>(value, c.round);
    case Type::bf16:
      return narrow<BF16>(value, c.round);
    case Type::f32: {
      float out = canonical(to_float(value));
      if (c.ftz && std::fabs(out) < std::numeric_limits<float>::min()) out = std::copysign(0.0f, out);
      return std::bit_cast<u32>(out);
    }
    default:
      return std::bit_cast<u64>(value);
  }
}

double integral(double value, Round round) {
  switch (round) {
    case Round::zero:
      return std::trunc(value);
    case Round::down:
      return std::floor(value);
    case Round::up:
      return std::ceil(value);
    case Round::nearest_away:
      return std::round(value);
    default:
      return std::nearbyint(value);
  }
}

i128 lowest(Type type) { return is_signed(type) ? -(i128{1} << (ptx::size_of(type) * 8 - 1)) : i128{0}; }
i128 highest(Type type) { return (i128{1} << (ptx::size_of(type) * 8 - (is_signed(type) ? 1 : 0))) - 1; }

u64 real_to_integer(const Conversion& c, double value) {
  if (value != value) return 0;
  const double whole = integral(value, c.round);
  const i128 low = lowest(c.to), high = highest(c.to);
  if (whole <= static_cast<double>(low)) return static_cast<u64>(low);
  if (whole >= static_cast<double>(high)) return static_cast<u64>(high);
  return static_cast<u64>(static_cast<i128>(whole));
}

i128 read_integer(Type type, u64 bits) {
  switch (type) {
    case Type::u8:
    case Type::b8:
      return static_cast<u8>(bits);
    case Type::s8:
      return static_cast<i8>(bits);
    case Type::u16:
    case Type::b16:
      return static_cast<u16>(bits);
    case Type::s16:
      return static_cast<i16>(bits);
    case Type::u32:
    case Type::b32:
      return static_cast<u32>(bits);
    case Type::s32:
      return static_cast<i32>(bits);
    case Type::s64:
      return static_cast<i64>(bits);
    default:
      return bits;
  }
}

u64 integer_to_real(const Conversion& c, i128 value) {
  const bool is_unsigned = !is_signed(c.from);
  if (c.to == Type::f32) {
    const float out = is_unsigned ? to_float(static_cast<u64>(value)) : to_float(static_cast<i64>(value));
    return std::bit_cast<u32>(c.sat ? std::clamp(out, 0.0f, 1.0f) : out);
  }
  if (c.to == Type::f64) {
    return std::bit_cast<u64>(is_unsigned ? to_double(static_cast<u64>(value))
                                          : to_double(static_cast<i64>(value)));
  }
  // To 16 bits: what f64 may not hold is far beyond the kept bits, a sticky bit keeps its weight.
  i128 magnitude = value < 0 ? -value : value;
  constexpr i128 below = (1 << 24) - 1;
  if (magnitude >> 40 != 0) magnitude = (magnitude & ~below) | ((magnitude & below) != 0 ? 1 << 23 : 0);
  return write_real(c, static_cast<double>(value < 0 ? -magnitude : magnitude));
}

u64 convert(const Conversion& c, u64 bits) {
  if (is_real(c.from)) {
    double value = read_real(c.from, bits, c.ftz);
    if (!is_real(c.to)) return real_to_integer(c, value);
    if (c.to_integer) value = integral(value, c.round);
    return write_real(c, value);
  }
  const i128 value = read_integer(c.from, bits);
  if (is_real(c.to)) return integer_to_real(c, value);
  if (c.sat) return static_cast<u64>(std::clamp(value, lowest(c.to), highest(c.to)));
  return static_cast<u64>(value);
}

u64 load(const u8* registers, int size, int lane) {
  u64 bits = 0;
  std::memcpy(&bits, registers + lane * size, static_cast<size_t>(size));
  return bits;
}

// A narrow integer result fills its wider register: sign- or zero-extended.
u64 extend(Type type, u64 bits) { return is_real(type) ? bits : static_cast<u64>(read_integer(type, bits)); }

void general(Warp& w, const Inst& in, u32 mask) {
  const Conversion& c = *reinterpret_cast<const Conversion*>(in.imm);
  const u8* a = w.at<u8>(in.a);
  u8* d = w.at<u8>(in.d);
  const bool exact_mode = c.to_integer || c.to == Type::f16 || c.to == Type::bf16;
  const FloatMode scope(exact_mode ? kRoundNearest : csr_of(c.round));
  for_lanes(mask, [&](int lane) {
    const u64 bits = extend(c.to, convert(c, load(a, c.from_size, lane)));
    std::memcpy(d + lane * c.to_size, &bits, static_cast<size_t>(c.to_size));
  });
}

// cvt.rn.bf16x2.f32 d, a, b: a in the high half.
template <class Format>
void pair(Warp& w, const Inst& in, u32 mask) {
  const Conversion& c = *reinterpret_cast<const Conversion*>(in.imm);
  const float *a = w.at<float>(in.a), *b = w.at<float>(in.b);
  u32* d = w.at<u32>(in.d);
  for_lanes(mask, [&](int i) {
    const auto one = [&](float x) -> u32 {
      return narrow<Format>(c.relu && x <= 0 ? 0.0 : double{x}, c.round);
    };
    d[i] = one(a[i]) << 16 | one(b[i]);
  });
}

// --- fast forms ---

template <class D>
struct Cast {
  template <class S>
  D operator()(S a) const {
    return static_cast<D>(a);
  }
};
struct ToBf16 {
  u32 operator()(u32 x) const {
    const u32 rounded = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    return (x & 0x7fffffff) > 0x7f800000 ? 0x7fff : rounded;
  }
};
struct PackBf16 {
  u32 operator()(u32 a, u32 b) const { return ToBf16{}(a) << 16 | ToBf16{}(b); }
};
struct FromBf16 {
  u32 operator()(u16 x) const { return static_cast<u32>(x) << 16; }
};
template <Round kRound, bool kRelu>
struct ToTf32 {
  u32 operator()(u32 x) const {
    if ((x & 0x7fffffff) > 0x7f800000) return 0x7fffffff;
    if (kRelu && x >> 31 != 0) return 0;
    if ((x & 0x7f800000) == 0x7f800000) return x;
    const u32 step = kRound == Round::nearest_away ? 0x1000u
                     : kRound == Round::zero       ? 0u
                                                   : 0xfffu + (x >> 13 & 1);
    return (x + step) & 0xffffe000;
  }
};
template <bool kRelu>
Handler tf32_handler(Round round) {
  return round == Round::nearest_away ? unary<ToTf32<Round::nearest_away, kRelu>, u32, u32>
         : round == Round::zero       ? unary<ToTf32<Round::zero, kRelu>, u32, u32>
                                      : unary<ToTf32<Round::nearest, kRelu>, u32, u32>;
}
// Out of range clamps, NaN gives 0.
struct ToS32Zero {
  i32 operator()(float x) const {
    return x != x ? 0 : x >= 2147483648.0f ? INT32_MAX : x < -2147483648.0f ? INT32_MIN : static_cast<i32>(x);
  }
};

void from_f16(Warp& w, const Inst& in, u32 mask) {
  alignas(64) float value[kLanes];
  widen<F16>(w.at<u16>(in.a), value);
  for (float& x : value) x = canonical(x);
  keep(w.at<float>(in.d), value, mask);
}
void to_f16(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u16 value[kLanes];
  const float* a = w.at<float>(in.a);
  for (int i = 0; i < kLanes; i += 8) {
    const __m128i bits = _mm256_cvtps_ph(_mm256_loadu_ps(a + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_store_si128(reinterpret_cast<__m128i*>(value + i), bits);
  }
  for (u16& x : value) x = (x & 0x7fff) > 0x7c00 ? u16{0x7fff} : x;
  keep(w.at<u16>(in.d), value, mask);
}

// Chosen only from register sizes and integer types; null where there is no fast form.
Handler fast_integer(const Conversion& c) {
  if (c.sat || is_real(c.to) || is_real(c.from)) return nullptr;
  const int to = ptx::size_of(c.to), from = ptx::size_of(c.from);
  if (to != c.to_size || from != c.from_size) return nullptr;
  const bool s = is_signed(c.from);
  if (to == 8 && from == 4)
    return s ? Handler{unary<Cast<i64>, i64, i32>} : Handler{unary<Cast<u64>, u64, u32>};
  if (to == 4 && from == 8) return unary<Cast<u32>, u32, u64>;
  if (to == 4 && from == 2)
    return s ? Handler{unary<Cast<i32>, i32, i16>} : Handler{unary<Cast<u32>, u32, u16>};
  if (to == 2 && from == 4) return unary<Cast<u16>, u16, u32>;
  if (to == from && to == 4) return unary<Cast<u32>, u32, u32>;
  if (to == from && to == 8) return unary<Cast<u64>, u64, u64>;
  return nullptr;
}

Handler fast_real(const Conversion& c) {
  if (c.sat || c.ftz || c.relu) return nullptr;
  const bool nearest = c.round == Round::nearest && !c.to_integer;
  const bool registers_fit = c.to_size == ptx::size_of(c.to) && c.from_size == ptx::size_of(c.from);
  if (!registers_fit) return nullptr;
  if (c.to == Type::f32 && c.from == Type::bf16) return unary<FromBf16, u32, u16>;
  if (c.to == Type::f32 && c.from == Type::f16) return from_f16;
  if (c.to == Type::f64 && c.from == Type::f32) return unary<Cast<double>, double, float>;
  if (c.to == Type::s32 && c.from == Type::f32 && c.round == Round::zero) return unary<ToS32Zero, i32, float>;
  if (!nearest) return nullptr;
  if (c.to == Type::bf16 && c.from == Type::f32) return unary<ToBf16, u16, u32>;
  if (c.to == Type::f16 && c.from == Type::f32) return to_f16;
  if (c.to == Type::f32 && c.from == Type::s32) return unary<Cast<float>, float, i32>;
  if (c.to == Type::f32 && c.from == Type::u32) return unary<Cast<float>, float, u32>;
  return nullptr;
}

Round rounding(const Instruction& inst, bool& integral_rounding) {
  integral_rounding = true;
  if (inst.has("rni")) return Round::nearest;
  if (inst.has("rzi")) return Round::zero;
  if (inst.has("rmi")) return Round::down;
  if (inst.has("rpi")) return Round::up;
  integral_rounding = false;
  if (inst.has("rz")) return Round::zero;
  if (inst.has("rm")) return Round::down;
  if (inst.has("rp")) return Round::up;
  if (inst.has("rna")) return Round::nearest_away;
  return Round::nearest;
}

u64 keep_conversion(Decoder& d, const Conversion& c) {
  static_assert(sizeof(Conversion) <= 32);
  std::vector<u32> words(sizeof(Conversion) / 4 + 1);
  std::memcpy(words.data(), &c, sizeof c);
  return reinterpret_cast<u64>(d.list(words));
}

void decode_cvt(Decoder& d, const Instruction& inst) {
  if (decode_f8(d, inst)) return;
  if (inst.has("pack")) return decode_pack(d, inst);
  const auto& operands = d.operands();
  Conversion c{};
  c.to = first_type(inst);
  c.from = last_type(inst);
  c.round = rounding(inst, c.to_integer);
  c.sat = inst.has("sat");
  c.ftz = inst.has("ftz");
  c.relu = inst.has("relu");
  if (c.to == Type::tf32) {
    if (c.sat) d.refuse("this form is not supported");
    return emit_same(d, inst, c.relu ? tf32_handler<true>(c.round) : tf32_handler<false>(c.round), 1, 4);
  }
  if (c.to == Type::bf16x2 || c.to == Type::f16x2) {
    if (c.from != Type::f32 || operands.size() != 3 || c.sat) d.refuse("this form is not supported");
    const bool brain = c.to == Type::bf16x2;
    const bool fast = brain && c.round == Round::nearest && !c.relu;
    emit_same(d, inst,
              fast    ? Handler{binary<PackBf16, u32, u32, u32>}
              : brain ? pair<BF16>
                      : pair<F16>,
              2, 4);
    const u64 kept = keep_conversion(d, c);
    d.code().insts.back().imm = kept;
    return;
  }
  const auto known = [](Type t) {
    return t != Type::none && t != Type::pred && t < Type::f16x2 && t != Type::b128 ? true : is_real(t);
  };
  if (!known(c.to) || !known(c.from) || operands.size() != 2) d.refuse("this conversion is not supported");
  const u32 target = d.wide_destination(operands[0], ptx::size_of(c.to), c.to_size);
  const u32 from = d.wide_source(operands[1], ptx::size_of(c.from), c.from_size);
  Handler handler = fast_integer(c);
  if (handler == nullptr) handler = fast_real(c);
  const u64 kept = keep_conversion(d, c);
  Inst& out = d.emit(inst, handler != nullptr ? handler : general);
  out.d = target;
  out.a = from;
  out.imm = kept;
}

}  // namespace

void register_convert(Opcodes& opcodes) { opcodes["cvt"] = decode_cvt; }

}  // namespace emu
