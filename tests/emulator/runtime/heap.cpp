#include "runtime/heap.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace emu {
namespace {

constexpr uint64_t kAlign = 512, kPage = 4096;
constexpr uint64_t kMostReserved = uint64_t{1} << 44, kLeastReserved = uint64_t{1} << 32;
constexpr uint64_t kMostKept = 32 << 20;  // bytes of a freed allocation that do not go back to the host
constexpr int kAlone = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

uint64_t host_memory() {
  static const uint64_t bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  return bytes;
}

// The host has a limit for the number of mappings (vm.max_map_count).
void note_not_taken_away(int error) {
  static std::once_flag once;
  std::call_once(once, [error] {
    std::fprintf(
        stderr,
        "emulate: freed memory cannot be taken away from the program: %s; host code that still uses it "
        "is not caught\n",
        std::strerror(error));
  });
}

}  // namespace

uint64_t Heap::allocate(uint64_t size, Allocation::Kind kind, int device, std::string name) {
  const std::lock_guard lock(mutex_);
  if (size > limit_ - used_ || used_ + size > host_memory()) return 0;
  const uint64_t begin = take(size);
  if (begin == 0) return 0;
  Allocation allocation;
  allocation.begin = begin;
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

// Whole pages, the allocation at their end, and a page behind them that nobody can touch.
uint64_t Heap::take(uint64_t size) {
  if (addresses_ == nullptr) {
    void* memory = MAP_FAILED;
    uint64_t reserved = kMostReserved * 2;
    while (memory == MAP_FAILED && reserved > kLeastReserved)
      memory = mmap(nullptr, reserved /= 2, PROT_NONE, kAlone, -1, 0);
    if (memory == MAP_FAILED) return 0;
    addresses_ = std::make_unique<DeviceHeap>(reinterpret_cast<uint64_t>(memory), reserved);
  }
  const uint64_t pages = round_up(size, kPage), first = addresses_->allocate(pages + kPage);
  if (first == 0) return 0;
  if (mprotect(reinterpret_cast<void*>(first), pages, PROT_READ | PROT_WRITE) != 0) {
    addresses_->release(first);
    return 0;
  }
  return first + pages - round_up(size, kAlign);
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
  // It is no longer there for whoever still uses it. What is small is kept for the next allocation: the host
  // gives zeroed pages slowly.
  const uint64_t first = address / kPage * kPage, pages = round_up(found->second.end() - first, kPage);
  void* const memory = reinterpret_cast<void*>(first);
  const bool taken_away = pages <= kMostKept
                              ? mprotect(memory, pages, PROT_NONE) == 0
                              : mmap(memory, pages, PROT_NONE, kAlone | MAP_FIXED, -1, 0) == memory;
  if (!taken_away) note_not_taken_away(errno);
  addresses_->release(first);
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

std::optional<Allocation> Heap::find(uint64_t address) const {
  const std::lock_guard lock(mutex_);
  auto after = all_.upper_bound(address);
  if (after == all_.begin()) return std::nullopt;
  const Allocation& candidate = std::prev(after)->second;
  if (candidate.freed || address >= candidate.end() + (candidate.size == 0)) return std::nullopt;
  return candidate;
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
  const auto allocation = find(address);
  if (!allocation || allocation->defined == nullptr) return;
  const uint64_t first = address - allocation->begin;
  allocation->defined->set(first, std::min(size, allocation->size - first));
}

void Heap::forget(uint64_t address, uint64_t size) {
  const auto allocation = find(address);
  if (allocation && allocation->stamps != nullptr) allocation->stamps->forget(address, size);
}

uint64_t Heap::used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace emu
