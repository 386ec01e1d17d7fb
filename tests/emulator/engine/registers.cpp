// Register allocation: linear scan over live intervals (Poletto and Sarkar, 1999), one class per width.
#include <algorithm>
#include <queue>

#include "engine/flow.h"

namespace emu {
namespace {

using ptx::Operand;

template <class Visit>
void each_register(const Operand& operand, const Visit& visit) {
  if (operand.reg >= 0) visit(static_cast<u32>(operand.reg));
  for (const Operand& part : operand.parts) each_register(part, visit);
}

// Calls visit(register, is a definition). A guarded definition keeps the old value in some lanes: also a use.
template <class Visit>
void each_effect(const ptx::Instruction& inst, const Visit& visit) {
  size_t first = 0;
  const auto define = [&](u32 reg) { visit(reg, true); };
  const auto use = [&](u32 reg) { visit(reg, false); };
  if (inst.guard >= 0) use(static_cast<u32>(inst.guard));
  if (has_destination(inst) && !inst.operands.empty()) {
    first = 1;
  }
  for (size_t i = first; i < inst.operands.size(); ++i) each_register(inst.operands[i], use);
  if (first == 1) {
    if (inst.guard >= 0) each_register(inst.operands[0], use);
    each_register(inst.operands[0], define);
  }
}

constexpr int kClasses = 5;  // of widths: 128, 64, 32, 16 bits, predicates

u32 bytes_of(ptx::Type type) {
  using ptx::Type;
  if (type == Type::pred) return 4;
  const int size = ptx::size_of(type);
  return static_cast<u32>(size < 2 ? 2 : size) * kLanes;
}

}  // namespace

std::vector<std::vector<u64>> Flow::live_out(size_t words) const {
  const size_t count = blocks_.size();
  const std::vector<u64> empty(words, 0);
  std::vector<std::vector<u64>> use(count, empty), define(count, empty), in(count, empty), out(count, empty);
  for (size_t b = 0; b < count; ++b) {
    for (u32 i = blocks_[b].begin; i < blocks_[b].end && i < function_.body.size(); ++i) {
      each_effect(function_.body[i], [&](u32 reg, bool is_definition) {
        const u64 bit = 1ull << (reg % 64);
        if (is_definition) {
          define[b][reg / 64] |= bit;
        } else if (!(define[b][reg / 64] & bit)) {
          use[b][reg / 64] |= bit;
        }
      });
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = count; b-- > 0;) {
      for (u32 n : blocks_[b].next) {
        for (size_t w = 0; w < words; ++w) out[b][w] |= in[n][w];
      }
      for (size_t w = 0; w < words; ++w) {
        const u64 now = use[b][w] | (out[b][w] & ~define[b][w]);
        changed |= now != in[b][w];
        in[b][w] = now;
      }
    }
  }
  return out;
}

void Flow::intervals(std::vector<u32>& first, std::vector<u32>& last) const {
  const size_t count = function_.registers.size();
  const size_t words = (count + 63) / 64;
  const auto out = live_out(words);
  first.assign(count, kNone);
  last.assign(count, 0);
  const auto touch = [&](u32 reg, u32 at) {
    first[reg] = std::min(first[reg], at);
    last[reg] = std::max(last[reg], at);
  };
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const BasicBlock& block = blocks_[b];
    for (u32 i = block.begin; i < block.end && i < function_.body.size(); ++i) {
      each_effect(function_.body[i], [&](u32 reg, bool) { touch(reg, i); });
    }
    const auto extend = [&](const std::vector<u64>& live, u32 at) {
      for (size_t w = 0; w < words; ++w) {
        for (u64 bits = live[w]; bits != 0; bits &= bits - 1) {
          touch(static_cast<u32>(w * 64) + static_cast<u32>(__builtin_ctzll(bits)), at);
        }
      }
    };
    extend(out[b], block.end);
    for (u32 n : block.next) extend(out[b], blocks_[n].begin);
  }
  // What is passed in registers comes before the first instruction and goes at each ret.
  for (const auto* list : {&function_.parameters, &function_.returns}) {
    for (const ptx::Variable& variable : *list) {
      if (variable.reg < 0) continue;
      touch(static_cast<u32>(variable.reg), 0);
      touch(static_cast<u32>(variable.reg), static_cast<u32>(function_.body.size()));
    }
  }
}

Flow::Registers Flow::place_registers() const {
  std::vector<u32> first, last;
  intervals(first, last);
  const size_t count = function_.registers.size();
  std::vector<u32> order;
  for (u32 r = 0; r < count; ++r) {
    if (first[r] != kNone) order.push_back(r);
  }
  std::sort(order.begin(), order.end(), [&](u32 a, u32 b) { return first[a] < first[b]; });
  using Ending = std::pair<u32, u32>;  // last use, slot
  struct Class {
    u32 slots = 0;
    std::vector<u32> free;
    std::priority_queue<Ending, std::vector<Ending>, std::greater<>> active;
  };
  Class classes[kClasses];
  constexpr u32 kBytes[kClasses] = {512, 256, 128, 64, 4};
  Registers result;
  result.offset.assign(count, 0);
  std::vector<u8> class_of(count, 0);
  for (u32 r : order) {
    const u32 bytes = bytes_of(function_.registers[r].type);
    const auto index = static_cast<u8>(std::find(kBytes, kBytes + kClasses, bytes) - kBytes);
    class_of[r] = index;
    Class& c = classes[index];
    // A place is free again after the last use: an instruction may then write where it reads, lane by lane.
    // Destinations of several registers (vectors) start while their sources live: strictly before.
    while (!c.active.empty() && c.active.top().first < first[r]) {
      c.free.push_back(c.active.top().second);
      c.active.pop();
    }
    u32 slot;
    if (c.free.empty()) {
      slot = c.slots++;
    } else {
      slot = c.free.back();
      c.free.pop_back();
    }
    c.active.emplace(last[r], slot);
    result.offset[r] = slot;
  }
  u32 base[kClasses];
  u32 at = kBytes[0];  // the first place takes what nobody reads
  for (int k = 0; k < kClasses; ++k) {
    base[k] = at;
    at += classes[k].slots * kBytes[k];
  }
  for (u32 r : order) result.offset[r] = base[class_of[r]] + result.offset[r] * kBytes[class_of[r]];
  result.bytes = (at + 63) & ~63u;
  return result;
}

}  // namespace emu
