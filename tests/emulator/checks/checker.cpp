#include "checks/checker.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "engine/lanes.h"

namespace emu {
namespace {

constexpr u64 kSharedWindow = 256 << 10;

const char* verb(const Access& access) {
  switch (access.kind) {
    case Access::Kind::load:
      return "load";
    case Access::Kind::store:
      return "store";
    case Access::Kind::atomic:
      return "atomic";
    default:
      return "cp.async";
  }
}

std::string hexadecimal(u64 value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

Checker::Checker(std::vector<CheckedRange> ranges, bool full, Report report)
    : ranges_(std::move(ranges)),
      full_(full),
      report_(std::move(report)),
      order_([this](const Finding& finding) { this->report(finding); }) {}

const CheckedRange* Checker::find(u64 address) const {
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                [](u64 value, const CheckedRange& range) { return value < range.begin; });
  return after == ranges_.begin() ? nullptr : &*std::prev(after);
}

const CheckedRange* Checker::range_of(const Warp& warp, u64 address, u64 end) const {
  const CheckedRange*& last = shadow_of(*warp.block).warps[warp.index].range;
  if (last != nullptr && address >= last->begin && end <= last->end) return last;
  const CheckedRange* range = find(address);
  if (range == nullptr || range->freed || end > range->end) return nullptr;
  return last = range;
}

std::string Checker::place_text(const Warp& warp, u64 address) const {
  const u64 shared = address - reinterpret_cast<u64>(warp.shared);
  const auto local = reinterpret_cast<u64>(warp.block->local_storage.data());
  if (shared < kSharedWindow) return "byte " + std::to_string(shared) + " of shared memory";
  if (address - local < warp.block->local_storage.size())
    return "byte " + std::to_string((address - local) % warp.local_stride) + " of local memory";
  const CheckedRange* range = find(address);
  if (range == nullptr || address >= range->end) return hexadecimal(address);
  return hexadecimal(address) + ", byte " + std::to_string(address - range->begin) + " of " + range->name;
}

Finding Checker::finding_of(const Warp& warp, const Inst& inst, int lane, const char* what) {
  const std::string key = what + std::string(warp.launch->name) + std::to_string(inst.body);
  return {&inst, what, key, what + (": " + describe(warp, inst, lane))};
}

Finding Checker::finding_of(const Warp& warp, const Inst& inst, const Access& access, int lane,
                            const char* what) const {
  Finding finding = finding_of(warp, inst, lane, what);
  finding.text += ", " + place_text(warp, access.address[lane]);
  return finding;
}

void Checker::report(const Finding& finding) {
  report_(finding);
  reported_.add(finding.place, finding.what);
}

void Checker::violation(Warp& warp, const Inst& inst, int lane, const char* what) {
  if (full_ && !reported_.has(&inst, what)) report(finding_of(warp, inst, lane, what));
}

void Checker::report_if_new(Warp& warp, const Inst& inst, const Access& access, int lane, const char* what) {
  if (!reported_.has(&inst, what)) report(finding_of(warp, inst, access, lane, what));
}

// Beyond this a pointer has nothing to do with an allocation: a 32-bit index times 16 bytes.
constexpr u64 kFar = u64{1} << 36;

void Checker::outside(Warp& warp, const Inst& inst, const Access& access, int lane) const {
  const u64 address = access.address[lane];
  std::string text =
      std::to_string(access.bytes) + "-byte " + verb(access) + " at " + hexadecimal(address) + ": ";
  const CheckedRange* before = find(address);
  const CheckedRange* after = before == nullptr ? (ranges_.empty() ? nullptr : ranges_.data()) : before + 1;
  if (after == ranges_.data() + ranges_.size()) after = nullptr;
  const u64 past = before == nullptr ? ~0ull : address - before->end;
  const u64 ahead = after == nullptr ? ~0ull : after->begin - address;
  if (before != nullptr && address < before->end) {
    text += before->freed ? "use after free of " + before->name : "reaches past the end of " + before->name;
    text += " (byte " + std::to_string(address - before->begin) + " of " +
            std::to_string(before->end - before->begin) + ")";
  } else if (before != nullptr && past <= ahead && past < kFar) {
    text += std::to_string(past) + " bytes past the end of " + before->name + " of " +
            std::to_string(before->end - before->begin) + " bytes" +
            (before->freed ? ", which is freed" : "");
  } else if (after != nullptr && ahead < kFar) {
    text += std::to_string(ahead) + " bytes before " + after->name;
  } else {
    text += "not in any allocation";
  }
  fault(700, warp, inst, lane, text);
}

Checker::Extent Checker::extent_of(const Access& access) {
  Extent extent;
  if (access.mask == kFullMask) {
    for (int i = 0; i < kLanes; ++i) {
      const u64 at = access.address[i];
      extent.low = at < extent.low ? at : extent.low;
      extent.high = at > extent.high ? at : extent.high;
      extent.bits |= at;
    }
    return extent;
  }
  for_lanes(access.mask, [&](int i) {
    const u64 at = access.address[i];
    extent.low = std::min(extent.low, at);
    extent.high = std::max(extent.high, at);
    extent.bits |= at;
  });
  return extent;
}

void Checker::check_alignment(Warp& warp, const Inst& inst, const Access& access,
                              const Extent& extent) const {
  const u64 low = (access.bytes & (access.bytes - 1)) == 0 ? access.bytes - 1 : 0;
  if ((extent.bits & low) == 0) return;
  for_lanes(access.mask, [&](int i) {
    if ((access.address[i] & low) == 0) return;
    fault(716, warp, inst, i,
          "misaligned " + std::to_string(access.bytes) + "-byte " + verb(access) + " at " +
              hexadecimal(access.address[i]));
  });
}

void Checker::check_window(Warp& warp, const Inst& inst, const Access& access, int lane, u64 offset, u64 size,
                           const char* name) const {
  if (offset + access.bytes <= size) return;
  fault(700, warp, inst, lane,
        std::to_string(access.bytes) + "-byte " + verb(access) + " at offset " + std::to_string(offset) +
            " of " + std::to_string(size) + " bytes of " + name + " memory");
}

void Checker::check_global(Warp& warp, const Inst& inst, const Access& access, u32 lanes) const {
  const auto parameters = reinterpret_cast<u64>(warp.launch->parameters.data());
  for_lanes(lanes, [&](int i) {
    const u64 address = access.address[i];
    if (address >= warp.range_begin && address + access.bytes <= warp.range_end) return;
    const CheckedRange* range = find(address);
    if (range != nullptr && !range->freed && address + access.bytes <= range->end) {
      warp.range_begin = range->begin;
      warp.range_end = range->end;
      return;
    }
    if (address - parameters < warp.launch->parameters.size()) return;
    outside(warp, inst, access, i);
  });
}

// Which lanes' addresses are shared or local; the rest is global. Throws where one lies outside.
void Checker::check_places(Warp& warp, const Inst& inst, const Access& access, u32& in_shared,
                           u32& in_local) const {
  const auto shared = reinterpret_cast<u64>(warp.shared), local = reinterpret_cast<u64>(warp.local);
  if (access.space == ptx::Space::shared) {
    in_shared = access.mask;
  } else if (access.space == ptx::Space::local) {
    in_local = access.mask;
  } else {
    for_lanes(access.mask, [&](int i) {
      in_shared |= static_cast<u32>(access.address[i] - shared < kSharedWindow) << i;
      in_local |= static_cast<u32>(access.address[i] - local < warp.local_stride * kLanes) << i;
    });
  }
  for_lanes(in_shared, [&](int i) {
    check_window(warp, inst, access, i, access.address[i] - shared, warp.block->shared_size, "shared");
  });
  for_lanes(in_local, [&](int i) {
    const u64 mine = local + static_cast<u64>(i) * warp.local_stride;
    check_window(warp, inst, access, i, access.address[i] - mine, warp.local_stride, "local");
  });
  const u32 global = access.mask & ~in_shared & ~in_local;
  if (global != 0) check_global(warp, inst, access, global);
}

void Checker::access(Warp& warp, const Inst& inst, const Access& access) {
  if (access.mask == 0 || access.space == ptx::Space::param) return;
  const Extent extent = extent_of(access);
  check_alignment(warp, inst, access, extent);
  const auto shared = reinterpret_cast<u64>(warp.shared);
  const u64 end = extent.high + access.bytes;
  u32 in_shared = 0, in_local = 0;
  // Mostly all lanes are in shared memory, or in the allocation that the warp used before.
  if (access.space == ptx::Space::shared && extent.low >= shared && end <= shared + warp.block->shared_size) {
    in_shared = access.mask;
  } else if (extent.low < warp.range_begin || end > warp.range_end) {
    const CheckedRange* range = find(extent.low);
    if (range != nullptr && !range->freed && end <= range->end) {
      warp.range_begin = range->begin;
      warp.range_end = range->end;
    } else {
      check_places(warp, inst, access, in_shared, in_local);
    }
  }
  if (!full_) return;
  check_address(warp, inst, access);
  const u32 in_global = access.mask & ~in_shared & ~in_local;
  const std::pair<ptx::Space, u32> parts[] = {
      {ptx::Space::shared, in_shared}, {ptx::Space::local, in_local}, {ptx::Space::global, in_global}};
  for (const auto& [space, lanes] : parts) {
    if (lanes == 0) continue;
    const Runs runs = runs_of(access.address, lanes, access.bytes);
    if (space == ptx::Space::shared && access.kind == Access::Kind::async_copy) {
      start_copies(warp, access, lanes);
    } else if (space == ptx::Space::shared) {
      check_copies(warp, inst, access, lanes);
    }
    if (space != ptx::Space::local) check_races(warp, inst, access, space == ptx::Space::shared, lanes, runs);
    if (access.kind == Access::Kind::load) {
      check_load(warp, access, space, lanes, runs);
    } else {
      check_store(warp, inst, access, space, lanes, runs);
    }
  }
}

}  // namespace emu
