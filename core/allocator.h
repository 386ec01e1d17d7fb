// Memory for tensors: blocks are kept and handed out again instead of going back to the system, because a
// training step asks for the same sizes every time and fresh pages cost a fault each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace cuclip {

/// A piece of memory. Goes back to its allocator when the last owner lets go.
using Block = std::shared_ptr<std::byte>;

/// Caching allocator for CPU memory. Thread-safe. Blocks may outlive the allocator object.
class CachingAllocator {
 public:
  static constexpr size_t kAlignment = 64;

  struct Statistics {
    size_t bytes_in_use = 0;    // held by tensors, after rounding to a size class
    size_t bytes_reserved = 0;  // in use + cached
    size_t peak_in_use = 0;
    int64_t allocations = 0;  // requests
    int64_t system_allocations = 0;
  };

  CachingAllocator();

  /// At least `bytes` bytes, 64-byte aligned, uninitialised. Throws Error that says how much was asked for
  /// and is in use when the system has no more.
  Block allocate(size_t bytes);

  Statistics statistics() const;
  void reset_peak();
  /// Gives cached blocks back to the system.
  void release_cached();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Size classes: eight to each power of two, so at most 12.5 % is lost to rounding.
size_t round_to_size_class(size_t bytes);

}  // namespace cuclip
