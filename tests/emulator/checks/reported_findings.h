// Which findings have been reported.
#pragma once

#include <array>
#include <atomic>

#include "engine/machine.h"

namespace emu {

/// A loop can find the same a million times. It is reported once, and a text for people costs a thousand
/// times what the look here does. Findings that fall onto one slot take turns: they may be told anew, but
/// none goes untold.
class ReportedFindings {
 public:
  /// `what`: a literal, told apart by its address.
  bool has(const Inst* place, const char* what) const {
    const u64 key = key_of(place, what);
    return slots_[slot_of(key)].load(std::memory_order_relaxed) == key;
  }
  void add(const Inst* place, const char* what) {
    const u64 key = key_of(place, what);
    slots_[slot_of(key)].store(key, std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kSlots = 4096;
  // Two addresses in 64 bits: of an instruction, which is a cache line, 41; of a literal, which is one of a
  // library's of less than 8 MiB, 23.
  static u64 key_of(const Inst* place, const char* what) {
    return (reinterpret_cast<u64>(place) >> 6 << 23) | (reinterpret_cast<u64>(what) & ((1u << 23) - 1));
  }
  static size_t slot_of(u64 key) { return key * 0x9e3779b97f4a7c15ull >> 52; }

  std::array<std::atomic<u64>, kSlots> slots_{};
};

}  // namespace emu
