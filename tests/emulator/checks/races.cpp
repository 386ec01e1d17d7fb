// Races: on shared memory between the warps of a block, on global memory also between blocks.
//
// A block's barriers order all that its warps do; barriers of some of the warps count for all, so a race may
// be missed next to them but none is made up. A fence followed by an atomic or strong store releases, an
// atomic or strong load of the same place acquires (order.h). Atomics and strong accesses may meet each
// other. A store that leaves the bytes as they were is not a race.
#include <algorithm>
#include <array>
#include <bit>

#include "checks/checker.h"

namespace emu {

/// A warp's access to a word, for a closer look.
struct Checker::Touch {
  Warp& warp;
  const Inst& inst;
  const Access& access;
  const Moment moment;
  const bool shared;
  int lane = 0;
  u64 word = 0;     // its address
  Stamp bytes = 0;  // which of its bytes
};

namespace {

// Stamps of global memory are changed by several host threads, those of a page by one at a time.
class PageLock {
 public:
  PageLock(u64 address, bool needed) {
    static std::array<std::atomic_flag, 512> locks;
    if (!needed) return;
    lock_ = &locks[address / Stamps::kPage * 0x9e3779b97f4a7c15ull >> 55];
    while (lock_->test_and_set(std::memory_order_acquire)) {
    }
  }
  ~PageLock() {
    if (lock_ != nullptr) lock_->clear(std::memory_order_release);
  }
  PageLock(const PageLock&) = delete;
  PageLock& operator=(const PageLock&) = delete;

