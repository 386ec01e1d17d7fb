// Who touched memory last: two stamps for each four bytes, one of the last write, one of the last read.
//
// A stamp names a block of a launch (an instance, numbered through the whole run, so that stamps of earlier
// launches are the lower ones), the block's segment (what lies between two of its synchronisations), the
// warp, how the access was made, and which of the four bytes it touched.
#pragma once

#include <cstddef>

#include "engine/machine.h"

namespace emu {

using Stamp = i64;

constexpr Stamp kBytes = 15;  // which of the word's bytes
constexpr Stamp kStrong = 1 << 4;
constexpr Stamp kAtomic = 1 << 5;  // of writes
constexpr Stamp kMany = 1 << 5;    // of reads: by several warps of the block
constexpr Stamp kWide = 1 << 6;    // of reads: by several blocks
constexpr int kWarpShift = 7, kSegmentShift = 12, kInstanceShift = 41;
constexpr u32 kInstances = 1u << 22, kSegments = 1u << 29;

inline u32 instance_of(Stamp stamp) { return static_cast<u32>(stamp >> kInstanceShift); }
inline u32 segment_of(Stamp stamp) { return static_cast<u32>(stamp >> kSegmentShift) & (kSegments - 1); }
inline u32 warp_of(Stamp stamp) { return static_cast<u32>(stamp >> kWarpShift) & 31; }

/// The stamps of some memory, all zero at first, and for each of its pages the highest of either kind, so
/// that what was never written need not be looked through. Host memory that nobody touches costs nothing.
class Stamps {
 public:
  static constexpr u64 kPage = 1024;  // bytes of the memory

  Stamps(u64 begin, u64 end);
  ~Stamps();
  Stamps(const Stamps&) = delete;
  Stamps& operator=(const Stamps&) = delete;
  void clear();
  void forget(u64 address, u64 bytes);
  u64 begin() const { return begin_; }
  u64 end() const { return begin_ + words_ * 4; }
  Stamp* write(u64 address) { return base_ + (address - begin_) / 4; }
  Stamp* read(u64 address) { return write(address) + words_; }
  Stamp& highest_write(u64 address) { return base_[2 * words_ + address / kPage - begin_ / kPage]; }
  Stamp& highest_read(u64 address) { return (&highest_write(address))[pages_]; }

 private:
  size_t bytes() const { return (words_ + pages_) * 2 * sizeof(Stamp); }
  u64 begin_;
  size_t words_, pages_;
  Stamp* base_ = nullptr;
};

/// What a warp compares stamps with.
struct Moment {
  Stamp launch = 0;       // stamps below are of earlier launches
  Stamp block = 0;        // the block's lowest stamp
  Stamp past = 0;         // stamps below are of what is in order, whatever else they say
  Stamp barrier = 0;      // stamps of the block below it are from before its last barrier
  Stamp now = 0;          // the warp's own, for all bytes of a word
  bool acquired = false;  // something was acquired, so there is more order than that

  bool same_block(Stamp stamp) const { return ((stamp ^ block) >> kInstanceShift) == 0; }
  bool same_warp(Stamp stamp) const { return ((stamp ^ now) & ~(kMiddle | 127)) == 0; }
  bool before_barrier(Stamp stamp) const { return stamp >= block && stamp < barrier; }

 private:
  static constexpr Stamp kMiddle = static_cast<Stamp>(kSegments - 1) << kSegmentShift;
};

/// Stamps `bytes` bytes of whole words, all in one page, that a warp reads or writes plainly. False, and
/// nothing is changed, when some word needs a closer look.
bool stamp_reads(Stamps& stamps, u64 address, u64 bytes, const Moment& moment);
bool stamp_writes(Stamps& stamps, u64 address, u64 bytes, const Moment& moment);

}  // namespace emu
