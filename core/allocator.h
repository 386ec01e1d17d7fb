// Memory for tensors: pieces are kept and handed out again instead of going back to the system, because a
// training step asks for the same sizes every time; fresh pages cost a fault each, and CUDA's allocation
// waits for the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/common/stream.h"

namespace cuclip {

/// A device and, on CUDA, the stream on which everything of one owner is ordered. Shared by everyone who has
/// memory there, since memory is passed on in the stream's order.
struct DeviceQueue {
  explicit DeviceQueue(Device device) : device(device), stream(device) {}
  Device device;
  DeviceStream stream;
};

/// Caching allocator for the memory of one device: takes segments from the system, cuts pieces from the
/// smallest free one that is large enough, and joins them again when they come back. Thread-safe. Blocks may
/// outlive the allocator object. On CUDA a block that comes back may be handed out again at once, while
/// kernels still use it: its next user's kernels follow them on the same stream.
class CachingAllocator {
  struct State;

 public:
  static constexpr size_t kAlignment = kDeviceAlignment;

  struct Statistics {
    size_t bytes_in_use = 0;    // held by tensors and scratch, each rounded up to 512
    size_t bytes_reserved = 0;  // in use + cached
    size_t peak_in_use = 0;
    int64_t allocations = 0;  // requests
    int64_t system_allocations = 0;
  };

  /// A piece of memory. Goes back to its allocator when it is destroyed.
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
    std::byte* data_;
  };

  explicit CachingAllocator(std::shared_ptr<const DeviceQueue> queue);
  /// For recorded work, which refers to the memory: what is cached stays even when the system has no more.
  /// What `other`, an allocator of the same queue that is not for recorded work, has cached is freed instead.
  CachingAllocator(std::shared_ptr<const DeviceQueue> queue, const CachingAllocator& other);

  /// At least `bytes` bytes, 64-byte aligned, uninitialised. When the device has no more, throws Error saying
  /// how much was asked for and how much is in use.
  std::shared_ptr<const Block> allocate(size_t bytes);

  Statistics statistics() const;
  void reset_peak();
  /// Returns segments that are wholly free to the system.
  void release_cached();
  /// From now on `release` is called when the device has no more memory, and what is cached here was not
  /// enough: it frees what it can elsewhere, not here.
  void on_shortage(std::function<void()> release);
  /// Takes a segment of this size from the system now, so that what follows can share it.
  void reserve(size_t bytes);

 private:
  std::shared_ptr<State> state_;
};

}  // namespace cuclip
