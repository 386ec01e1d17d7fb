// Memory of a block that lies apart from all else in the host.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emu {

/// Memory that a 32-bit offset from any byte of it cannot leave but to where nothing is mapped: what goes
/// wrong there becomes a fault of the program under test, whatever is checked, and does not touch the host's
/// memory.
class GuardedMemory {
 public:
  GuardedMemory() = default;
  ~GuardedMemory() { release(); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  /// At least so many bytes, from a multiple of 64 on. Where there were fewer, what they held is lost.
  void grow(uint64_t bytes);
  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  void release();
  void* base_ = nullptr;
  size_t reserved_ = 0;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace emu
