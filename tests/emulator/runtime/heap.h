// Device memory is host memory: an address means the same on both sides. This keeps the books. It lies apart
// from the host's own heap, with a page that nobody can touch behind each allocation: what a kernel does
// wrong, unchecked, is a fault or stays in the device's memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "checks/bits.h"
#include "checks/stamps.h"
#include "runtime/device_heap.h"

namespace emu {

struct Allocation {
  enum class Kind : uint8_t { device, pinned, managed, variable };
  uint64_t begin = 0, size = 0;
  Kind kind = Kind::device;
  int device = 0;
  uint64_t id = 0;  // in order of allocation; of what has no name
  std::string name;
  unsigned flags = 0;  // cudaHostAlloc's
  bool freed = false;
  bool registered = false;         // cudaHostRegister: the program's own memory
  std::shared_ptr<Bits> defined;   // which bytes were written, for the checks; may be null
  std::shared_ptr<Stamps> stamps;  // who touched them last; may be null
  uint64_t end() const { return begin + size; }
};

/// A consistent view of all allocations, sorted by address, freed ones included.
using MemoryMap = std::vector<Allocation>;

class Heap {
 public:
  /// `limit`: bytes. `track`: keeps for every allocation what the full checks want.
  Heap(uint64_t limit, bool track) : limit_(limit), track_(track) {}
  /// Zero when there is not enough memory.
  uint64_t allocate(uint64_t size, Allocation::Kind kind, int device, std::string name = {});
  /// False for an address that is not the start of a live allocation.
  bool release(uint64_t address);
  /// What is wrong with freeing an address that release() refuses.
  std::string describe_free(uint64_t address) const;
  bool add_host(uint64_t address, uint64_t size);
  bool remove_host(uint64_t address);
  /// False when there is no allocation that begins there.
  bool set_name(uint64_t address, std::string name);
  void set_flags(uint64_t address, unsigned flags);
  /// The live allocation that holds an address, if one does.
  std::optional<Allocation> find(uint64_t address) const;
  std::shared_ptr<const MemoryMap> map() const;
  /// Marks bytes as written (by a copy or memset).
  void define(uint64_t address, uint64_t size);
  /// Forgets who touched bytes that change hands.
  void forget(uint64_t address, uint64_t size);
  uint64_t limit() const { return limit_; }
  uint64_t used() const;

 private:
  /// Readable and writable bytes at an address; zero when there is no room.
  uint64_t take(uint64_t size);
  void insert(Allocation allocation);
  void start_tracking(Allocation& allocation) const;
  mutable std::mutex mutex_;
  std::unique_ptr<DeviceHeap> addresses_;  // of pages; made on first use
  std::map<uint64_t, Allocation> all_;
  mutable std::shared_ptr<const MemoryMap> map_;
  uint64_t next_id_ = 0, used_ = 0;
  const uint64_t limit_;
  const bool track_;
};

}  // namespace emu
