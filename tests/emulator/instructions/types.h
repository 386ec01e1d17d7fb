// From PTX types to handlers.
#pragma once

#include "engine/decode.h"

namespace emu {

/// The instruction's last type word: the one that names its operands' type.
inline ptx::Type last_type(const ptx::Instruction& inst) {
  for (size_t i = inst.words.size(); i-- > 1;) {
    if (const ptx::Type type = ptx::type_from(inst.words[i]); type != ptx::Type::none) return type;
  }
  return ptx::Type::none;
}
inline ptx::Type first_type(const ptx::Instruction& inst) {
  for (size_t i = 1; i < inst.words.size(); ++i) {
    if (const ptx::Type type = ptx::type_from(inst.words[i]); type != ptx::Type::none) return type;
  }
  return ptx::Type::none;
}

/// "shared" is also said as "shared::cta".
inline bool has_space(const ptx::Instruction& inst, std::string_view space) {
  for (std::string_view word : inst.words) {
    if (word == space || (word.substr(0, space.size()) == space && word.substr(space.size(), 2) == "::"))
      return true;
  }
  return false;
}

template <class Family>
Handler integer_handler(Decoder& d, ptx::Type type) {
  using ptx::Type;
  switch (type) {
    case Type::u16:
      return Family::template handler<u16>;
    case Type::s16:
      return Family::template handler<i16>;
    case Type::u32:
      return Family::template handler<u32>;
    case Type::s32:
      return Family::template handler<i32>;
    case Type::u64:
      return Family::template handler<u64>;
    case Type::s64:
      return Family::template handler<i64>;
    default:
      d.refuse("this type is not supported");
  }
}

template <class Family>
Handler signed_handler(Decoder& d, ptx::Type type) {
  using ptx::Type;
  switch (type) {
    case Type::s16:
      return Family::template handler<i16>;
    case Type::s32:
      return Family::template handler<i32>;
    case Type::s64:
      return Family::template handler<i64>;
    default:
      d.refuse("this type is not supported");
  }
}

/// Chosen only by width: bit types and their equivalents.
template <class Family>
Handler bits_handler(Decoder& d, ptx::Type type) {
  switch (ptx::size_of(type)) {
    case 2:
      return Family::template handler<u16>;
    case 4:
      return Family::template handler<u32>;
    case 8:
      return Family::template handler<u64>;
    case 16:
      if constexpr (requires { Family::template handler<u128>; }) return Family::template handler<u128>;
      [[fallthrough]];
    default:
      d.refuse("this type is not supported");
  }
}

/// Emits d, then `sources` operands, all of one size.
inline void emit_same(Decoder& d, const ptx::Instruction& inst, Handler handler, int sources, int size) {
  const auto& operands = d.operands();
  if (operands.size() != static_cast<size_t>(sources) + 1) d.refuse("wrong number of operands");
  const u32 target = d.destination(operands[0], size);
  u32 places[4] = {kNone, kNone, kNone, kNone};
  for (int i = 0; i < sources; ++i) places[i] = d.source(operands[static_cast<size_t>(i) + 1], size);
  Inst& out = d.emit(inst, handler);
  out.d = target;
  out.a = places[0];
  out.b = places[1];
  out.c = places[2];
  if (sources == 4) out.list = d.list({places[3]});
}

/// Decodes the floating-point forms of add, mul, …; false when the type is not a floating-point one.
bool decode_float(Decoder& d, const ptx::Instruction& inst);
/// f16 and bf16, alone and in pairs.
bool decode_half(Decoder& d, const ptx::Instruction& inst);
/// cvt between f8 pairs and f32 or f16x2; false when neither type is an f8 pair.
bool decode_f8(Decoder& d, const ptx::Instruction& inst);
void decode_pack(Decoder& d, const ptx::Instruction& inst);
/// add.cc, addc, sub.cc, subc, mad.cc, madc.
void decode_carry(Decoder& d, const ptx::Instruction& inst);

}  // namespace emu
