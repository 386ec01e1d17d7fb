#include "checks/order.h"

#include <algorithm>

namespace emu {

bool Releases::before(u32 segment, u64 time) const {
  const auto at = std::upper_bound(all_.begin(), all_.end(), segment,
                                   [](u32 value, const auto& release) { return value < release.first; });
  return at != all_.end() && at->second <= time;
}

bool Order::begin(u32 blocks) {
  // Launches run one at a time.
  static u32 next = 1;
  const bool fits = blocks <= most_blocks() && next + blocks < kInstances;
  if (!fits) next = 1;
  first_ = next;
  next += std::min(blocks, most_blocks());
  ended_.assign(std::min(blocks, most_blocks()), false);
  return fits;
}

void Order::release(u32 instance, u32 bound, u64 time) {
  const std::lock_guard lock(mutex_);
  releases_[instance].add(bound, time);
  released_.store(true, std::memory_order_release);
}

void Order::release_reads(u32 instance, u32 bound, u64 time) {
  const std::lock_guard lock(mutex_);
  read_releases_[instance].add(bound, time);
}

void Order::store(u64 place, const Times& times) {
  const std::lock_guard lock(mutex_);
  places_[place].raise(times);
  released_.store(true, std::memory_order_release);
}

Times Order::load(u64 place) {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(place);
  return found == places_.end() ? Times{} : found->second;
}

bool Order::released_before(u32 instance, u32 segment, u64 time) {
  const std::lock_guard lock(mutex_);
  const auto found = releases_.find(instance);
  return found != releases_.end() && found->second.before(segment, time);
}

bool Order::reads_released_before(u32 instance, u32 segment, u64 time) {
  const std::lock_guard lock(mutex_);
  const auto found = read_releases_.find(instance);
  return found != read_releases_.end() && found->second.before(segment, time);
}

void Order::suspect(u32 reader, u64 place, Finding finding) {
  const std::lock_guard lock(mutex_);
  if (ended_[reader - first_]) return report_(finding);
  suspicions_.try_emplace({reader, place}, std::move(finding));
  suspected_ = static_cast<u32>(suspicions_.size());
}

void Order::forgive(u32 reader, u64 place) {
  if (suspected_ == 0) return;
  const std::lock_guard lock(mutex_);
  suspicions_.erase({reader, place});
  suspected_ = static_cast<u32>(suspicions_.size());
}

void Order::end(u32 instance) {
  const std::lock_guard lock(mutex_);
  ended_[instance - first_] = true;
  const auto from = suspicions_.lower_bound({instance, 0});
  const auto to = suspicions_.lower_bound({instance + 1, 0});
  for (auto at = from; at != to; ++at) report_(at->second);
  suspicions_.erase(from, to);
  suspected_ = static_cast<u32>(suspicions_.size());
}

}  // namespace emu
