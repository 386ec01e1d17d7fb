#include "checks/checker.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "exec/lanes.h"

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
    : ranges_(std::move(ranges)), full_(full), report_(std::move(report)) {}

const CheckedRange* Checker::find(u64 address) const {
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                [](u64 value, const CheckedRange& range) { return value < range.begin; });
  return after == ranges_.begin() ? nullptr : &*std::prev(after);
}

void Checker::violation(Warp& warp, const Inst& inst, int lane, const std::string& what) {
  if (!full_) return;
  const std::string key = what + std::string(warp.launch->name) + std::to_string(inst.body);
  report_(key, what + ": " + describe(warp, inst, lane));
}

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
  } else if (before != nullptr && past <= ahead && past < 1 << 20) {
    text += std::to_string(past) + " bytes past the end of " + before->name + " of " +
            std::to_string(before->end - before->begin) + " bytes" +
            (before->freed ? ", which is freed" : "");
  } else if (after != nullptr && ahead < 1 << 20) {
    text += std::to_string(ahead) + " bytes before " + after->name;
  } else {
    text += "not in any allocation";
  }
  fault(700, warp, inst, lane, text);
}

void Checker::check_alignment(Warp& warp, const Inst& inst, const Access& access) const {
  const u64 low = (access.bytes & (access.bytes - 1)) == 0 ? access.bytes - 1 : 0;
  u64 bad = 0;
  for (int i = 0; i < kLanes; ++i) bad |= (access.mask >> i & 1) != 0 ? access.address[i] & low : 0;
  if (bad == 0) return;
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
  u64 low = ~0ull, high = 0;
  for (int i = 0; i < kLanes; ++i) {
    const bool on = (lanes >> i & 1) != 0;
    low = on && access.address[i] < low ? access.address[i] : low;
    high = on && access.address[i] > high ? access.address[i] : high;
  }
  if (low >= warp.range_begin && high + access.bytes <= warp.range_end) return;
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

void Checker::access(Warp& warp, const Inst& inst, const Access& access) {
  if (access.mask == 0) return;
  check_alignment(warp, inst, access);
  const auto shared = reinterpret_cast<u64>(warp.shared), local = reinterpret_cast<u64>(warp.local);
  u32 in_shared = 0, in_local = 0;
  switch (access.space) {
    case ptx::Space::shared:
      in_shared = access.mask;
      break;
    case ptx::Space::local:
      in_local = access.mask;
      break;
    case ptx::Space::param:
      return;
    default:
      for (int i = 0; i < kLanes; ++i) {
        in_shared |= static_cast<u32>(access.address[i] - shared < kSharedWindow) << i;
        in_local |= static_cast<u32>(access.address[i] - local < warp.local_stride * kLanes) << i;
      }
      in_shared &= access.mask;
      in_local &= access.mask;
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
  if (!full_) return;
  if (in_shared != 0) check_races(warp, inst, access, in_shared);
  check_defined(warp, inst, access, in_shared, in_local);
}

}  // namespace emu
