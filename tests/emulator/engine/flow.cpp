#include "engine/flow.h"

#include <algorithm>
#include <array>

namespace emu {
namespace {

using ptx::Instruction;

bool ends_function(const Instruction& inst) {
  const std::string_view op = inst.words[0];
  return inst.guard < 0 && (op == "ret" || op == "exit" || op == "trap");
}

bool is_branch(const Instruction& inst) { return inst.words[0] == "bra" || inst.words[0] == "brx"; }

constexpr u32 kShortWay = 6;  // instructions

// Reverse post-order of a graph.
std::vector<u32> order_from(u32 first, const std::vector<std::vector<u32>>& next) {
  std::vector<u32> order;
  std::vector<std::pair<u32, size_t>> stack{{first, 0}};
  std::vector<bool> seen(next.size(), false);
  seen[first] = true;
  while (!stack.empty()) {
    auto& [node, child] = stack.back();
    if (child < next[node].size()) {
      const u32 to = next[node][child++];
      if (!seen[to]) {
        seen[to] = true;
        stack.emplace_back(to, 0);
      }
    } else {
      order.push_back(node);
      stack.pop_back();
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace

bool has_destination(const Instruction& inst) {
  static constexpr std::array kWithout{
      "st",         "red",      "bar",           "barrier",   "membar",   "fence",
      "bra",        "brx",      "ret",           "exit",      "trap",     "brkpt",
      "cp",         "prefetch", "prefetchu",     "nanosleep", "stmatrix", "griddepcontrol",
      "setmaxnreg", "discard",  "applypriority", "pmevent"};
  const std::string_view op = inst.words[0];
  if (op == "bar" || op == "barrier") return inst.has("red");
  if (op == "mbarrier")
    return inst.has("arrive") || inst.has("arrive_drop") || inst.has("test_wait") || inst.has("try_wait") ||
           inst.has("pending_count");
  if (op == "wmma") return !inst.has("store");
  if (op == "call") return inst.operands.size() > 1 && inst.operands[0].kind == ptx::Operand::Kind::list;
  return std::find(kWithout.begin(), kWithout.end(), op) == kWithout.end();
}

Flow::Flow(const ptx::Function& function) : function_(function) {
  find_blocks();
  find_exits();
  find_meets();
}

void Flow::successors(u32 index, std::vector<u32>& out) const {
  const Instruction& inst = function_.body[index];
  const bool through_table = inst.words[0] == "brx";
  if (is_branch(inst) && inst.operands.size() <= size_t{through_table})
    throw ptx::Error(inst.line, "a branch without its target");
  if (inst.words[0] == "bra") {
    out.push_back(function_.find_label(inst.operands[0].name, inst.scope, inst.line));
  } else if (through_table) {
    const auto found = function_.tables.find(inst.operands[1].name);
    if (found == function_.tables.end()) throw ptx::Error(inst.line, "brx without its .branchtargets");
    for (std::string_view label : found->second.labels)
      out.push_back(function_.find_label(label, inst.scope, inst.line));
  }
  const bool falls = !ends_function(inst) && !(is_branch(inst) && inst.guard < 0);
  if (falls) out.push_back(index + 1);
}

void Flow::find_blocks() {
  const auto count = static_cast<u32>(function_.body.size());
  std::vector<bool> leader(count + 2, false);
  leader[0] = true;
  std::vector<u32> targets;
  for (u32 i = 0; i < count; ++i) {
    const Instruction& inst = function_.body[i];
    if (!is_branch(inst) && !ends_function(inst)) continue;
    targets.clear();
    successors(i, targets);
    for (u32 target : targets) leader[target] = true;
    leader[i + 1] = true;
  }
  leader[count] = true;  // the implicit ret at the end is a block of its own
  block_of_.assign(count + 1, 0);
  for (u32 i = 0; i <= count; ++i) {
    if (leader[i]) {
      if (!blocks_.empty()) blocks_.back().end = i;
      blocks_.push_back({i, count + 1, {}, false});
    }
    block_of_[i] = static_cast<u32>(blocks_.size()) - 1;
  }
  for (BasicBlock& block : blocks_) {
    if (block.begin == count) continue;
    targets.clear();
    successors(block.end - 1, targets);
    for (u32 target : targets) block.next.push_back(block_of_[target]);
    std::sort(block.next.begin(), block.next.end());
    block.next.erase(std::unique(block.next.begin(), block.next.end()), block.next.end());
  }
}

void Flow::find_exits() {
  // Blocks in reverse, twice, finds chains of short ways out.
  for (int round = 0; round < 2; ++round) {
    for (size_t i = blocks_.size(); i-- > 0;) {
      BasicBlock& block = blocks_[i];
      const bool out = block.next.empty() || (block.next.size() == 1 && blocks_[block.next[0]].leaves);
      const bool at_end = block.begin == function_.body.size();
      const bool traps = !at_end && function_.body[block.end - 1].words[0] == "trap";
      block.leaves = out && (at_end || traps || block.end - block.begin <= kShortWay);
      for (u32 k = block.begin; !at_end && k < block.end; ++k) {
        if (function_.body[k].words[0].substr(0, 3) == "bar") block.leaves = false;
      }
    }
  }
}

Flow::Edges Flow::main_edges() const {
  const auto count = static_cast<u32>(blocks_.size());
  Edges edges;
  edges.next.resize(count);
  edges.previous.resize(count + 1);
  for (u32 b = 0; b < count; ++b) {
    for (u32 n : blocks_[b].next) {
      if (!blocks_[n].leaves) edges.next[b].push_back(n);
    }
    if (edges.next[b].empty()) edges.next[b] = blocks_[b].next;
    if (edges.next[b].empty()) edges.next[b].push_back(count);
    for (u32 n : edges.next[b]) edges.previous[n].push_back(b);
  }
  keep_ways_out(edges);
  return edges;
}

// A loop that can only be left by a short way out keeps it: else no branch ahead of it would have a place to
// meet.
void Flow::keep_ways_out(Edges& edges) const {
  const auto count = static_cast<u32>(blocks_.size());
  std::vector<bool> reached(count + 1, false);
  std::vector<u32> stack;
  const auto reach = [&](u32 from) {
    reached[from] = true;
    stack.push_back(from);
    while (!stack.empty()) {
      const u32 node = stack.back();
      stack.pop_back();
      for (u32 b : edges.previous[node]) {
        if (reached[b]) continue;
        reached[b] = true;
        stack.push_back(b);
      }
    }
  };
  reach(count);
  for (u32 b = count; b-- > 0;) {
    if (reached[b] || edges.next[b].size() == blocks_[b].next.size()) continue;
    for (u32 n : blocks_[b].next) {
      if (blocks_[n].leaves) edges.previous[n].push_back(b);
    }
    edges.next[b] = blocks_[b].next;
    reach(b);
  }
}

// Post-dominators (Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", on the reversed graph).
void Flow::find_meets() {
  const auto count = static_cast<u32>(blocks_.size());
  const u32 exit = count;
  const auto& [next, previous] = main_edges();
  const std::vector<u32> order = order_from(exit, previous);
  std::vector<u32> position(count + 1, kNone);
  for (u32 i = 0; i < order.size(); ++i) position[order[i]] = i;
  std::vector<u32> idom(count + 1, kNone);
  idom[exit] = exit;
  const auto common = [&](u32 a, u32 b) {
    while (a != b) {
      while (position[a] > position[b]) a = idom[a];
      while (position[b] > position[a]) b = idom[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (u32 node : order) {
      if (node == exit) continue;
      u32 best = kNone;
      for (u32 n : next[node]) {
        if (idom[n] == kNone) continue;
        best = best == kNone ? n : common(best, n);
      }
      if (best != kNone && idom[node] != best) {
        idom[node] = best;
        changed = true;
      }
    }
  }
  const auto body = static_cast<u32>(function_.body.size());
  meets_.assign(body + 1, kNone);
  is_meet_.assign(body + 1, false);
  for (const BasicBlock& block : blocks_) {
    if (block.begin == body || block.next.size() < 2) continue;
    const u32 b = block_of_[block.begin];
    const bool way_out = next[b].size() < block.next.size();
    if (way_out && next[b].size() < 2) continue;
    if (idom[b] == kNone || idom[b] == exit) continue;
    const u32 at = blocks_[idom[b]].begin;
    meets_[block.end - 1] = at;
    is_meet_[at] = true;
  }
}

}  // namespace emu
