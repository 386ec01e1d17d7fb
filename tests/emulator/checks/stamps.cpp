#include "checks/stamps.h"

#include <sys/mman.h>

#include <new>

namespace emu {
namespace {

size_t bytes_of(size_t words) { return words * 2 * sizeof(Stamp); }

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

Stamps::Stamps(size_t words) : words_(words) {
  void* memory = mmap(nullptr, bytes_of(words), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<Stamp*>(memory);
  constexpr size_t huge = 2 << 20;
  if (bytes_of(words) >= 4 * huge) madvise(memory, bytes_of(words), MADV_HUGEPAGE);
}

Stamps::~Stamps() { munmap(base_, bytes_of(words_)); }

void Stamps::clear() { madvise(base_, bytes_of(words_), MADV_DONTNEED); }

// A word read before by others stays theirs where that says enough: read by several blocks, or, between two
// barriers, by several warps of this one.
bool stamp_reads(const Stamp* writes, Stamp* reads, size_t count, const Moment& moment) {
  const Moment m = moment;
  if (!all_writes_past(writes, count, m)) return false;
  if (all_older(reads, count, m.launch)) {
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

bool stamp_writes(Stamp* writes, const Stamp* reads, size_t count, const Moment& moment) {
  const Moment m = moment;
  if (!all_writes_past(writes, count, m) || !all_reads_past(reads, count, m)) return false;
  for (size_t i = 0; i < count; ++i) writes[i] = m.now;
  return true;
}

}  // namespace emu
