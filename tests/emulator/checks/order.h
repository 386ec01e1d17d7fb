// What orders the accesses of different blocks inside one launch.
//
// A block releases what it did before a fence with its next atomic or strong store, and what it read (which
// has arrived) with any strong store; the place where that is stored keeps the time. Who then reads the place
// with an atomic or a strong load has acquired all that was released up to that time. Times are a launch's
// count of releases, so a block that acquires one release is taken to have acquired every earlier one too:
// some races are missed, but accesses that are in order are never reported.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "checks/stamps.h"

namespace emu {

/// Up to when something has been released or acquired: between the warps of a block, and between blocks.
struct Times {
  u64 block = 0, device = 0;
  u64 reads = 0;  // of global memory
  bool raise(const Times& other) {
    const bool raised = other.block > block || other.device > device || other.reads > reads;
    block = std::max(block, other.block);
    device = std::max(device, other.device);
    reads = std::max(reads, other.reads);
    return raised;
  }
};

/// The releases of one block: the segments below a bound were released at a time.
class Releases {
 public:
  void add(u32 bound, u64 time) { all_.emplace_back(bound, time); }
  /// Was the segment released at that time or before?
  bool before(u32 segment, u64 time) const;

 private:
  std::vector<std::pair<u32, u64>> all_;  // both grow
};

/// Something that the checks have found: what, at which instruction, as a text for people.
struct Finding {
  const Inst* place = nullptr;
  const char* what = "";  // a literal
  std::string key;        // the same for every launch and device
  std::string text;
};

class Order {
 public:
  using Report = std::function<void(const Finding&)>;
  explicit Order(Report report) : report_(std::move(report)) {}

  /// Takes numbers for a launch's blocks; false when there are too many of them.
  bool begin(u32 blocks);
  u32 first_instance() const { return first_; }
  static constexpr u32 most_blocks() { return kInstances - 2; }

  u64 next_time() { return time_.fetch_add(1) + 1; }
  bool anything_released() const { return released_.load(std::memory_order_acquire); }
  void release(u32 instance, u32 bound, u64 time);
  void release_reads(u32 instance, u32 bound, u64 time);
  void store(u64 place, const Times& times);
  Times load(u64 place);
  bool released_before(u32 instance, u32 segment, u64 time);
  bool reads_released_before(u32 instance, u32 segment, u64 time);

  /// A plain read that races with an atomic is forgiven if the reader goes on to change the place with an
  /// atomic itself, as compare-and-swap loops do. Otherwise it is reported when the reader's block ends.
  void suspect(u32 reader, u64 place, Finding finding);
  void forgive(u32 reader, u64 place);
  void end(u32 instance);

 private:
  Report report_;
  u32 first_ = 0;
  std::atomic<u64> time_{0};
  std::atomic<bool> released_{false};
  std::atomic<u32> suspected_{0};
  std::mutex mutex_;
  std::unordered_map<u32, Releases> releases_, read_releases_;
  std::unordered_map<u64, Times> places_;
  std::map<std::pair<u32, u64>, Finding> suspicions_;
  std::vector<bool> ended_;
};

}  // namespace emu
