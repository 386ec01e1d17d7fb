// Recursive descent over PTX's statements (PTX ISA 9.0, chapters 4, 5, 7 and 11).
#pragma once

#include <array>
#include <map>
#include <string>
#include <unordered_map>

#include "ptx/lexer.h"

namespace emu::ptx {

class Parser {
 public:
  Parser(Module& module, std::string_view text) : module_(module), lexer_(text) {}
  void run();

 private:
  // Module level (parser.cpp).
  void module_statement();
  void function(bool is_entry);
  void function_directives(Function& function);
  void parameters(std::vector<Variable>& into);
  void location();
  Source source_place();
  void file();

  // Declarations (parse_declaration.cpp).
  static Space space_of(std::string_view directive);
  /// What several variables have in common: all that stands before their names.
  Variable declaration(Space space);
  /// One of them: its name and extents.
  Variable declarator(const Variable& common);
  void variables(Space space, std::vector<Variable>& into, bool is_extern);
  void function_variables(Space space);
  std::string_view declare_name(std::string_view name, Space space);
  std::string_view resolve_name(std::string_view name) const;
  void registers();
  void declare_register(std::string_view name, Type type, uint64_t count, uint32_t lanes, bool ranged);
  void declare_parameters(std::vector<Variable>& all);
  /// A register, the first one of a vector, or none (-1).
  struct Found {
    int32_t reg = -1;
    uint32_t lanes = 1;
  };
  Found find_declared(std::string_view name) const;
  Found find_register(std::string_view name) const;

  // Initial values (parse_initialiser.cpp).
  void initialiser(Variable& variable, size_t dimension, uint64_t at);
  uint64_t values(Variable& variable, uint64_t most, size_t dimension, uint64_t at, uint64_t stride);
  void initial_value(Variable& variable, uint64_t at);
  void initial_address(Variable& variable, uint64_t at);
  void initial_byte(Variable& variable, uint64_t at, uint64_t mask);
  std::string_view address_name();

  // Constant expressions (parse_constant.cpp).
  struct Constant {
    uint64_t bits = 0;
    bool is_unsigned = false;
  };
  uint64_t constant();
  Constant conditional();
  static constexpr int kSums = 9;  // how tightly + binds
  Constant binary(int least);
  Constant unary();
  Constant parenthesised();

  // Function bodies (parse_body.cpp).
  void body();
  void body_directive();
  void label(std::string_view name);
  void table(std::string_view name, std::string_view directive);
  void instruction();
  Operand operand();
  Operand name_operand();
  Operand address();
  Operand number();
  Operand register_operand(const Token& token);
  Operand register_sum(const Operand& base, uint32_t line);
  Operand group(Operand::Kind kind, char close);
  void open_scope();

  // What is nested is parsed by recursion: so deep and no deeper.
  struct Nested {
    explicit Nested(Parser& within) : parser(within) {
      if (++parser.depth_ > 64) throw Error(parser.lexer_.peek().line, "nested too deeply");
    }
    ~Nested() { --parser.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    Parser& parser;
  };

  // What the instruction being parsed says of its operands.
  struct Context {
    int32_t guard = -1;
    bool guard_negated = false;
    bool calls = false;    // parentheses are lists
    bool negates = false;  // registers too
    bool inside = false;   // of a vector or list
  };

  int depth_ = 0;
  Context context_;
  Module& module_;
  Lexer lexer_;
  Function* function_ = nullptr;
  int32_t source_ = -1;
  std::map<std::array<uint32_t, 3>, int32_t> places_;  // of .loc: the last index into Module::sources
  uint32_t first_file_ = 0;
  int32_t scope_ = -1;
  // Per open scope: registers, and variables under the names that make them unique. The first scope of names
  // is that of the parameters.
  struct Declared {
    int32_t first = 0;
    uint64_t count = 1;
    uint32_t lanes = 1;
    bool ranged = false;  // %r<count>
  };
  std::vector<std::unordered_map<std::string_view, Declared>> registers_;
  std::vector<std::unordered_map<std::string_view, std::string_view>> names_;
};

}  // namespace emu::ptx
