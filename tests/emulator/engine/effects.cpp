// What the checks need to know of each instruction: which registers' definedness goes into which.
#include "engine/decode.h"
#include "engine/flow.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;

bool same_place(const Operand& a, const Operand& b) {
  return a.reg == b.reg && a.bits == b.bits && a.name == b.name;
}

// Whether an instruction makes room for a bit field in a word of memory: ld a, [p]; and b, a, constant; or c,
// b, field; st [p], c. What the word was before need not have been written.
bool clears_field(const ptx::Function& function, u32 index) {
  constexpr u32 kNear = 6;
  const std::vector<Instruction>& body = function.body;
  const Instruction& clear = body[index];
  if (clear.words[0] != "and" || clear.operands.size() != 3 ||
      clear.operands[2].kind != Operand::Kind::integer)
    return false;
  const Operand* place = nullptr;
  for (u32 i = index; i-- > 0 && index - i <= kNear && place == nullptr;) {
    const std::vector<Operand>& operands = body[i].operands;
    if (body[i].words[0] == "ld" && operands.size() == 2 && operands[0].reg == clear.operands[1].reg)
      place = &operands[1];
  }
  int32_t value = clear.operands[0].reg;
  for (u32 i = index + 1; place != nullptr && i < body.size() && i - index <= kNear; ++i) {
    const std::vector<Operand>& operands = body[i].operands;
    if (body[i].words[0] == "or" && operands.size() == 3 &&
        (operands[1].reg == value || operands[2].reg == value))
      value = operands[0].reg;
    if (body[i].words[0] == "st" && operands.size() == 2 && operands[1].reg == value &&
        same_place(operands[0], *place))
      return true;
  }
  return false;
}

}  // namespace

void Decoder::note_effects() {
  code_.effects.resize(function_.body.size());
  Code::Effects& effects = code_.effects[body_];
  const auto add = [&](const auto& self, const Operand& operand, std::vector<u32>& into) -> void {
    if (operand.reg >= 0) into.push_back(registers_.offset[static_cast<size_t>(operand.reg)]);
    for (const Operand& part : operand.parts) self(self, part, into);
  };
  if (inst_->words[0] == "selp") {
    effects.chooses = true;
    for (const Operand& operand : inst_->operands) {
      const u32 where = operand.reg >= 0 ? registers_.offset[static_cast<size_t>(operand.reg)] : kNone;
      (effects.defines.empty() ? effects.defines : effects.uses).push_back(where);
    }
    return;
  }
  if (inst_->words[0] == "call") {  // what it gives counts as defined
    if (has_destination(*inst_)) add(add, inst_->operands[0], effects.defines);
    return;
  }
  note_deciders(effects);
  const bool clears = clears_field(function_, body_);
  const bool defines = has_destination(*inst_);
  effects.shuffles = inst_->words[0] == "shfl";
  if (effects.shuffles && inst_->operands[1].reg < 0) effects.uses.push_back(kNone);
  for (size_t i = 0; i < (clears ? 1 : inst_->operands.size()); ++i) {
    add(add, inst_->operands[i], i == 0 && defines ? effects.defines : effects.uses);
  }
}

// Compilers evaluate both sides of && and || where that does no harm.
void Decoder::note_deciders(Code::Effects& effects) const {
  const std::string_view name = inst_->words[0];
  const bool combines = name == "setp" && inst_->operands.size() == 4;
  if (!combines && ((name != "and" && name != "or") || !inst_->has("pred"))) return;
  if (combines && inst_->has("xor")) return;
  const bool conjunction = combines ? inst_->has("and") : name == "and";
  for (size_t i = combines ? 3 : 1; i < inst_->operands.size(); ++i) {
    const Operand& operand = inst_->operands[i];
    if (operand.reg < 0) continue;
    const u32 flip = conjunction != operand.negated ? kFullMask : 0;
    effects.deciders.push_back({registers_.offset[static_cast<size_t>(operand.reg)], flip});
  }
}

}  // namespace emu
