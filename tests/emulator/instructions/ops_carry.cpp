// Extended-precision arithmetic: PTX ISA 9.0, section 9.7.2.
#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Type;

// A subtraction is a + ~b + carry, so a borrow leaves CC.CF clear: chains of sub are none the wiser, but
// nvcc's 128-bit division reads the borrow of a sub with an addc and relies on it.
template <class T, bool kSub, bool kIn, bool kOut>
void carry_add(Warp& w, const Inst& in, u32 mask) {
  const T *a = w.at<T>(in.a), *b = w.at<T>(in.b);
  T* d = w.at<T>(in.d);
  for_lanes(mask, [&](int lane) {
    const u32 carry = kIn ? w.carry >> lane & 1 : kSub;
    const u128 wide = u128{a[lane]} + static_cast<T>(kSub ? ~b[lane] : b[lane]) + carry;
    d[lane] = static_cast<T>(wide);
    if (kOut)
      w.carry = (w.carry & ~(1u << lane)) | static_cast<u32>(static_cast<u32>(wide >> (sizeof(T) * 8)) & 1)
                                                << lane;
  });
}

// The operands are signed where the high half of their product is wanted so.
template <class Operand, bool kHigh, bool kIn, bool kOut>
void carry_mad(Warp& w, const Inst& in, u32 mask) {
  using T = std::make_unsigned_t<Operand>;
  const Operand *a = w.at<Operand>(in.a), *b = w.at<Operand>(in.b);
  const T* c = w.at<T>(in.c);
  T* d = w.at<T>(in.d);
  for_lanes(mask, [&](int lane) {
    const u128 product = static_cast<u128>(a[lane]) * static_cast<u128>(b[lane]);
    const T part = static_cast<T>(kHigh ? product >> (sizeof(T) * 8) : product);
    const u128 wide = u128{part} + c[lane] + (kIn ? w.carry >> lane & 1 : 0);
    d[lane] = static_cast<T>(wide);
    if (kOut)
      w.carry = (w.carry & ~(1u << lane)) | static_cast<u32>(static_cast<u32>(wide >> (sizeof(T) * 8)) & 1)
                                                << lane;
  });
}

template <class T>
Handler carry_handler(const Instruction& inst) {
  const std::string_view op = inst.words[0];
  const bool in = op == "addc" || op == "subc" || op == "madc", out = inst.has("cc");
  if (op == "add" || op == "addc") {
    return in ? (out ? carry_add<T, false, true, true> : carry_add<T, false, true, false>)
              : carry_add<T, false, false, true>;
  }
  if (op == "sub" || op == "subc") {
    return in ? (out ? carry_add<T, true, true, true> : carry_add<T, true, true, false>)
              : carry_add<T, true, false, true>;
  }
  if (inst.has("hi")) {
    if (last_type(inst) == Type::s32 || last_type(inst) == Type::s64) {
      using S = std::make_signed_t<T>;
      return in ? (out ? carry_mad<S, true, true, true> : carry_mad<S, true, true, false>)
                : carry_mad<S, true, false, true>;
    }
    return in ? (out ? carry_mad<T, true, true, true> : carry_mad<T, true, true, false>)
              : carry_mad<T, true, false, true>;
  }
  return in ? (out ? carry_mad<T, false, true, true> : carry_mad<T, false, true, false>)
            : carry_mad<T, false, false, true>;
}

}  // namespace

void decode_carry(Decoder& d, const Instruction& inst) {
  const int size = ptx::size_of(last_type(inst));
  const int sources = inst.words[0].substr(0, 3) == "mad" ? 3 : 2;
  if (size != 4 && size != 8) d.refuse("this type is not supported");
  emit_same(d, inst, size == 4 ? carry_handler<u32>(inst) : carry_handler<u64>(inst), sources, size);
}

}  // namespace emu
