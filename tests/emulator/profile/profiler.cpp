#include "profile/profiler.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>

#include "engine/lanes.h"

namespace emu {
namespace {

constexpr u64 kSharedWindow = 256 << 10;

InstClass class_of(const ptx::Instruction& inst) {
  static const std::unordered_map<std::string_view, InstClass> by_name{
      {"bra", InstClass::control},     {"brx", InstClass::control},     {"ret", InstClass::control},
      {"exit", InstClass::control},    {"call", InstClass::control},    {"bar", InstClass::control},
      {"barrier", InstClass::control}, {"trap", InstClass::control},    {"membar", InstClass::control},
      {"fence", InstClass::control},   {"mma", InstClass::tensor},      {"wmma", InstClass::tensor},
      {"ldmatrix", InstClass::shared}, {"stmatrix", InstClass::shared}, {"cvt", InstClass::conversion},
      {"mov", InstClass::move},        {"selp", InstClass::move},       {"cvta", InstClass::move},
      {"cp", InstClass::memory},       {"ex2", InstClass::special},     {"lg2", InstClass::special},
      {"sin", InstClass::special},     {"cos", InstClass::special},     {"rsqrt", InstClass::special},
      {"rcp", InstClass::special},     {"sqrt", InstClass::special},    {"tanh", InstClass::special},
      {"shfl", InstClass::move},       {"movmatrix", InstClass::move}};
  const std::string_view op = inst.words[0];
  if (op == "ld" || op == "st" || op == "atom" || op == "red" || op == "ldu") {
    for (std::string_view word : inst.words) {
      if (word.substr(0, 6) == "shared") return InstClass::shared;
      if (word == "local") return InstClass::local;
      if (word == "param") return InstClass::move;
    }
    return InstClass::memory;
  }
  if (const auto found = by_name.find(op); found != by_name.end()) return found->second;
  for (size_t i = inst.words.size(); i-- > 1;) {
    switch (ptx::type_from(inst.words[i])) {
      case ptx::Type::none:
        continue;
      case ptx::Type::f32:
        return InstClass::f32;
      case ptx::Type::f64:
        return InstClass::f64;
      case ptx::Type::f16:
      case ptx::Type::f16x2:
      case ptx::Type::bf16:
      case ptx::Type::bf16x2:
        return InstClass::half;
      default:
        return InstClass::integer;
    }
  }
  return InstClass::integer;
}

u64 tensor_flop(const ptx::Instruction& inst) {
  for (std::string_view word : inst.words) {
    int m, n, k;
    if (word[0] == 'm' && std::sscanf(std::string(word).c_str(), "m%dn%dk%d", &m, &n, &k) == 3)
      return 2ull * static_cast<u64>(m * n * k);
  }
  return 0;
}

std::atomic<u64> next_id{1};

}  // namespace

void Traffic::add(const Traffic& other) {
  requests += other.requests;
  accesses += other.accesses;
  bytes += other.bytes;
  sectors += other.sectors;
  for (const auto& [width, count] : other.widths) widths[width] += count;
}

void Counts::add(const Counts& other) {
  for (size_t i = 0; i < kInstClasses; ++i) {
    warps[i] += other.warps[i];
    lanes[i] += other.lanes[i];
  }
  loads.add(other.loads);
  stores.add(other.stores);
  atomics += other.atomics;
  divergent_branches += other.divergent_branches;
  barriers += other.barriers;
  tensor_flop += other.tensor_flop;
  shared_accesses += other.shared_accesses;
  shared_passes += other.shared_passes;
  shared_extra_passes += other.shared_extra_passes;
  for (const auto& [which, traffic] : other.by_allocation) {
    by_allocation[which].first.add(traffic.first);
    by_allocation[which].second.add(traffic.second);
  }
}

void Watchers::access(Warp& warp, const Inst& inst, const Access& access) {
  for (const auto& each : all_) each->access(warp, inst, access);
}
void Watchers::step(Warp& warp, const Inst& inst, u32 mask) {
  for (const auto& each : all_) {
    if (each->wants_steps()) each->step(warp, inst, mask);
  }
}
bool Watchers::wants_steps() const {
  return std::any_of(all_.begin(), all_.end(), [](const auto& each) { return each->wants_steps(); });
}
void Watchers::undefined_step(Warp& warp, const Inst& inst, u32 mask) {
  for (const auto& each : all_) each->undefined_step(warp, inst, mask);
}
bool Watchers::tracks_definedness() const {
  return std::any_of(all_.begin(), all_.end(), [](const auto& each) { return each->tracks_definedness(); });
}
void Watchers::start_block(Block& block) {
  for (const auto& each : all_) each->start_block(block);
}
void Watchers::synchronised(Block& block) {
  for (const auto& each : all_) each->synchronised(block);
}
void Watchers::end_block(Block& block) {
  for (const auto& each : all_) each->end_block(block);
}
void Watchers::fence(Warp& warp, bool device) {
  for (const auto& each : all_) each->fence(warp, device);
}
void Watchers::acquire(Warp& warp, const Access& access) {
  for (const auto& each : all_) each->acquire(warp, access);
}
void Watchers::async_commit(Warp& warp, u32 mask) {
  for (const auto& each : all_) each->async_commit(warp, mask);
}
void Watchers::async_wait(Warp& warp, u32 mask, u32 open) {
  for (const auto& each : all_) each->async_wait(warp, mask, open);
}
void Watchers::violation(Warp& warp, const Inst& inst, int lane, const char* what) {
  for (const auto& each : all_) each->violation(warp, inst, lane, what);
}

Profiler::Profiler(std::vector<ProfiledAllocation> allocations)
    : allocations_(std::move(allocations)), id_(next_id++) {
  for (const ProfiledAllocation& allocation : allocations_) {
    loaded_.emplace_back((allocation.end - allocation.begin + 63) / 64, 0);
    stored_.emplace_back((allocation.end - allocation.begin + 63) / 64, 0);
  }
}

Counts& Profiler::mine() {
  thread_local u64 owner = 0;
  thread_local Counts* counts = nullptr;
  if (owner != id_) {
    const std::lock_guard lock(mutex_);
    per_thread_.push_back(std::make_unique<Counts>());
    counts = per_thread_.back().get();
    owner = id_;
  }
  return *counts;
}

void Profiler::step(Warp& warp, const Inst& inst, u32 mask) {
  const Code& code = *warp.frame->code;
  // A PTX instruction may be several Insts: the last one counts. The final, implicit ret has no source.
  if (inst.body >= code.source->body.size() || (&inst)[1].body == inst.body) return;
  Counts& counts = mine();
  auto& classes = counts.classes[&code];
  if (classes.empty()) {
    for (const ptx::Instruction& source : code.source->body) classes.push_back(class_of(source));
  }
  const InstClass which = classes[inst.body];
  ++counts.warps[static_cast<size_t>(which)];
  counts.lanes[static_cast<size_t>(which)] += static_cast<u64>(std::popcount(mask));
  const ptx::Instruction& source = code.source->body[inst.body];
  if (which == InstClass::tensor) counts.tensor_flop += tensor_flop(source);
  if (which != InstClass::control) return;
  if (source.words[0] == "bra" && mask != warp.active) ++counts.divergent_branches;
  if (source.words[0].substr(0, 3) == "bar" && !source.has("warp")) ++counts.barriers;
}

size_t Profiler::find(u64 address) const {
  auto after = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                [](u64 value, const ProfiledAllocation& a) { return value < a.begin; });
  if (after == allocations_.begin() || address >= std::prev(after)->end) return allocations_.size();
  return static_cast<size_t>(std::prev(after) - allocations_.begin());
}

