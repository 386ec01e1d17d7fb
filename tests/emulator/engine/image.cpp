#include <algorithm>
#include <cstring>
#include <set>

#include "engine/decode.h"

namespace emu {
namespace {

using ptx::Space;

u32 align_up(u32 value, u32 align) { return (value + align - 1) / align * align; }

// Functions that code may call by their address: those in variables' initial values.
std::vector<const ptx::Function*> address_taken(const ptx::Module& module) {
  std::vector<const ptx::Function*> result;
  for (const ptx::Variable& variable : module.variables) {
    for (const ptx::Relocation& relocation : variable.relocations) {
      const ptx::Function* function = module.find_function(relocation.symbol);
      if (function != nullptr && function->has_body) result.push_back(function);
    }
  }
  return result;
}

// The function and all that it may call, each once. An indirect call may reach every function whose address
// is taken; those whose addresses are in code are named there.
void collect(const ptx::Module& module, const ptx::Function& function,
             std::vector<const ptx::Function*>& seen) {
  if (std::find(seen.begin(), seen.end(), &function) != seen.end()) return;
  seen.push_back(&function);
  for (const ptx::Instruction& inst : function.body) {
    bool direct = inst.words[0] != "call";
    for (const ptx::Operand& operand : inst.operands) {
      if (operand.kind != ptx::Operand::Kind::symbol) continue;
      const ptx::Function* callee = module.find_function(operand.name);
      if (callee == nullptr) continue;
      direct = true;
      if (callee->has_body) collect(module, *callee, seen);
    }
    if (direct) continue;
    for (const ptx::Function* callee : address_taken(module)) collect(module, *callee, seen);
  }
}

void place_shared(Image& image, const ptx::Variable& variable) {
  if (variable.space != Space::shared || variable.is_extern || image.shared_offset.contains(variable.name))
    return;
  image.static_shared = align_up(image.static_shared, std::max(variable.align, 1u));
  image.shared_offset[variable.name] = image.static_shared;
  image.static_shared += static_cast<u32>(variable.size);
}

// Static shared variables: those that the functions declare, and those of the module that they name. Extern
// arrays all start where these end.
void place_static_shared(Image& image, const std::vector<const ptx::Function*>& functions) {
  std::set<std::string_view> named;
  for (const ptx::Function* function : functions) {
    for (const ptx::Instruction& inst : function->body) {
      for (const ptx::Operand& operand : inst.operands) named.insert(operand.name);
    }
  }
  for (const ptx::Variable& variable : image.module->variables) {
    if (named.contains(variable.name)) place_shared(image, variable);
  }
  for (const ptx::Function* function : functions) {
    for (const ptx::Variable& variable : function->variables) place_shared(image, variable);
  }
}

void place_extern_shared(Image& image, const ptx::Module& module) {
  const auto place_one = [&](const ptx::Variable& variable) {
    if (variable.space == Space::shared && (variable.is_extern || variable.size == 0)) {
      image.shared_align = std::max(image.shared_align, variable.align);
    }
  };
  for (const ptx::Variable& variable : module.variables) place_one(variable);
  const bool dynamic = image.shared_align > 16 ||
                       std::any_of(module.variables.begin(), module.variables.end(),
                                   [](const auto& v) { return v.space == Space::shared && v.is_extern; });
  const u32 at = dynamic ? align_up(image.static_shared, image.shared_align) : image.static_shared;
  for (const ptx::Variable& variable : module.variables) {
    if (variable.space == Space::shared && variable.is_extern) image.shared_offset[variable.name] = at;
  }
  if (dynamic) image.static_shared = at;
}

// The deepest chain of frames; recursion and indirect calls have no bound.
u64 deepest(Image& image, const ptx::Function& function, std::vector<const ptx::Function*>& path) {
  if (std::find(path.begin(), path.end(), &function) != path.end()) {
    image.unbounded_stack = true;
    return 0;
  }
  path.push_back(&function);
  u64 below = 0;
  for (const ptx::Instruction& inst : function.body) {
    if (inst.words[0] != "call") continue;
    bool direct = false;
    for (const ptx::Operand& operand : inst.operands) {
      const ptx::Function* callee =
          operand.kind == ptx::Operand::Kind::symbol ? image.module->find_function(operand.name) : nullptr;
      if (callee == nullptr) continue;
      direct = true;
      if (callee->has_body) below = std::max(below, deepest(image, *callee, path));
    }
    if (!direct) image.unbounded_stack = true;
  }
  path.pop_back();
  return below + code_of(image, function).frame_bytes;
}

}  // namespace

Code& code_of(Image& image, const ptx::Function& function) {
  auto& code = image.codes[function.name];
  if (code == nullptr) {
    code = std::make_unique<Code>();
    Code& target = *code;
    Decoder(image, function, target).run();
    image.inst_count += static_cast<u32>(target.insts.size());
  }
  return *code;
}

std::unique_ptr<Image> build_image(const ptx::Module& module, LinkedModule& linked,
                                   const ptx::Function& entry, bool track_effects) {
  auto image = std::make_unique<Image>();
  image->module = &module;
  image->linked = &linked;
  image->track_effects = track_effects;
  std::vector<const ptx::Function*> functions;
  collect(module, entry, functions);
  place_static_shared(*image, functions);
  place_extern_shared(*image, module);
  image->entry = &code_of(*image, entry);
  for (const ptx::Function* function : functions) code_of(*image, *function);
  std::vector<const ptx::Function*> path;
  image->frame_bytes = deepest(*image, entry, path);
  const size_t size = image->constants.size();
  image->constants.resize(size + 64);
  // Align the pool: move its contents up to the first 64-byte boundary.
  const auto raw = reinterpret_cast<uintptr_t>(image->constants.data());
  image->constants_base = reinterpret_cast<u8*>((raw + 63) & ~uintptr_t{63});
  std::memmove(image->constants_base, image->constants.data(), size);
  return image;
}

}  // namespace emu
