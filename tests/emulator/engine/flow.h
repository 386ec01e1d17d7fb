// What a function's control flow says: where diverged lanes meet again, and which registers live together.
#pragma once

#include <vector>

#include "engine/machine.h"

namespace emu {

/// Does the instruction write its first operand?
bool has_destination(const ptx::Instruction& inst);

class Flow {
 public:
  explicit Flow(const ptx::Function& function);

  /// The immediate post-dominator of a conditional branch (an index into the body); kNone when its paths
  /// only meet at the end. Early exits do not count as paths.
  u32 meet(u32 branch) const { return meets_[branch]; }
  bool is_meet(u32 index) const { return is_meet_[index]; }

  /// Where each register lives in a frame's register file, and the file's size. Registers that never live
  /// at the same time share a place, so that a warp's registers stay in the first-level cache.
  struct Registers {
    std::vector<u32> offset;
    u32 bytes = 0;
  };
  Registers place_registers() const;

 private:
  struct BasicBlock {
    u32 begin = 0, end = 0;
    std::vector<u32> next;
    bool leaves = false;  // a short way out of the function
  };
  /// Which blocks follow each other, without short ways out; the last node is the end of the function.
  struct Edges {
    std::vector<std::vector<u32>> next, previous;
  };
  void find_blocks();
  void successors(u32 index, std::vector<u32>& out) const;
  void find_exits();
  Edges main_edges() const;
  void keep_ways_out(Edges& edges) const;
  void find_meets();
  std::vector<std::vector<u64>> live_out(size_t words) const;
  void intervals(std::vector<u32>& first, std::vector<u32>& last) const;

  const ptx::Function& function_;
  std::vector<BasicBlock> blocks_;
  std::vector<u32> block_of_;
  std::vector<u32> meets_;
  std::vector<bool> is_meet_;
};

}  // namespace emu