void Profiler::touch(size_t allocation, u64 address, u32 bytes, bool store) {
  auto& bits = (store ? stored_ : loaded_)[allocation];
  const u64 first = address - allocations_[allocation].begin;
  for (u64 at = first; at < first + bytes;) {
    const u64 count = std::min<u64>(64 - at % 64, first + bytes - at);
    const u64 mask = (count == 64 ? ~0ull : (1ull << count) - 1) << at % 64;
    if (at / 64 < bits.size() && (bits[at / 64] & mask) != mask)
      __atomic_fetch_or(&bits[at / 64], mask, __ATOMIC_RELAXED);
    at += count;
  }
}

void Profiler::count_global(Counts& counts, const Access& access, u32 lanes) {
  const bool store = access.kind != Access::Kind::load;
  while (lanes != 0) {
    // The lanes that fall into the first lane's allocation.
    const size_t which = find(access.address[std::countr_zero(lanes)]);
    u32 here = 0;
    for_lanes(lanes, [&](int i) {
      const bool same = which == allocations_.size() ? i == std::countr_zero(lanes)
                                                     : access.address[i] >= allocations_[which].begin &&
                                                           access.address[i] < allocations_[which].end;
      here |= static_cast<u32>(same) << i;
    });
    lanes &= ~here;
    if (which == allocations_.size()) continue;
    u64 sectors[kLanes * 3];
    size_t count = 0;
    for_lanes(here, [&](int i) {
      for (u64 s = access.address[i] / 32; s <= (access.address[i] + access.bytes - 1) / 32; ++s) {
        if (count == 0 || sectors[count - 1] != s) sectors[count++] = s;
      }
      touch(which, access.address[i], access.bytes, store);
    });
    std::sort(sectors, sectors + count);
    const auto distinct = static_cast<u64>(std::unique(sectors, sectors + count) - sectors);
    const auto threads = static_cast<u64>(std::popcount(here));
    auto& pair = counts.by_allocation[which];
    for (Traffic* traffic : {store ? &counts.stores : &counts.loads, store ? &pair.second : &pair.first}) {
      ++traffic->requests;
      traffic->accesses += threads;
      traffic->bytes += threads * access.bytes;
      traffic->sectors += distinct;
      traffic->widths[access.bytes] += threads;
    }
  }
}

