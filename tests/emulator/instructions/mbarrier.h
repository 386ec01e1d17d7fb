// mbarrier objects: 64 bits of shared memory that count arrivals and bytes (PTX ISA 9.0, section 9.7.13.15).
#pragma once

#include "instructions/access.h"

namespace emu {

/// The object's state, unpacked. PTX leaves the bits open; these have room for what it allows.
struct Mbarrier {
  u32 pending = 0, expected = 0;  // arrivals, 20 bits each
  i32 bytes = 0;                  // tx-count, 21 bits
  bool phase = false;             // of the current phase: odd
  bool valid = false;             // initialised

  static constexpr u32 kMost = (1u << 20) - 1;
  static Mbarrier unpack(u64 word);
  u64 pack() const;
};

/// What an arrival or a copy's end does to the barrier at an address; the word before it.
u64 update_mbarrier(Warp& w, const Inst& in, int lane, u64 address, u32 arrivals, i32 bytes, u32 dropped);

/// Tells the watcher, when there is one, of accesses to the mbarriers of `mask`'s lanes. Atomic ones release
/// what the block did before; a wait that succeeds acquires it.
void observe_mbarrier(Warp& w, const Inst& in, u32 mask, const u64* address, u32 form, Access::Kind kind);

/// cp.async.mbarrier.arrive and cp.async.bulk (ops_bulk.cpp).
void decode_async_arrive(Decoder& d, const ptx::Instruction& inst);
void decode_bulk(Decoder& d, const ptx::Instruction& inst);

}  // namespace emu
