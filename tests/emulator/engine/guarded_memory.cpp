#include "engine/guarded_memory.h"

#include <sys/mman.h>

#include <new>

namespace emu {
namespace {

constexpr size_t kPage = 4096,
                 kReach = (size_t{1} << 32) + (1 << 16);  // of a 32-bit offset and a vector there

}  // namespace

// It ends where its last page does, so that the first byte behind it is nobody's.
void GuardedMemory::grow(uint64_t bytes) {
  if (bytes <= size_) return;
  release();
  bytes = (bytes + 63) / 64 * 64;
  const size_t pages = (bytes + kPage - 1) / kPage * kPage;
  void* base = mmap(nullptr, pages + kReach, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  base_ = base;
  reserved_ = pages + kReach;
  if (mprotect(base, pages, PROT_READ | PROT_WRITE) != 0) {
    release();
    throw std::bad_alloc();
  }
  data_ = static_cast<uint8_t*>(base) + (pages - bytes);
  size_ = bytes;
}

void GuardedMemory::release() {
  if (base_ != nullptr) munmap(base_, reserved_);
  base_ = nullptr;
  data_ = nullptr;
  size_ = 0;
}

}  // namespace emu
