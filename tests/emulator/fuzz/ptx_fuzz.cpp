// The PTX parser (ptx/): any text is a module or an error with a line, and a module can be
// asked what the emulator asks of it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ptx/ast.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Everything that the parser hands out must lie in its own tables.
void inspect(const emu::ptx::Module& module) {
  for (const auto& function : module.functions) {
    require(module.find_function(function->name) != nullptr);
    for (const auto& instruction : function->body) {
      require(!instruction.words.empty());
      require(instruction.guard < static_cast<int64_t>(function->registers.size()));
      require(instruction.source < static_cast<int64_t>(module.sources.size()));
      module.where(instruction.source);
      for (const auto& operand : instruction.operands)
        require(operand.reg < static_cast<int64_t>(function->registers.size()));
    }
    for (const auto& [label, index] : function->labels) require(index <= function->body.size());
  }
  for (const auto& variable : module.variables) {
    for (const auto& relocation : variable.relocations)
      require(relocation.size <= 8 && relocation.offset + relocation.size <= variable.init.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    inspect(*emu::ptx::parse(std::string(reinterpret_cast<const char*>(data), size)));
  } catch (const emu::ptx::Error& error) {
    require(error.line >= 1);
  }
  return 0;
}
