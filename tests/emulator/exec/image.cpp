#include <algorithm>
#include <cstring>

#include "exec/decode.h"

namespace emu {
namespace {

using ptx::Space;

u32 align_up(u32 value, u32 align) { return (value + align - 1) / align * align; }

// Module-level .shared variables that the entry or its callees name. Extern arrays all start where the
// static ones end, so they are placed last.
void place_module_shared(Image& image, const ptx::Module& module) {
  for (const ptx::Variable& variable : module.variables) {
    if (variable.space != Space::shared || variable.is_extern) continue;
    image.static_shared = align_up(image.static_shared, std::max(variable.align, 1u));
    image.shared_offset[variable.name] = image.static_shared;
    image.static_shared += static_cast<u32>(variable.size);
  }
}

// Static shared variables of functions get their places while functions are decoded, so extern arrays must
// come after all of them: a first pass over all reachable functions' declarations.
void place_function_shared(Image& image, const ptx::Function& function,
                           std::vector<const ptx::Function*>& seen) {
  if (std::find(seen.begin(), seen.end(), &function) != seen.end()) return;
  seen.push_back(&function);
  for (const ptx::Variable& variable : function.variables) {
    if (variable.space != Space::shared || image.shared_offset.contains(variable.name)) continue;
    image.static_shared = align_up(image.static_shared, std::max(variable.align, 1u));
    image.shared_offset[variable.name] = image.static_shared;
    image.static_shared += static_cast<u32>(variable.size);
  }
  for (const ptx::Instruction& inst : function.body) {
    for (const ptx::Operand& operand : inst.operands) {
      if (operand.kind != ptx::Operand::Kind::symbol) continue;
      const ptx::Function* callee = image.module->find_function(operand.name);
      if (callee != nullptr && callee->has_body) place_function_shared(image, *callee, seen);
    }
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

std::unique_ptr<Image> build_image(const ptx::Module& module, Linked& linked, const ptx::Function& entry,
                                   bool track_effects) {
  auto image = std::make_unique<Image>();
  image->module = &module;
  image->linked = &linked;
  image->track_effects = track_effects;
  std::vector<const ptx::Function*> functions;
  place_module_shared(*image, module);
  place_function_shared(*image, entry, functions);
  place_extern_shared(*image, module);
  image->entry = &code_of(*image, entry);
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