 private:
  std::atomic_flag* lock_ = nullptr;
};

Stamp bytes_mask(u64 begin, u64 end, u64 word) {
  const u64 from = begin > word ? begin - word : 0, to = end < word + 4 ? end - word : 4;
  return static_cast<Stamp>((1u << to) - (1u << from));
}

// Which lanes store an element that is in memory already.
template <class T>
u32 same_lanes(Warp& warp, const Access& access, u32 k, u32 lanes) {
  const u8* values = warp.at<u8>(access.places[k]);
  u32 same = 0;
  for_lanes(lanes, [&](int lane) {
    T value;
    std::memcpy(&value, values + static_cast<u32>(lane) * access.register_bytes, sizeof value);
    same |= static_cast<u32>(read_at<T>(access.address[lane] + k * sizeof(T)) == value) << lane;
  });
  return same;
}

u32 same_lanes(Warp& warp, const Access& access, u32 lanes) {
  const u32 element = access.bytes / access.count;
  for (u32 k = 0; k < access.count && lanes != 0; ++k) {
    lanes = element == 4   ? same_lanes<u32>(warp, access, k, lanes)
            : element == 8 ? same_lanes<u64>(warp, access, k, lanes)
            : element == 2 ? same_lanes<u16>(warp, access, k, lanes)
                           : same_lanes<u8>(warp, access, k, lanes);
  }
  return lanes;
}

// Carries out a store to [begin, end) early, while the bytes' stamps are locked: another thread that comes
// next sees whether its own store changes anything.
void store_early(Warp& warp, const Access& access, u64 begin, u64 end) {
  const u32 element = access.bytes / access.count;
  for_lanes(access.mask, [&](int lane) {
    for (u32 k = 0; k < access.count; ++k) {
      const u64 at = access.address[lane] + k * element;
      if (at < begin || at >= end) continue;
      const u8* value = warp.at<u8>(access.places[k]) + static_cast<u32>(lane) * access.register_bytes;
      std::memcpy(reinterpret_cast<void*>(at), value, element);
    }
  });
}

void raise(Stamp& highest, Stamp stamp) { highest = std::max(highest, stamp); }

// The stamp of a word that has been read since its last synchronisation, and now again. One warp's bytes add
// up. Of several readers, what is kept are the bytes that all of them read: nobody is then accused of a
// byte that no other warp has read; who reads other bytes than those before takes their place.
Stamp joined_readers(const Moment& moment, Stamp before, Stamp now) {
  const bool same_warp = moment.same_warp(before), one_warp = same_warp && (before & (kMany | kWide)) == 0;
  const Stamp bytes = one_warp ? (before | now) & kBytes : before & now & kBytes;
  if (bytes == 0) return now;
  Stamp joined = (now & ~(kBytes | kStrong)) | bytes | (before & (kMany | kWide)) | (before & now & kStrong);
  if (!same_warp) joined |= moment.same_block(before) ? kMany : kWide;
  return joined;
}

// Of shared memory, of global memory within a block and between blocks: writes what was written, writes what
// was read, reads what was written.
constexpr const char* kRaces[3][3] = {
    {"shared-memory race: writes bytes which another warp wrote since the last barrier",
     "shared-memory race: writes bytes which another warp read since the last barrier",
     "shared-memory race: reads bytes which another warp wrote since the last barrier"},
    {"global-memory race: writes bytes which another warp wrote since the last barrier",
     "global-memory race: writes bytes which another warp read since the last barrier",
     "global-memory race: reads bytes which another warp wrote since the last barrier"},
    {"global-memory race: writes bytes which another block wrote",
     "global-memory race: writes bytes which another block read",
     "global-memory race: reads bytes which another block wrote"}};

bool is_plain_store(const Access& access) {
  return access.kind == Access::Kind::store && access.places != nullptr && !access.strong;
}

}  // namespace

void Checker::begin_launch(const Launch& launch) {
  const bool fresh = order_.begin(launch.blocks());
  between_blocks_ = launch.blocks() <= Order::most_blocks();
  concurrent_ = launch.options->threads > 1 && launch.blocks() > 1;
  if (fresh) return;
  for (CheckedRange& range : ranges_) {
    if (range.stamps != nullptr) range.stamps->clear();
  }
}

// On shared memory, earlier stamps than the block's are of those that had it before, so that all stamps below
// the last barrier's are past.
Moment Checker::moment_of(const Warp& warp, bool shared) const {
  const BlockShadow& shadow = shadow_of(*warp.block);
  const Times& acquired = shadow.warps[warp.index].acquired;
  Moment moment;
  moment.block = static_cast<Stamp>(shadow.instance) << kInstanceShift;
  moment.launch = shared ? moment.block : static_cast<Stamp>(order_.first_instance()) << kInstanceShift;
  moment.barrier = moment.block | static_cast<Stamp>(shadow.barrier_segment) << kSegmentShift;
  moment.past = shared ? moment.barrier : moment.launch;
  moment.now = moment.block | static_cast<Stamp>(shadow.segment) << kSegmentShift |
               static_cast<Stamp>(warp.index) << kWarpShift | kBytes;
  moment.acquired = acquired.block != 0 || ((acquired.device | acquired.reads) != 0 && !shared);
  return moment;
}

bool Checker::is_past(const Warp& warp, const Moment& moment, Stamp stamp) {
  if (stamp < moment.launch || moment.same_warp(stamp) || moment.before_barrier(stamp)) return true;
  if (!moment.acquired) return false;
  BlockShadow& shadow = shadow_of(*warp.block);
  const Times& acquired = shadow.warps[warp.index].acquired;
  if (moment.same_block(stamp)) return shadow.releases.before(segment_of(stamp), acquired.block);
  return order_.released_before(instance_of(stamp), segment_of(stamp), acquired.device);
}

// Of several readers only the last is known; the others are taken to be ordered if it is, or if it is the
// asking warp itself and has synchronised since.
bool Checker::reads_are_past(const Warp& warp, const Moment& moment, Stamp stamp) {
  if (stamp < moment.launch) return true;
  if ((stamp & kWide) != 0 && !moment.acquired) return false;
  if ((stamp & (kMany | kWide)) != 0 && moment.same_warp(stamp))
    return segment_of(stamp) != segment_of(moment.now);
  if (is_past(warp, moment, stamp)) return true;
  const u64 reads = shadow_of(*warp.block).warps[warp.index].acquired.reads;
  return reads != 0 && order_.reads_released_before(instance_of(stamp), segment_of(stamp), reads);
}

// `other`: the stamp that the access meets; `written`: of a write.
void Checker::report_race(const Touch& touch, Stamp other, bool written, bool later) {
  Warp& warp = touch.warp;
  const bool writes = touch.access.kind != Access::Kind::load;
  const u32 theirs = instance_of(other), mine = shadow_of(*warp.block).instance;
  const char* const what = kRaces[touch.shared ? 0 : theirs == mine ? 1 : 2][!writes ? 2 : written ? 0 : 1];
  if (reported_.has(&touch.inst, what)) return;
  Finding finding = finding_of(warp, touch.inst, touch.access, touch.lane, what);
  if (theirs == mine) {
    finding.text += ", warp " + std::to_string(warp_of(other));
  } else {
    const u32 index = theirs - order_.first_instance(), *grid = warp.launch->grid;
    finding.text += ", block (" + std::to_string(index % grid[0]) + "," +
                    std::to_string(index / grid[0] % grid[1]) + "," +
                    std::to_string(index / grid[0] / grid[1]) + ")";
  }
  if (later) {
    order_.suspect(writes ? theirs : mine, touch.word, std::move(finding));
  } else {
    report(finding);
  }
}

void Checker::touch_read(const Touch& touch, Stamp write, Stamp& read) {
  const Moment& moment = touch.moment;
  const Stamp strong = touch.access.strong ? kStrong : 0;
  const bool meets = (write & touch.bytes) != 0 && (write & strong) == 0;
  if (meets && !is_past(touch.warp, moment, write)) report_race(touch, write, true, (write & kAtomic) != 0);
  Stamp mine = (moment.now & ~kBytes) | touch.bytes | strong;
  const bool past = reads_are_past(touch.warp, moment, read);
  if (!past || (moment.same_warp(read) && segment_of(read) == segment_of(moment.now)))
    mine = joined_readers(moment, read, mine);
  read = mine;
}

void Checker::touch_write(const Touch& touch, Stamp& write, Stamp& read) {
  const Moment& moment = touch.moment;
  const bool atomic = touch.access.kind == Access::Kind::atomic;
  const Stamp strong = touch.access.strong ? kStrong : 0;
  const bool meets_write = (write & touch.bytes) != 0 && (write & strong) == 0;
  if (meets_write && !is_past(touch.warp, moment, write)) report_race(touch, write, true, false);
  const bool meets_read = (read & touch.bytes) != 0 && (read & strong) == 0;
  if (meets_read && !reads_are_past(touch.warp, moment, read)) {
    // Which of several readers then uses an atomic is not known.
    if (!atomic || (read & (kMany | kWide)) == 0) report_race(touch, read, false, atomic);
  }
  const bool again = moment.same_warp(write) && segment_of(write) == segment_of(moment.now);
  const Stamp before = again ? write & kBytes : 0;
  write = (moment.now & ~kBytes) | touch.bytes | before | strong | (atomic ? kAtomic : 0);
  if (!atomic) return;
  if (moment.same_warp(read)) read = 0;
  order_.forgive(instance_of(moment.now), touch.word);
}

void Checker::touch_lane(Touch& touch, Stamps& stamps) {
  const u64 begin = touch.access.address[touch.lane], end = begin + touch.access.bytes;
  for (touch.word = begin & ~u64{3}; touch.word < end; touch.word += 4) {
    touch.bytes = bytes_mask(begin, end, touch.word);
    const bool locked = concurrent_ && !touch.shared;
    const PageLock lock(touch.word, locked);
    Stamp &write = *stamps.write(touch.word), &read = *stamps.read(touch.word);
    if (touch.access.kind == Access::Kind::load) {
      raise(stamps.highest_read(touch.word), touch.moment.now);
      touch_read(touch, write, read);
      continue;
    }
    const bool plain = locked && is_plain_store(touch.access);
    if (plain && same_lanes(touch.warp, touch.access, 1u << touch.lane) != 0) return;
    raise(stamps.highest_write(touch.word), touch.moment.now);
    touch_write(touch, write, read);
    if (plain) store_early(touch.warp, touch.access, touch.word, touch.word + 4);
  }
}

bool Checker::touch_run(const Touch& touch, Stamps& stamps, const Run& run) const {
  if (touch.access.strong || (run.begin | run.end) % 4 != 0) return false;
  const bool locked = concurrent_ && !touch.shared;
  bool fine = true;
  for (u64 begin = run.begin; begin < run.end && fine;) {
    const u64 end = std::min(run.end, (begin / Stamps::kPage + 1) * Stamps::kPage);
    const PageLock lock(begin, locked);
    fine = touch.access.kind == Access::Kind::load ? stamp_reads(stamps, begin, end - begin, touch.moment)
                                                   : stamp_writes(stamps, begin, end - begin, touch.moment);
    if (fine && locked && is_plain_store(touch.access)) store_early(touch.warp, touch.access, begin, end);
    begin = end;
  }
  return fine;
}

Stamps* Checker::stamps_of(const Warp& warp, bool shared, const Run& run) const {
  if (shared) return shadow_of(*warp.block).shared.get();
  const CheckedRange* range = between_blocks_ ? range_of(warp, run.begin, run.end) : nullptr;
  return range == nullptr ? nullptr : range->stamps;
}

void Checker::check_races(Warp& warp, const Inst& inst, const Access& access, bool shared, u32 lanes,
                          const Runs& all) {
  if (access.release) fence(warp, !access.block_scope);
  if (access.strong && access.kind != Access::Kind::load) release(warp, access, shared, lanes);
  const u32 changed = changed_lanes(warp, access, shared, lanes);
  const Runs fewer = changed != lanes ? runs_of(access.address, changed, access.bytes) : Runs{};
  const Runs& runs = changed != lanes ? fewer : all;
  Touch touch{warp, inst, access, moment_of(warp, shared), shared};
  shadow_of(*warp.block).touched = true;
  for (u32 r = 0; r < runs.count; ++r) {
    const Run& run = runs.run[r];
    Stamps* const stamps = stamps_of(warp, shared, run);
    if (stamps == nullptr || touch_run(touch, *stamps, run)) continue;
    for_lanes(changed, [&](int lane) {
      touch.lane = lane;
      if (access.address[lane] >= run.begin && access.address[lane] < run.end) touch_lane(touch, *stamps);
    });
  }
}

// A store of what is there already changes nothing, if that has ever been written.
u32 Checker::changed_lanes(Warp& warp, const Access& access, bool shared, u32 lanes) const {
  if (access.kind != Access::Kind::store || access.places == nullptr) return lanes;
  const u32 same = same_lanes(warp, access, lanes);
  u32 changed = lanes & ~same;
  for_lanes(same, [&](int lane) {
    const u64 at = access.address[lane];
    u64 first = 0;
    const Bits* bits =
        bits_of(warp, shared ? ptx::Space::shared : ptx::Space::global, at, at + access.bytes, first);
    if (bits != nullptr && !bits->all(first, access.bytes)) changed |= 1u << lane;
  });
  return changed;
}

void Checker::fence(Warp& warp, bool device) {
  if (!full_) return;
  BlockShadow& shadow = shadow_of(*warp.block);
  if (shadow.touched) shadow.next_segment();
  shadow.fenced = shadow.segment;
  if (device) shadow.fenced_device = shadow.segment;
}

void Checker::release(Warp& warp, const Access& access, bool shared, u32 lanes) {
  BlockShadow& shadow = shadow_of(*warp.block);
  const bool reads = !shared && access.kind == Access::Kind::store;
  if (shadow.fenced == 0 && !reads) return;
  Times times;
  const u64 now = order_.next_time();
  if (reads) {
    if (shadow.touched) shadow.next_segment();
    if (shadow.segment > shadow.released_reads) order_.release_reads(shadow.instance, shadow.segment, now);
    shadow.released_reads = shadow.segment;
    times.reads = now;
  }
  if (shadow.fenced != 0) times.block = now;
  if (shadow.fenced > shadow.released) {
    shadow.releases.add(shadow.fenced, times.block);
    shadow.released = shadow.fenced;
  }
  if (!shared && shadow.fenced_device != 0) {
    times.device = now;
    if (shadow.fenced_device > shadow.released_device)
      order_.release(shadow.instance, shadow.fenced_device, times.device);
    shadow.released_device = shadow.fenced_device;
  }
  for_lanes(lanes, [&](int lane) {
    const u64 place = access.address[lane];
    shared ? static_cast<void>(shadow.places[place].raise(times)) : order_.store(place, times);
  });
}

void Checker::acquire(Warp& warp, const Access& access) {
  if (!full_) return;
  BlockShadow& shadow = shadow_of(*warp.block);
  if (shadow.places.empty() && !order_.anything_released()) return;
  Times times;
  for_lanes(access.mask, [&](int lane) {
    const u64 place = access.address[lane];
    const auto found = shadow.places.find(place);
    times.raise(found != shadow.places.end() ? found->second : order_.load(place));
  });
  if (shadow.warps[warp.index].acquired.raise(times)) shadow.next_segment();
}

void Checker::synchronised(Block& block) {
  if (!full_) return;
  BlockShadow& shadow = shadow_of(block);
  Times all;
  for (const BlockShadow::OfWarp& warp : shadow.warps) all.raise(warp.acquired);
  // Releases inside the block so far are behind the barrier anyway.
  for (BlockShadow::OfWarp& warp : shadow.warps) warp.acquired = {0, all.device, all.reads};
  shadow.next_segment();
  shadow.barrier_segment = shadow.segment;
}

void Checker::start_block(Block& block) {
  if (!full_) return;
  std::call_once(begun_, [&] { begin_launch(*block.launch); });
  if (block.shadow == nullptr) block.shadow = std::make_shared<BlockShadow>();
  BlockShadow& old = shadow_of(block);
  const u32 instance = order_.first_instance() + block.index % Order::most_blocks();
  const auto begin = reinterpret_cast<u64>(block.shared), end = begin + block.shared_size;
  std::unique_ptr<Stamps> stamps = std::move(old.shared);
  // Stamps of blocks before are lower; unless the numbers have started again.
  if (stamps == nullptr || stamps->begin() != begin || stamps->end() < end || instance <= old.instance)
    stamps = std::make_unique<Stamps>(begin, end);
  old = BlockShadow();
  old.shared = std::move(stamps);
  old.instance = instance;
  old.shared_defined.clear(block.shared_size);
  old.local_defined.clear(block.warps.size() * kLanes * block.launch->stack_bytes);
  old.copies.groups.assign(block.warps.size(), {});
  old.warps.assign(block.warps.size(), {});
}

void Checker::end_block(Block& block) {
  if (full_) order_.end(shadow_of(block).instance);
}

}  // namespace emu
