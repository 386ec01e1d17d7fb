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
  Variable variable(Space space);
  void variables(Space space, std::vector<Variable>& into, bool is_extern);
  void initialiser(Variable& variable);
  void initial_value(Variable& variable);
  void registers();
  void declare_register(std::string_view name, Type type);

  // Function bodies (parse_body.cpp).
  void body();
  void body_directive();
  void label(std::string_view name);
  void table(std::string_view name, std::string_view directive);
  void instruction();
  Operand operand();
  Operand name_operand();
  Operand address();
  Operand number(bool minus);
  Operand group(Operand::Kind kind, char close);
  int32_t find_register(std::string_view name) const;
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

  int depth_ = 0;
  Module& module_;
  Lexer lexer_;
  Function* function_ = nullptr;
  int32_t source_ = -1;
  std::map<std::array<uint32_t, 3>, int32_t> places_;  // of .loc: the last index into Module::sources
  uint32_t first_file_ = 0;
  int32_t scope_ = -1;
  std::vector<std::unordered_map<std::string_view, int32_t>> registers_;  // per open scope
};

}  // namespace emu::ptx
