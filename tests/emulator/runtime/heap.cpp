#include "runtime/heap.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace emu {
namespace {

constexpr uint64_t kAlign = 512;

uint64_t host_memory() {
  static const uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return bytes;
}

}  // namespace

uint64_t Heap::allocate(uint64_t size, Allocation::Kind kind, int device, std::string name) {
  const std::lock_guard lock(mutex_);
  if (size > limit_ - used_ || used_ + size > host_memory()) return 0;
  // A gap after each allocation, so that the next bytes belong to nobody.
  const uint64_t room = (size + kAlign - 1) / kAlign * kAlign + kAlign;
  void* memory = std::aligned_alloc(kAlign, room);
  if (memory == nullptr) return 0;
  Allocation allocation;
  allocation.begin = reinterpret_cast<uint64_t>(memory);
  allocation.size = size;
  allocation.kind = kind;
  allocation.device = device;
  if (name.empty()) allocation.id = next_id_++;
  allocation.name = std::move(name);
  if (track_) {
    allocation.defined = std::make_shared<Bits>(size);
    start_tracking(allocation);
  }
  used_ += size;
  const uint64_t address = allocation.begin;
  insert(std::move(allocation));
  return address;
}

void Heap::start_tracking(Allocation& allocation) const {
  if (allocation.size != 0) allocation.stamps = std::make_shared<Stamps>(allocation.begin, allocation.end());
}

// Drops the memory of freed allocations whose addresses are used again.
void Heap::insert(Allocation allocation) {
  auto at = all_.lower_bound(allocation.begin);
  if (at != all_.begin() && std::prev(at)->second.end() > allocation.begin && std::prev(at)->second.freed)
    --at;
  while (at != all_.end() && at->first < allocation.end() + 1 && at->second.freed) at = all_.erase(at);
  all_[allocation.begin] = std::move(allocation);
  map_.reset();
}

bool Heap::release(uint64_t address) {
  const std::lock_guard lock(mutex_);
  auto found = all_.find(address);
  if (found == all_.end() || found->second.freed || found->second.registered) return false;
  found->second.freed = true;
  found->second.defined.reset();
  found->second.stamps.reset();
  used_ -= found->second.size;
  std::free(reinterpret_cast<void*>(address));
  map_.reset();
  return true;
}

std::string Heap::describe_free(uint64_t address) const {
  const std::lock_guard lock(mutex_);
  const auto found = all_.find(address);
  if (found == all_.end() || !found->second.freed)
    return "free of an address that is not the start of an allocation";
  return "double free of allocation " + std::to_string(found->second.id) + " of " +
         std::to_string(found->second.size) + " bytes";
}

bool Heap::add_host(uint64_t address, uint64_t size) {
  const std::lock_guard lock(mutex_);
  auto found = all_.find(address);
  if (found != all_.end() && !found->second.freed) return false;
  Allocation allocation;
  allocation.begin = address;
  allocation.size = size;
  allocation.kind = Allocation::Kind::pinned;
  allocation.registered = true;
  allocation.id = next_id_++;
  if (track_) start_tracking(allocation);
  insert(std::move(allocation));
  return true;
}

bool Heap::remove_host(uint64_t address) {
  const std::lock_guard lock(mutex_);
  auto found = all_.find(address);
  if (found == all_.end() || !found->second.registered) return false;
  all_.erase(found);
  map_.reset();
  return true;
}

void Heap::set_flags(uint64_t address, unsigned flags) {
  const std::lock_guard lock(mutex_);
  const auto found = all_.find(address);
  if (found != all_.end()) found->second.flags = flags;
}

bool Heap::set_name(uint64_t address, std::string name) {
  const std::lock_guard lock(mutex_);
  const auto found = all_.find(address);
  if (found == all_.end() || found->second.freed) return false;
  found->second.name = std::move(name);
  map_.reset();
  return true;
}

bool Heap::find(uint64_t address, Allocation& out) const {
  const std::lock_guard lock(mutex_);
  auto after = all_.upper_bound(address);
  if (after == all_.begin()) return false;
  const Allocation& candidate = std::prev(after)->second;
  if (candidate.freed || address >= candidate.end() + (candidate.size == 0)) return false;
  out = candidate;
  return true;
}

std::shared_ptr<const MemoryMap> Heap::map() const {
  const std::lock_guard lock(mutex_);
  if (map_ == nullptr) {
    auto fresh = std::make_shared<MemoryMap>();
    for (const auto& [begin, allocation] : all_) fresh->push_back(allocation);
    map_ = fresh;
  }
  return map_;
}

void Heap::define(uint64_t address, uint64_t size) {
  Allocation allocation;
  if (!find(address, allocation) || allocation.defined == nullptr) return;
  const uint64_t first = address - allocation.begin;
  allocation.defined->set(first, std::min(size, allocation.size - first));
}

void Heap::forget(uint64_t address, uint64_t size) {
  Allocation allocation;
  if (find(address, allocation) && allocation.stamps != nullptr) allocation.stamps->forget(address, size);
}

uint64_t Heap::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace emu
