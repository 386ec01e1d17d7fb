// The addresses of a memory instruction, lane by lane, as host addresses.
#pragma once

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {

/// How a decoded address is based; in Inst::x, low bits.
enum AddressForm : u32 {
  kAbsolute = 0,
  kShared = 1,
  kLocal = 2,
  kParameter = 3,
  kFormMask = 3,
  kNarrow = 4,        // the register has 32 bits
  kInFrame = 8,       // the offset counts from the frame's variables
  kParamSpace = 32,   // a call's parameters, which lie in local memory
  kPoll = 16,         // a read that a spin loop may be made of; a strong access
  kRelease = 64,      // a fence comes before it
  kBlockScope = 128,  // that fence, or the access, concerns the block alone
};

/// Decodes the space words and the address operand: fills a, imm and returns the form for x.
inline u32 decode_address(Decoder& d, const ptx::Instruction& inst, const ptx::Operand& operand, u32& base,
                          u64& offset) {
  using ptx::Space;
  const Decoder::Address where = d.address(operand);
  base = where.base;
  offset = where.offset;
  u32 form = kAbsolute;
  if (has_space(inst, "shared")) form = kShared;
  if (has_space(inst, "local")) form = kLocal;
  if (has_space(inst, "param")) form = where.in_frame ? kLocal : kParameter;
  const bool spaceless = form == kAbsolute && !has_space(inst, "global") && !has_space(inst, "const");
  if (spaceless && where.space == Space::shared) form = kShared;
  if (spaceless && (where.space == Space::local || where.in_frame)) form = kLocal;
  // A .param address held in a register belongs to the entry's parameters.
  if (has_space(inst, "param")) form |= kParamSpace;
  return form | (where.narrow ? u32{kNarrow} : 0) | (where.in_frame ? u32{kInFrame} : 0);
}

/// The same for an address that is always shared: kShared, or kAbsolute for a generic pointer to it.
inline void lane_addresses(const Warp& warp, const Inst& in, u32 form, u32 base, u64 offset, u64* address) {
  Warp& w = const_cast<Warp&>(warp);
  (void)in;
  if (form & kNarrow) {
    const u32* a = w.at<u32>(base);
    for (int i = 0; i < kLanes; ++i) address[i] = static_cast<u32>(a[i] + static_cast<u32>(offset));
  } else {
    const u64* a = w.at<u64>(base);
    for (int i = 0; i < kLanes; ++i) address[i] = a[i] + offset;
  }
  switch (form & kFormMask) {
    case kShared: {
      const auto shared = reinterpret_cast<u64>(w.shared);
      for (int i = 0; i < kLanes; ++i) address[i] = shared + static_cast<u32>(address[i]);
      return;
    }
    case kLocal: {
      const u64 local = reinterpret_cast<u64>(w.local) + ((form & kInFrame) ? w.frame->local_base : 0);
      for (int i = 0; i < kLanes; ++i)
        address[i] = local + static_cast<u64>(i) * w.local_stride + static_cast<u32>(address[i]);
      return;
    }
    case kParameter: {
      const auto base_address = reinterpret_cast<u64>(w.launch->parameters.data());
      for (int i = 0; i < kLanes; ++i) address[i] += base_address;
      return;
    }
    default:
      return;
  }
}

/// The order that an access's qualifiers ask for.
inline u32 order_form(const ptx::Instruction& inst) {
  const bool release = inst.has("release") || inst.has("acq_rel") || inst.has("sc");
  return (release ? u32{kRelease} : 0) | (inst.has("cta") ? u32{kBlockScope} : 0);
}

inline ptx::Space space_of(u32 form) {
  if (form & kParamSpace) return ptx::Space::param;
  switch (form & kFormMask) {
    case kShared:
      return ptx::Space::shared;
    case kLocal:
      return ptx::Space::local;
    case kParameter:
      return ptx::Space::param;
    default:
      return ptx::Space::generic;
  }
}

}  // namespace emu
