// Memory for tensors: blocks are kept and handed out again instead of going back to the system, because a
// training step asks for the same sizes every time; fresh pages cost a fault each, and the CUDA runtime's
// allocator a call that a captured graph cannot hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/common/device.h"

namespace cuclip {

/// A device and, on CUDA, the stream that everything of one owner is ordered on. Shared by whoever has memory
/// there, since memory goes back in the stream's order.
struct DeviceQueue {
  explicit DeviceQueue(Device device) : device(device), stream(device) {}
  Device device;
  DeviceStream stream;
};

/// Caching allocator for the memory of one device. Thread-safe. Blocks may outlive the allocator object.
/// On CUDA a block that comes back is handed out at once, while kernels may still use it: its next user's
/// kernels follow them on the same stream.
class CachingAllocator {
  struct State;

 public:
  static constexpr size_t kAlignment = kDeviceAlignment;

  struct Statistics {
    size_t bytes_in_use = 0;    // held by tensors, after rounding to a size class
    size_t bytes_reserved = 0;  // in use + cached
    size_t peak_in_use = 0;
    int64_t allocations = 0;  // requests
    int64_t system_allocations = 0;
  };

  /// A piece of memory. Goes back to its allocator at its end.
  class Block {
   public:
    Block(std::shared_ptr<State> owner, size_t bytes);
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    std::byte* data() const { return data_; }
    Device device() const { return queue_.device; }
    void* stream() const { return queue_.stream.handle(); }

   private:
    std::shared_ptr<State> owner_;
    const DeviceQueue& queue_;  // the owner's
    size_t size_;
    std::byte* data_;
  };

  explicit CachingAllocator(std::shared_ptr<const DeviceQueue> queue);

  /// At least `bytes` bytes, 64-byte aligned, uninitialised. Throws Error that says how much was asked for
  /// and is in use when the device has no more.
  std::shared_ptr<const Block> allocate(size_t bytes);

  Statistics statistics() const;
  void reset_peak();
  /// Gives cached blocks back to the system.
  void release_cached();

 private:
  std::shared_ptr<State> state_;
};

/// Size classes: eight to each power of two, so at most 12.5 % is lost to rounding.
size_t round_to_size_class(size_t bytes);

}  // namespace cuclip