// 32 banks of 4 bytes; 8-byte accesses go by half-warps, 16-byte ones by quarters. A pass serves one word of
// each bank.
void Profiler::count_shared(Counts& counts, const Access& access, u32 lanes, u64 base) {
  const u32 group = access.bytes <= 4 ? 32 : access.bytes == 8 ? 16 : 8;
  ++counts.shared_accesses;
  for (u32 first = 0; first < kLanes; first += group) {
    const u32 part = lanes & ((group == 32 ? kFullMask : (1u << group) - 1) << first);
    if (part == 0) continue;
    std::array<std::vector<u64>, 32> words;
    for_lanes(part, [&](int i) {
      const u64 offset = access.address[i] - base;
      for (u64 word = offset / 4; word <= (offset + access.bytes - 1) / 4; ++word) {
        auto& bank = words[word % 32];
        if (std::find(bank.begin(), bank.end(), word) == bank.end()) bank.push_back(word);
      }
    });
    size_t passes = 1;
    for (const auto& bank : words) passes = std::max(passes, bank.size());
    counts.shared_passes += passes;
    counts.shared_extra_passes += passes - 1;
  }
}

void Profiler::access(Warp& warp, const Inst&, const Access& access) {
  if (access.mask == 0 || access.space == ptx::Space::local || access.space == ptx::Space::param) return;
  Counts& counts = mine();
  const auto shared = reinterpret_cast<u64>(warp.shared), local = reinterpret_cast<u64>(warp.local);
  u32 in_shared = 0, in_local = 0;
  for_lanes(access.mask, [&](int i) {
    in_shared |= static_cast<u32>(access.address[i] - shared < kSharedWindow) << i;
    in_local |= static_cast<u32>(access.address[i] - local < warp.local_stride * kLanes) << i;
  });
  if (access.kind == Access::Kind::atomic) counts.atomics += static_cast<u64>(std::popcount(access.mask));
  if (in_shared != 0) count_shared(counts, access, in_shared, shared);
  const u32 global = access.mask & ~in_shared & ~in_local;
  if (global != 0) count_global(counts, access, global);
}

}  // namespace emu
