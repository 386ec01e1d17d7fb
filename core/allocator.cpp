#include "core/allocator.h"

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {

size_t round_to_size_class(size_t bytes) {
  if (bytes <= 512) return 512;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

struct CachingAllocator::State {
  explicit State(std::shared_ptr<const DeviceQueue> queue) : queue(std::move(queue)) {}
  ~State() { release(); }

  const std::shared_ptr<const DeviceQueue> queue;
  std::mutex mutex;
  std::map<size_t, std::vector<std::byte*>> free_blocks;  // by size class
  Statistics statistics;

  void release() {
    for (auto& [size, blocks] : free_blocks) {
      for (std::byte* block : blocks) {
        device_free(queue->device, block, queue->stream.handle());
        statistics.bytes_reserved -= size;
      }
    }
    free_blocks.clear();
  }

  std::byte* take(size_t size) {
    std::lock_guard lock(mutex);
    std::byte* block = nullptr;
    if (auto it = free_blocks.find(size); it != free_blocks.end() && !it->second.empty()) {
      block = it->second.back();
      it->second.pop_back();
    } else {
      block = allocate_from_system(size);
    }
    statistics.allocations++;
    statistics.bytes_in_use += size;
    statistics.peak_in_use = std::max(statistics.peak_in_use, statistics.bytes_in_use);
    return block;
  }

  std::byte* allocate_from_system(size_t size) {
    void* block = device_try_allocate(queue->device, size, queue->stream.handle());
    if (!block) {  // cached blocks of other sizes may make room
      release();
      block = device_try_allocate(queue->device, size, queue->stream.handle());
    }
    if (!block) {
      fail(
          "out of memory on device {}: {} bytes were asked for with {} in use; use a smaller batch, "
          "--accum-freq or --grad-checkpointing",
          name_of(queue->device), size, statistics.bytes_in_use);
    }
    statistics.bytes_reserved += size;
    statistics.system_allocations++;
    return static_cast<std::byte*>(block);
  }

  void give_back(std::byte* block, size_t size) {
    std::lock_guard lock(mutex);
    free_blocks[size].push_back(block);
    statistics.bytes_in_use -= size;
  }
};

CachingAllocator::Block::Block(std::shared_ptr<State> owner, size_t bytes)
    : owner_(std::move(owner)),
      queue_(*owner_->queue),
      size_(round_to_size_class(bytes)),
      data_(owner_->take(size_)) {}

CachingAllocator::Block::~Block() { owner_->give_back(data_, size_); }

CachingAllocator::CachingAllocator(std::shared_ptr<const DeviceQueue> queue)
    : state_(std::make_shared<State>(std::move(queue))) {}

std::shared_ptr<const CachingAllocator::Block> CachingAllocator::allocate(size_t bytes) {
  return std::make_shared<const Block>(state_, bytes);
}

CachingAllocator::Statistics CachingAllocator::statistics() const {
  std::lock_guard lock(state_->mutex);
  return state_->statistics;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(state_->mutex);
  state_->statistics.peak_in_use = state_->statistics.bytes_in_use;
}

void CachingAllocator::release_cached() {
  std::lock_guard lock(state_->mutex);
  state_->release();
}

}  // namespace cuclip
