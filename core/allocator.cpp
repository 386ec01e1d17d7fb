#include "core/allocator.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <set>

#include "kernels/common/check.h"
#include "kernels/common/rounding.h"

namespace cuclip {
namespace {

constexpr size_t kGranularity = 512;
// Small requests have segments of their own: a long-lived bias would otherwise keep a large piece from being
// whole again.
constexpr size_t kSmall = size_t{1} << 20;
// Segments are multiples of these sizes. Large segments that several requests share leave less memory idle: a
// training step of 233 MiB reserves 364 MiB with 2 MiB here, 254 with 16, 270 with 64.
constexpr size_t kSmallSegment = size_t{2} << 20, kLargeSegment = size_t{16} << 20;

}  // namespace

struct CachingAllocator::State {
  State(std::shared_ptr<const DeviceQueue> queue, std::shared_ptr<State> other)
      : queue(std::move(queue)), other(std::move(other)) {}
  ~State() { release(); }

  struct Piece {
    size_t size;
    bool begins_segment, small, in_use;
  };
  using Pieces = std::map<std::byte*, Piece>;
  using FreePieces = std::set<std::pair<size_t, std::byte*>>;

  const std::shared_ptr<const DeviceQueue> queue;
  const std::shared_ptr<State> other;  // gives up its cached segments instead of this one, which keeps them
  std::mutex mutex;
  Pieces pieces;              // all, by address
  FreePieces free_pieces[2];  // by size: of large, of small segments
  Statistics statistics;
  std::function<void()> release_elsewhere;

  bool begins_segment_or_end(Pieces::iterator piece) const {
    return piece == pieces.end() || piece->second.begins_segment;
  }

  void release() {
    for (auto piece = pieces.begin(); piece != pieces.end();) {
      const auto next = std::next(piece);
      const auto [size, begins, small, in_use] = piece->second;
      if (begins && !in_use && begins_segment_or_end(next)) {
        device_free(queue->device, piece->first);
        free_pieces[small].erase({size, piece->first});
        pieces.erase(piece);
        statistics.bytes_reserved -= size;
      }
      piece = next;
    }
  }

  std::byte* take(size_t bytes) {
    std::lock_guard lock(mutex);
    const size_t size = std::max(round_up(bytes, kGranularity), kGranularity);
    const bool small = size <= kSmall;
    FreePieces& candidates = free_pieces[small];
    auto smallest = candidates.lower_bound({size, nullptr});
    if (smallest == candidates.end())
      smallest = add_segment(round_up(size, small ? kSmallSegment : kLargeSegment), small);
    const auto piece = pieces.find(smallest->second);
    candidates.erase(smallest);
    cut(piece, size);
    piece->second.in_use = true;
    statistics.allocations++;
    statistics.bytes_in_use += size;
    statistics.peak_in_use = std::max(statistics.peak_in_use, statistics.bytes_in_use);
    return piece->first;
  }

  FreePieces::iterator add_segment(size_t bytes, bool small) {
    void* memory = device_try_allocate(queue->device, bytes);
    if (!memory) {  // cached segments may make room
      if (other) {
        const std::lock_guard lock(other->mutex);  // never the other way round
        other->release();
      } else {
        release();
      }
      memory = device_try_allocate(queue->device, bytes);
    }
    if (!memory && release_elsewhere) {
      release_elsewhere();
      memory = device_try_allocate(queue->device, bytes);
    }
    if (!memory) {
      fail(
          "out of memory on device {}: {} bytes were asked for with {} in use; use a smaller batch or "
          "model; training also has --accum-freq and --grad-checkpointing",
          name_of(queue->device), bytes, statistics.bytes_in_use);
    }
    statistics.bytes_reserved += bytes;
    statistics.system_allocations++;
    auto* const begin = static_cast<std::byte*>(memory);
    pieces[begin] = {.size = bytes, .begins_segment = true, .small = small, .in_use = false};
    return free_pieces[small].insert({bytes, begin}).first;
  }

  // Cuts the piece down to `size` bytes and makes a free one of the rest.
  void cut(Pieces::iterator piece, size_t size) {
    const size_t rest = piece->second.size - size;
    if (rest == 0) return;
    const bool small = piece->second.small;
    std::byte* const begin = piece->first + size;
    piece->second.size = size;
    pieces[begin] = {.size = rest, .begins_segment = false, .small = small, .in_use = false};
    free_pieces[small].insert({rest, begin});
  }

  void give_back(std::byte* data) {
    std::lock_guard lock(mutex);
    auto piece = pieces.find(data);
    piece->second.in_use = false;
    statistics.bytes_in_use -= piece->second.size;
    join_with_next(piece);
    if (!piece->second.begins_segment) {
      const auto previous = std::prev(piece);
      if (!previous->second.in_use) {
        free_pieces[previous->second.small].erase({previous->second.size, previous->first});
        previous->second.size += piece->second.size;
        pieces.erase(piece);
        piece = previous;
      }
    }
    free_pieces[piece->second.small].insert({piece->second.size, piece->first});
  }

  void join_with_next(Pieces::iterator piece) {
    const auto next = std::next(piece);
    if (begins_segment_or_end(next) || next->second.in_use) return;
    free_pieces[next->second.small].erase({next->second.size, next->first});
    piece->second.size += next->second.size;
    pieces.erase(next);
  }
};

CachingAllocator::Block::Block(std::shared_ptr<State> owner, size_t bytes)
    : owner_(std::move(owner)), queue_(*owner_->queue), data_(owner_->take(bytes)) {}

CachingAllocator::Block::~Block() { owner_->give_back(data_); }

CachingAllocator::CachingAllocator(std::shared_ptr<const DeviceQueue> queue)
    : state_(std::make_shared<State>(std::move(queue), nullptr)) {}

CachingAllocator::CachingAllocator(std::shared_ptr<const DeviceQueue> queue, const CachingAllocator& other)
    : state_(std::make_shared<State>(std::move(queue), other.state_)) {}

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

void CachingAllocator::on_shortage(std::function<void()> release) {
  std::lock_guard lock(state_->mutex);
  state_->release_elsewhere = std::move(release);
}

void CachingAllocator::reserve(size_t bytes) {
  std::lock_guard lock(state_->mutex);
  state_->add_segment(round_up(bytes, kGranularity), false);
}

}  // namespace cuclip
