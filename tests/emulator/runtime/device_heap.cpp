#include "runtime/device_heap.h"

#include <algorithm>
#include <iterator>

namespace emu {

uint64_t DeviceHeap::allocate(uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (size > UINT64_MAX / 2) return 0;
  const uint64_t wanted = std::max<uint64_t>((size + 15) / 16 * 16, 16);
  const auto hole =
      std::find_if(free_.begin(), free_.end(), [&](const auto& f) { return f.second >= wanted; });
  if (hole == free_.end()) return 0;
  const auto [offset, room] = *hole;
  free_.erase(hole);
  if (room > wanted) free_[offset + wanted] = room - wanted;
  taken_[offset] = wanted;
  return begin_ + offset;
}

bool DeviceHeap::release(uint64_t address) {
  const std::lock_guard lock(mutex_);
  const auto found = taken_.find(address - begin_);
  if (found == taken_.end()) return false;
  auto hole = free_.insert(*found).first;
  taken_.erase(found);
  const auto after = std::next(hole);
  if (after != free_.end() && hole->first + hole->second == after->first) {
    hole->second += after->second;
    free_.erase(after);
  }
  if (hole == free_.begin()) return true;
  const auto before = std::prev(hole);
  if (before->first + before->second == hole->first) {
    before->second += hole->second;
    free_.erase(hole);
  }
  return true;
}

}  // namespace emu
