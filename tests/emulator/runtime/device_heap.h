// One block of addresses, cut up first fit: the heap of device malloc, and the devices' memory.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

namespace emu {

class DeviceHeap {
 public:
  DeviceHeap(uint64_t begin, uint64_t size) : begin_(begin) { free_[0] = size; }
  /// 16-byte aligned; 0 when nothing so large is free, as device malloc then returns.
  uint64_t allocate(uint64_t size);
  /// False for an address that is not the start of what is allocated.
  bool release(uint64_t address);

 private:
  const uint64_t begin_;
  std::mutex mutex_;
  std::map<uint64_t, uint64_t> free_, taken_;  // offset -> size
};

}  // namespace emu
