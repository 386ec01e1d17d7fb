// The checks of --check memory and --check full.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "checks/reported_findings.h"
#include "checks/runs.h"
#include "checks/shadow.h"

namespace emu {

class Checker : public Watcher {
 public:
  using Report = Order::Report;
  /// `ranges` are sorted by address. Findings are reported once for each rule and place in a launch, or a
  /// little more often.
  Checker(std::vector<CheckedRange> ranges, bool full, Report report);

  void access(Warp& warp, const Inst& inst, const Access& access) override;
  void acquire(Warp& warp, const Access& access) override;
  void fence(Warp& warp, bool device) override;
  void undefined_step(Warp& warp, const Inst& inst, u32 mask) override;
  void step(Warp&, const Inst&, u32) override {}
  bool wants_steps() const override { return false; }
  bool tracks_definedness() const override { return full_; }
  void start_block(Block& block) override;
  void synchronised(Block& block) override;
  void end_block(Block& block) override;
  void async_commit(Warp& warp, u32 mask) override;
  void async_wait(Warp& warp, u32 mask, u32 open) override;
  void violation(Warp& warp, const Inst& inst, int lane, const char* what) override;

 private:
  // checker.cpp: where an access may go.
  struct Extent {
    u64 low = ~0ull, high = 0;  // of the active lanes' addresses
    u64 bits = 0;               // their disjunction
  };
  static Extent extent_of(const Access& access);
  void check_alignment(Warp& warp, const Inst& inst, const Access& access, const Extent& extent) const;
  void check_global(Warp& warp, const Inst& inst, const Access& access, u32 lanes) const;
  void check_window(Warp& warp, const Inst& inst, const Access& access, int lane, u64 offset, u64 size,
                    const char* name) const;
  void check_places(Warp& warp, const Inst& inst, const Access& access, u32& shared, u32& local) const;
  [[noreturn]] void outside(Warp& warp, const Inst& inst, const Access& access, int lane) const;
  const CheckedRange* find(u64 address) const;
  const CheckedRange* range_of(const Warp& warp, u64 address, u64 end) const;
  /// "at 0x7f…, byte 8 of allocation 3", for reports.
  std::string place_text(const Warp& warp, u64 address) const;
  static Finding finding_of(const Warp& warp, const Inst& inst, int lane, const char* what);
  Finding finding_of(const Warp& warp, const Inst& inst, const Access& access, int lane,
                     const char* what) const;
  void report(const Finding& finding);
  void report_if_new(Warp& warp, const Inst& inst, const Access& access, int lane, const char* what);

  // The rest is --check full. definedness.cpp:
  void check_address(Warp& warp, const Inst& inst, const Access& access);
  void check_load(Warp& warp, const Access& access, ptx::Space space, u32 lanes, const Runs& runs);
  void check_store(Warp& warp, const Inst& inst, const Access& access, ptx::Space space, u32 lanes,
                   const Runs& runs);
  Bits* bits_of(const Warp& warp, ptx::Space space, u64 begin, u64 end, u64& first) const;

  // races.cpp:
  struct Touch;
  void begin_launch(const Launch& launch);
  Moment moment_of(const Warp& warp, bool shared) const;
  Stamps* stamps_of(const Warp& warp, bool shared, const Run& run) const;
  void check_races(Warp& warp, const Inst& inst, const Access& access, bool shared, u32 lanes,
                   const Runs& all);
  bool touch_run(const Touch& touch, Stamps& stamps, const Run& run) const;
  void touch_lane(Touch& touch, Stamps& stamps);
  void touch_read(const Touch& touch, Stamp write, Stamp& read);
  void touch_write(const Touch& touch, Stamp& write, Stamp& read);
  bool is_past(const Warp& warp, const Moment& moment, Stamp stamp);
  bool reads_are_past(const Warp& warp, const Moment& moment, Stamp stamp);
  u32 changed_lanes(Warp& warp, const Access& access, bool shared, u32 lanes) const;
  void report_race(const Touch& touch, Stamp other, bool written, bool later);
  void release(Warp& warp, const Access& access, bool shared, u32 lanes);

  // copies.cpp:
  void check_copies(Warp& warp, const Inst& inst, const Access& access, u32 lanes);
  void start_copies(Warp& warp, const Access& access, u32 lanes);

  std::vector<CheckedRange> ranges_;
  bool full_;
  Report report_;
  ReportedFindings reported_;
  Order order_;
  std::once_flag begun_;
  bool between_blocks_ = true;  // races on global memory are looked for
  bool concurrent_ = false;     // several host threads run the launch
};

}  // namespace emu
