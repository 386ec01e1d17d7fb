#include "checks/stamps.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <new>

namespace emu {
namespace {

constexpr size_t kLarge = 8 << 20;  // from here on huge pages, which are fewer to fault in

// Whether the stamp by itself shows that it is ordered before the warp's access.
inline bool write_is_past(Stamp stamp, const Moment& m) {
  const bool earlier = stamp < m.launch, own = m.same_warp(stamp), barred = m.before_barrier(stamp);
  return earlier | own | barred;
}
inline bool read_is_past(Stamp stamp, const Moment& m) {
  const bool one_warp = (stamp & (kMany | kWide)) == 0, one_block = (stamp & kWide) == 0;
  const bool earlier = stamp < m.launch, own = m.same_warp(stamp), barred = m.before_barrier(stamp);
  return earlier | (own & one_warp) | (barred & one_block);
}

// What is known of some stamps together.
struct Summary {
  Stamp low = std::numeric_limits<Stamp>::max(), high = 0;
  Stamp any = 0, all = -1;  // bits
};
Summary summary_of(const Stamp* stamps, size_t count) {
  Summary s;
  for (size_t i = 0; i < count; ++i) {
    s.low = stamps[i] < s.low ? stamps[i] : s.low;
    s.high = stamps[i] > s.high ? stamps[i] : s.high;
    s.any |= stamps[i];
    s.all &= stamps[i];
  }
  return s;
}

// The usual case, and the quickest to find.
bool all_older(const Stamp* stamps, size_t count, Stamp past) {
  Stamp highest = 0;
  for (size_t i = 0; i < count; ++i) highest = stamps[i] > highest ? stamps[i] : highest;
  return highest < past;
}

bool all_writes_past(const Stamp* writes, size_t count, const Moment& m) {
  if (all_older(writes, count, m.past)) return true;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) odd |= write_is_past(writes[i], m) ? 0 : -1;
  return odd == 0;
}

bool all_reads_past(const Stamp* reads, size_t count, const Moment& m) {
  if (all_older(reads, count, m.past)) return true;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) odd |= read_is_past(reads[i], m) ? 0 : -1;
  return odd == 0;
}

// Read by several blocks, or, since the barrier, by several warps of the block: that says enough of every
// word.
bool are_shared(const Summary& reads, const Moment& m) {
  if (m.acquired || (reads.any & kStrong) != 0) return false;
  if ((reads.all & kWide) != 0) return reads.low >= m.launch;
  return (reads.all & kMany) != 0 && (reads.any & kWide) == 0 && reads.low >= m.barrier &&
         m.same_block(reads.high);
}

// False, and nothing is changed, when some word's readers need a closer look.
bool join_readers(Stamp* reads, size_t count, const Moment& m) {
  const Stamp acquired = m.acquired ? -1 : 0;
  Stamp odd = 0;
  for (size_t i = 0; i < count; ++i) {
    const Stamp r = reads[i];
    const bool wide = ((r & (kWide | kStrong)) == kWide) & (r >= m.launch);
    const bool shared = m.same_block(r) & ((r & (kWide | kStrong)) == 0);
    odd |= read_is_past(r, m) ? 0 : ((wide | shared) ? acquired : -1);
  }
  if (odd != 0) return false;
  for (size_t i = 0; i < count; ++i) {
    const Stamp r = reads[i];
    const Stamp kept = (m.same_block(r) & ((r & kWide) == 0)) ? (m.now & (r | ~kBytes)) | kMany : r;
    reads[i] = read_is_past(r, m) ? m.now : kept;
  }
  return true;
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

void Stamps::forget(u64 address, u64 bytes) {
  const size_t count = (bytes + 3) / 4;
  std::fill_n(write(address), count, 0);
  std::fill_n(read(address), count, 0);
}

bool stamp_reads(Stamps& stamps, u64 address, u64 bytes, const Moment& moment) {
  const Moment m = moment;
  const size_t count = bytes / 4;
  Stamp* const reads = stamps.read(address);
  if (stamps.highest_write(address) >= m.past && !all_writes_past(stamps.write(address), count, m))
    return false;
  Stamp& highest = stamps.highest_read(address);
  const bool touched = highest >= m.past;
  highest = std::max(highest, m.now);
  if (touched) {
    const Summary summary = summary_of(reads, count);
    if (are_shared(summary, m)) return true;
    if (summary.high >= m.past) return join_readers(reads, count, m);
  }
  for (size_t i = 0; i < count; ++i) reads[i] = m.now;
  return true;
}

bool stamp_writes(Stamps& stamps, u64 address, u64 bytes, const Moment& moment) {
  const Moment m = moment;
  const size_t count = bytes / 4;
  Stamp* const writes = stamps.write(address);
  Stamp& highest = stamps.highest_write(address);
  if (highest >= m.past && !all_writes_past(writes, count, m)) return false;
  if (stamps.highest_read(address) >= m.past && !all_reads_past(stamps.read(address), count, m)) return false;
  highest = std::max(highest, m.now);
  for (size_t i = 0; i < count; ++i) writes[i] = m.now;
  return true;
}

}  // namespace emu
