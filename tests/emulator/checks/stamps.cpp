#include "checks/stamps.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace emu {
namespace {

constexpr size_t kLarge = 8 << 20;  // from here on huge pages, which are fewer to fault in

// Ordered before the warp's access by what the stamp alone says.
inline bool write_is_past(Stamp stamp, const Moment& m) {
  return (stamp < m.launch) | m.same_warp(stamp) | m.before_barrier(stamp);
}
inline bool read_is_past(Stamp stamp, const Moment& m) {
  const bool one_warp = (stamp & (kMany | kWide)) == 0, one_block = (stamp & kWide) == 0;
  return (stamp < m.launch) | (m.same_warp(stamp) & one_warp) | (m.before_barrier(stamp) & one_block);
}

// All words untouched in this launch: the usual case, and the quickest to find.
bool all_older(const Stamp* stamps, size_t count, Stamp launch) {
  Stamp highest = 0;
  for (size_t i = 0; i < count; ++i) highest = stamps[i] > highest ? stamps[i] : highest;
  return highest < launch;
}

bool all_writes_past(const Stamp* writes, size_t count, const Moment& m) {
  if (all_older(writes, count, m.launch)) return true;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) odd |= write_is_past(writes[i], m) ? 0 : -1;
  return odd == 0;
}

bool all_reads_past(const Stamp* reads, size_t count, const Moment& m) {
  if (all_older(reads, count, m.launch)) return true;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) odd |= read_is_past(reads[i], m) ? 0 : -1;
  return odd == 0;
}

}  // namespace

Stamps::Stamps(u64 begin, u64 end)
    : begin_(begin & ~u64{3}), words_((end - begin_ + 3) / 4), pages_(end / kPage - begin_ / kPage + 1) {
  void* memory =
      mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<Stamp*>(memory);
  if (bytes() >= kLarge) madvise(memory, bytes(), MADV_HUGEPAGE);
}

Stamps::~Stamps() { munmap(base_, bytes()); }

void Stamps::clear() { madvise(base_, bytes(), MADV_DONTNEED); }

// A word read before by others stays theirs where that says enough: read by several blocks, or, between two
// barriers, by several warps of this one.
bool stamp_reads(Stamps& stamps, u64 address, u64 bytes, const Moment& moment) {
  const Moment m = moment;
  const size_t count = bytes / 4;
  Stamp* const reads = stamps.read(address);
  if (stamps.highest_write(address) >= m.launch && !all_writes_past(stamps.write(address), count, m))
    return false;
  Stamp& highest = stamps.highest_read(address);
  const bool untouched = highest < m.launch;
  highest = std::max(highest, m.now);
  if (untouched || all_older(reads, count, m.launch)) {
    for (size_t i = 0; i < count; ++i) reads[i] = m.now;
    return true;
  }
  const Stamp acquired = m.acquired ? -1 : 0;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) {
    const Stamp r = reads[i];
    const bool wide = ((r & (kWide | kStrong)) == kWide) & (r >= m.launch);
    const bool shared = m.same_block(r) & ((r & (kWide | kStrong)) == 0);
    odd |= read_is_past(r, m) ? 0 : (wide | shared ? acquired : -1);
  }
  if (odd != 0) return false;
  for (size_t i = 0; i < count; ++i) {
    const Stamp r = reads[i];
    const Stamp kept = m.same_block(r) & ((r & kWide) == 0) ? m.now | kMany : r;
    reads[i] = read_is_past(r, m) ? m.now : kept;
  }
  return true;
}

bool stamp_writes(Stamps& stamps, u64 address, u64 bytes, const Moment& moment) {
  const Moment m = moment;
  const size_t count = bytes / 4;
  Stamp* const writes = stamps.write(address);
  Stamp& highest = stamps.highest_write(address);
  if (highest >= m.launch && !all_writes_past(writes, count, m)) return false;
  if (stamps.highest_read(address) >= m.launch && !all_reads_past(stamps.read(address), count, m))
    return false;
  highest = std::max(highest, m.now);
  for (size_t i = 0; i < count; ++i) writes[i] = m.now;
  return true;
}

}  // namespace emu
