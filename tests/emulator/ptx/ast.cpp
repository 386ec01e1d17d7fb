#include "ptx/ast.h"

#include <algorithm>
#include <array>

namespace emu::ptx {
namespace {

struct TypeInfo {
  std::string_view name;
  Type type;
  int size;
};
constexpr std::array<TypeInfo, 26> kTypes{{
    {"pred", Type::pred, 1},     {"b8", Type::b8, 1},         {"b16", Type::b16, 2},
    {"b32", Type::b32, 4},       {"b64", Type::b64, 8},       {"b128", Type::b128, 16},
    {"u8", Type::u8, 1},         {"u16", Type::u16, 2},       {"u32", Type::u32, 4},
    {"u64", Type::u64, 8},       {"s8", Type::s8, 1},         {"s16", Type::s16, 2},
    {"s32", Type::s32, 4},       {"s64", Type::s64, 8},       {"f16", Type::f16, 2},
    {"f16x2", Type::f16x2, 4},   {"bf16", Type::bf16, 2},     {"bf16x2", Type::bf16x2, 4},
    {"tf32", Type::tf32, 4},     {"f32", Type::f32, 4},       {"f64", Type::f64, 8},
    {"e4m3x2", Type::e4m3x2, 2}, {"e5m2x2", Type::e5m2x2, 2}, {"s4", Type::s4, 1},
    {"u4", Type::u4, 1},         {"b1", Type::b1, 1},
}};

}  // namespace

int size_of(Type type) {
  for (const TypeInfo& info : kTypes) {
    if (info.type == type) return info.size;
  }
  return 0;
}

Type type_from(std::string_view word) {
  for (const TypeInfo& info : kTypes) {
    if (info.name == word) return info.type;
  }
  return Type::none;
}

bool Instruction::has(std::string_view word) const {
  return std::find(words.begin() + 1, words.end(), word) != words.end();
}

uint32_t Function::find_label(std::string_view label, int32_t scope, uint32_t at) const {
  for (; scope >= 0; scope = scope_parent[static_cast<size_t>(scope)]) {
    auto found = labels.find({label, scope});
    if (found != labels.end()) return found->second;
  }
  throw Error(at, "no label " + std::string(label) + " in " + std::string(name));
}

const Function* Module::find_function(std::string_view wanted) const {
  const Function* declared = nullptr;
  for (const auto& function : functions) {
    if (function->name != wanted) continue;
    if (function->has_body) return function.get();
    declared = function.get();
  }
  return declared;
}

const Variable* Module::find_variable(std::string_view wanted) const {
  for (const Variable& variable : variables) {
    if (variable.name == wanted) return &variable;
  }
  return nullptr;
}

std::string Module::where(int32_t source) const {
  if (source < 0) return {};
  const Source& place = sources[static_cast<size_t>(source)];
  auto file = files.find(place.file);
  if (file == files.end()) return {};
  std::string result = std::string(file->second) + ":" + std::to_string(place.line);
  for (int32_t at = place.caller; at >= 0; at = sources[static_cast<size_t>(at)].caller) {
    const Source& caller = sources[static_cast<size_t>(at)];
    file = files.find(caller.file);
    if (file == files.end()) break;
    const std::string_view name = file->second.substr(file->second.rfind('/') + 1);
    result += (at == place.caller ? " (from " : ", ") + std::string(name) + ":" + std::to_string(caller.line);
  }
  return result + (place.caller >= 0 ? ")" : "");
}

}  // namespace emu::ptx
