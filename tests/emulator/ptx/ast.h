// The parsed form of a PTX module: names resolved to registers and variables, constants folded.
// Everything that PTX text says is kept; nothing is interpreted here.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace emu::ptx {

enum class Type : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  tf32,
  f32,
  f64,
  e4m3x2,
  e5m2x2,
  s4,
  u4,
  b1,
};
enum class Space : uint8_t { generic, reg, global, shared, local, constant, param };

/// Bytes of one element; sub-byte types and predicates count as 1.
int size_of(Type type);
/// none when the word (without its dot) names no type.
Type type_from(std::string_view word);

/// What is wrong with a module, and on which line of its text.
struct Error : std::runtime_error {
  Error(uint32_t at, const std::string& what)
      : std::runtime_error("PTX line " + std::to_string(at) + ": " + what), line(at) {}
  uint32_t line;
};

struct Operand {
  enum class Kind : uint8_t { reg, integer, f32, f64, symbol, address, vector, list, sink, pair };
  Kind kind = Kind::sink;
  bool negated = false;        // !p
  int32_t reg = -1;            // reg; of an address: its base register, or -1
  uint64_t bits = 0;           // integer, or the bits of a float; of an address: the offset
  std::string_view name;       // symbol, special register, label; of an address: its symbol
  std::string_view selector;   // reg: the part of it that a video instruction takes: "b0", "h1"
  std::vector<Operand> parts;  // vector {a, b}, list (a, b), pair a|b
};

struct Instruction {
  uint32_t line = 0;    // in the PTX text
  int32_t source = -1;  // index into Module::sources
  int32_t guard = -1;   // predicate register
  bool guard_negated = false;
  std::string_view opcode;              // "fma.rn.f32"
  std::vector<std::string_view> words;  // "fma", "rn", "f32" ("shared::cta" is one word)
  std::vector<Operand> operands;
  int32_t scope = 0;  // for labels

  bool has(std::string_view word) const;
};

struct Register {
  std::string_view name;  // of a range: its prefix
  Type type = Type::none;
};

/// An address of another variable (or function) inside an initialiser, or one byte of it.
struct Relocation {
  uint64_t offset = 0;
  std::string_view symbol;
  uint64_t addend = 0;
  uint32_t size = 8;   // bytes that it fills
  int32_t shift = -1;  // which byte of the address, as a shift in bits; -1: all of it
};

struct Variable {
  std::string_view name;
  Space space = Space::global;
  Type type = Type::b8;
  uint32_t align = 1;
  uint64_t size = 0;  // bytes; 0 for extern arrays without a length
  bool is_extern = false;
  uint32_t lanes = 1;             // of .v2 and .v4
  std::vector<uint64_t> extents;  // of an array; 0: as many as there are initial values
  int32_t reg = -1;               // of a .reg parameter or result: its register in the function
  std::vector<uint8_t> init;
  std::vector<Relocation> relocations;
};

/// The operands of an indirect call or branch that stand apart from it.
struct Table {
  std::vector<std::string_view> labels;       // .branchtargets, .calltargets
  std::vector<Variable> returns, parameters;  // .callprototype
  int32_t scope = 0;
};

struct Function {
  std::string_view name;
  bool is_entry = false;
  bool has_body = false;
  uint32_t line = 0;
  std::vector<Variable> returns, parameters;
  std::vector<Variable> variables;  // .local, .shared and .param declared inside, of whatever scope
  std::vector<Register> registers;
  std::vector<Instruction> body;
  std::map<std::pair<std::string_view, int32_t>, uint32_t> labels;  // (name, scope) -> index into body
  std::vector<int32_t> scope_parent;                                // scope -> enclosing scope
  std::map<std::string_view, Table> tables;
  uint32_t max_threads = 0;  // .maxntid, as a product; 0 = not given
  uint32_t required_threads[3] = {0, 0, 0};
  uint32_t min_blocks = 0;

  /// Index into body of a label seen from a scope; throws Error.
  uint32_t find_label(std::string_view label, int32_t scope, uint32_t line) const;
};

struct Source {
  uint32_t file = 0, line = 0, column = 0;
  int32_t caller = -1;  // where this was inlined: index into Module::sources, before this one's
};

struct Module {
  std::string text;
  int version = 0;  // 90 for 9.0
  std::string_view target;
  std::vector<Variable> variables;
  std::deque<std::string> made_names;  // of variables whose own names are others' too
  std::vector<std::unique_ptr<Function>> functions;
  std::vector<Source> sources;
  std::map<uint32_t, std::string_view> files;

  const Function* find_function(std::string_view name) const;
  const Variable* find_variable(std::string_view name) const;
  /// "kernel.cu:12", "header.h:3 (from kernel.cu:12)" where that was inlined; empty without line information.
  std::string where(int32_t source) const;
};

/// Throws Error with the line of what it does not understand.
std::unique_ptr<Module> parse(std::string text);

}  // namespace emu::ptx
