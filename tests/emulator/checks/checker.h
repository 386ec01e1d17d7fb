// The checks of --check memory and --check full.
#pragma once

#include <functional>
#include <memory>

#include "checks/shadow.h"

namespace emu {

/// An allocation as the checks see it.
struct CheckedRange {
  u64 begin = 0, end = 0;
  bool freed = false;
  std::string name;
  std::vector<u8>* defined = nullptr;  // a bit per byte; null: all defined
};

class Checker : public Watcher {
 public:
  using Report = std::function<void(const std::string& key, const std::string& text)>;
  /// `ranges` are sorted by address.
  Checker(std::vector<CheckedRange> ranges, bool full, Report report);

  void access(Warp& warp, const Inst& inst, const Access& access) override;
  void step(Warp& warp, const Inst& inst, u32 mask) override;
  bool wants_steps() const override { return full_; }
  void start_block(Block& block) override;
  void async_commit(Warp& warp, u32 mask) override;
  void async_wait(Warp& warp, u32 mask, u32 open) override;
  void violation(Warp& warp, const Inst& inst, int lane, const std::string& what) override;

 private:
  // checker.cpp: where an access may go.
  void check_alignment(Warp& warp, const Inst& inst, const Access& access) const;
  void check_global(Warp& warp, const Inst& inst, const Access& access, u32 lanes) const;
  void check_window(Warp& warp, const Inst& inst, const Access& access, int lane, u64 offset, u64 size,
                    const char* name) const;
  [[noreturn]] void outside(Warp& warp, const Inst& inst, const Access& access, int lane) const;
  const CheckedRange* find(u64 address) const;
  const CheckedRange* tracked(u64 address, u32 bytes) const;

  // definedness.cpp and races.cpp: --check full.
  void check_defined(Warp& warp, const Inst& inst, const Access& access, u32 shared, u32 local);
  u32 load_definedness(Warp& warp, const Access& access, int lane, ptx::Space space) const;
  void store_definedness(Warp& warp, const Access& access, int lane, ptx::Space space, u32 undefined);
  void check_races(Warp& warp, const Inst& inst, const Access& access, u32 lanes);
  bool leaves_bytes(Warp& warp, const Access& access, int lane) const;
  void check_copy(Warp& warp, const Inst& inst, const Granule& granule, int lane);

  std::vector<CheckedRange> ranges_;
  bool full_;
  Report report_;
};

}  // namespace emu
