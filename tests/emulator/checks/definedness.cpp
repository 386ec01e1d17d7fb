// Reads of uninitialised memory. Memory has a bit per byte, registers one per lane. A value read from
// undefined bytes is undefined, and so is what is computed from it; it is reported where it becomes an
// address, decides a branch, or is stored to global memory. Undefined registers alone are not reported:
// compilers make them.
#include <algorithm>

#include "checks/checker.h"
#include "exec/lanes.h"

namespace emu {
namespace {

BlockShadow& shadow_of(const Block& block) { return *static_cast<BlockShadow*>(block.shadow.get()); }

std::vector<u32>& undefined_of(Frame& frame) {
  const size_t words = frame.code->register_bytes / 4;
  if (frame.undefined.size() != words) frame.undefined.assign(words, 0);
  return frame.undefined;
}

}  // namespace

void Checker::start_block(Block& block) {
  if (!full_) return;
  if (block.shadow == nullptr) block.shadow = std::make_shared<BlockShadow>();
  BlockShadow& shadow = shadow_of(block);
  shadow.shared.assign(block.shared_size / 2 + 1, Granule{});
  shadow.shared_defined.assign(block.shared_size, false);
  shadow.local_defined.assign(block.warps.size() * kLanes * block.launch->stack_bytes, false);
  shadow.async.assign(block.warps.size(), {});
  for (auto& warp : block.warps) {
    for (Frame& frame : warp->frames) std::fill(frame.undefined.begin(), frame.undefined.end(), 0);
  }
}

void Checker::step(Warp& warp, const Inst& inst, u32 mask) {
  const Code& code = *warp.frame->code;
  if (inst.body >= code.effects.size()) return;
  const Code::Effects& effects = code.effects[inst.body];
  std::vector<u32>& undefined = undefined_of(*warp.frame);
  if (inst.link != nullptr && inst.guard != kNone) {
    const u32 doubtful = undefined[inst.guard / 4] & warp.active;
    if (doubtful != 0)
      violation(warp, inst, std::countr_zero(doubtful), "branch on a value read from uninitialised memory");
  }
  u32 bits = 0;
  for (u32 use : effects.uses) bits |= undefined[use / 4];
  for (u32 define : effects.defines) {
    u32& word = undefined[define / 4];
    word = (word & ~mask) | (bits & mask);
  }
}

// Elements are naturally aligned and at most 8 bytes: each lies in one word of the shadow, or one byte of
// bits.
static bool all_defined(const u8* bytes, u32 count) {
  u64 word = 0;
  std::memcpy(&word, bytes, count);
  return word == 0x0101010101010101ull >> (64 - 8 * count);
}

// The range whose definedness is kept and that holds all these bytes. A launch's parameters are in none: the
// barrier word of a cooperative grid lies behind them.
const CheckedRange* Checker::tracked(u64 address, u32 bytes) const {
  const CheckedRange* range = find(address);
  const bool inside = range != nullptr && range->defined != nullptr && address + bytes <= range->end;
  return inside ? range : nullptr;
}

// Bit k: register k is read from undefined bytes.
u32 Checker::load_definedness(Warp& warp, const Access& access, int lane, ptx::Space space) const {
  const u64 address = access.address[lane];
  const u32 count = std::max(access.count, 1u), element = access.count == 0 ? 8 : access.bytes / count;
  const BlockShadow& shadow = shadow_of(*warp.block);
  u32 missing = 0;
  if (space == ptx::Space::shared || space == ptx::Space::local) {
    const bool shared = space == ptx::Space::shared;
    const auto base = reinterpret_cast<u64>(shared ? warp.shared : warp.block->local_storage.data());
    const u8* bytes = (shared ? shadow.shared_defined : shadow.local_defined).data() + (address - base);
    for (u32 k = 0; k < count; ++k)
      missing |= static_cast<u32>(!all_defined(bytes + k * element, element)) << k;
    return missing;
  }
  const CheckedRange* range = tracked(address, access.bytes);
  if (range == nullptr) return 0;
  const u64 first = address - range->begin;
  const u32 ones = (1u << element) - 1;
  for (u32 k = 0; k < count; ++k) {
    const u64 at = first + k * element;
    missing |= static_cast<u32>(((*range->defined)[at / 8] >> at % 8 & ones) != ones) << k;
  }
  return missing;
}

void Checker::store_definedness(Warp& warp, const Access& access, int lane, ptx::Space space, u32 undefined) {
  const u64 address = access.address[lane];
  const u32 count = std::max(access.count, 1u), element = access.bytes / count;
  BlockShadow& shadow = shadow_of(*warp.block);
  if (space == ptx::Space::shared || space == ptx::Space::local) {
    const bool shared = space == ptx::Space::shared;
    const auto base = reinterpret_cast<u64>(shared ? warp.shared : warp.block->local_storage.data());
    u8* bytes = (shared ? shadow.shared_defined : shadow.local_defined).data() + (address - base);
    for (u32 k = 0; k < count; ++k) std::memset(bytes + k * element, (undefined >> k & 1) == 0, element);
    return;
  }
  const CheckedRange* range = tracked(address, access.bytes);
  if (range == nullptr) return;
  const u64 first = address - range->begin;
  for (u64 at = first; at < first + access.bytes;) {
    const u64 bits = std::min<u64>(8 - at % 8, first + access.bytes - at);
    const auto ones = static_cast<u8>(((1u << bits) - 1) << at % 8);
    u8& byte = (*range->defined)[at / 8];
    // Blocks on other host threads set bits of the same byte.
    if ((byte & ones) != ones) __atomic_fetch_or(&byte, ones, __ATOMIC_RELAXED);
    at += bits;
  }
}

void Checker::check_defined(Warp& warp, const Inst& inst, const Access& access, u32 shared, u32 local) {
  std::vector<u32>& undefined = undefined_of(*warp.frame);
  if (inst.a != kNone && inst.a >> 28 == kRegisters && inst.a / 4 < undefined.size()) {
    const u32 doubtful = undefined[inst.a / 4] & access.mask;
    if (doubtful != 0)
      violation(warp, inst, std::countr_zero(doubtful), "address computed from uninitialised memory");
  }
  const bool reads = access.kind == Access::Kind::load;
  u32 clear[16] = {};
  u32 set[16] = {};
  for_lanes(access.mask, [&](int lane) {
    const ptx::Space space = (shared >> lane & 1)  ? ptx::Space::shared
                             : (local >> lane & 1) ? ptx::Space::local
                                                   : ptx::Space::global;
    if (reads) {
      const u32 missing = load_definedness(warp, access, lane, space);
      for (u32 k = 0; k < std::min(access.count, 16u); ++k) (missing >> k & 1 ? set : clear)[k] |= 1u << lane;
      return;
    }
    u32 doubtful = 0;
    for (u32 k = 0; access.places != nullptr && k < access.count; ++k) {
      if (access.places[k] >> 28 == kRegisters)
        doubtful |= (undefined[access.places[k] / 4] >> lane & 1) << k;
    }
    if (doubtful != 0 && space == ptx::Space::global && access.kind == Access::Kind::store) {
      violation(warp, inst, lane, "store to global memory of a value read from uninitialised memory");
    }
    store_definedness(warp, access, lane, space, doubtful);
  });
  for (u32 k = 0; reads && access.places != nullptr && k < std::min(access.count, 16u); ++k) {
    u32& word = undefined[(access.places[k] & 0x0fffffff) / 4];
    word = (word & ~clear[k]) | set[k];
  }
}

}  // namespace emu
