// Cuts PTX text into tokens. Directives (".reg") and names keep their dots; an opcode ("fma.rn.f32") is one
// token.
#pragma once

#include <cstdint>
#include <string_view>

#include "ptx/ast.h"

namespace emu::ptx {

struct Token {
  enum class Kind : uint8_t { end, name, directive, integer, f32, f64, string, punctuation };
  Kind kind = Kind::end;
  std::string_view text;
  uint64_t bits = 0;
  uint32_t line = 1;

  bool is(char punctuation) const { return kind == Kind::punctuation && text[0] == punctuation; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text);
  const Token& peek() const { return current_; }
  Token next();
  bool accept(char punctuation);
  /// Does an operator of two characters ("<<") come next?
  bool at_pair(std::string_view pair) const;
  void expect(char punctuation);
  Token expect_name();
  uint64_t expect_integer();
  /// Skips to a punctuation mark, and over it.
  void skip_past(char punctuation);
  /// Skips to the matching closing brace; the opening one has been read.
  void skip_braces();
  [[noreturn]] void unexpected(std::string_view wanted) const;

 private:
  Token scan();
  Token scan_number();
  Token scan_word();
  void skip_blank();

  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  Token current_;
};

}  // namespace emu::ptx
