// Counts of a launch: instructions by class, memory traffic in total and per allocation, bank conflicts.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/launch.h"

namespace emu {

struct ProfiledAllocation {
  u64 begin = 0, end = 0;
  std::string name;
};

enum class InstClass : u8 {
  integer,
  f32,
  f64,
  half,
  conversion,
  memory,
  shared,
  local,
  tensor,
  control,
  special,
  move
};
constexpr int kInstClasses = 12;

/// Global loads or stores.
struct Traffic {
  u64 requests = 0;           // warp instructions
  u64 accesses = 0;           // by thread
  u64 bytes = 0;              // asked for
  u64 sectors = 0;            // 32-byte sectors a request moves, added up
  std::map<u32, u64> widths;  // bytes per thread -> accesses
  void add(const Traffic& other);
};

struct Counts {
  std::array<u64, kInstClasses> warps{}, lanes{};
  Traffic loads, stores;
  u64 atomics = 0, divergent_branches = 0, barriers = 0, tensor_flop = 0;
  u64 shared_accesses = 0, shared_passes = 0, shared_extra_passes = 0;
  std::unordered_map<size_t, std::pair<Traffic, Traffic>> by_allocation;
  std::unordered_map<const Code*, std::vector<InstClass>> classes;
  void add(const Counts& other);
};

/// Runs several watchers as one.
class Watchers : public Watcher {
 public:
  void add(std::unique_ptr<Watcher> watcher) { all_.push_back(std::move(watcher)); }
  const std::vector<std::unique_ptr<Watcher>>& all() const { return all_; }
  void access(Warp& warp, const Inst& inst, const Access& access) override;
  void step(Warp& warp, const Inst& inst, u32 mask) override;
  bool wants_steps() const override;
  void undefined_step(Warp& warp, const Inst& inst, u32 mask) override;
  bool tracks_definedness() const override;
  void start_block(Block& block) override;
  void synchronised(Block& block) override;
  void end_block(Block& block) override;
  void fence(Warp& warp, bool device) override;
  void acquire(Warp& warp, const Access& access) override;
  void async_commit(Warp& warp, u32 mask) override;
  void async_wait(Warp& warp, u32 mask, u32 open) override;
  void violation(Warp& warp, const Inst& inst, int lane, const char* what) override;

 private:
  std::vector<std::unique_ptr<Watcher>> all_;
};

class Profiler : public Watcher {
 public:
  explicit Profiler(std::vector<ProfiledAllocation> allocations);
  void access(Warp& warp, const Inst& inst, const Access& access) override;
  void step(Warp& warp, const Inst& inst, u32 mask) override;
  bool wants_steps() const override { return true; }
  /// One object: kernel, configuration, counts.
  std::string json(const Launch& launch, double seconds) const;

 private:
  Counts& mine();
  size_t find(u64 address) const;
  void touch(size_t allocation, u64 address, u32 bytes, bool store);
  void count_global(Counts& counts, const Access& access, u32 lanes);
  static void count_shared(Counts& counts, const Access& access, u32 lanes, u64 base);

  std::vector<ProfiledAllocation> allocations_;
  // Bytes touched: a bit each, by allocation; loads and stores apart.
  std::vector<std::vector<u64>> loaded_, stored_;
  u64 id_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Counts>> per_thread_;
};

}  // namespace emu
