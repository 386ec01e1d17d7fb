// Constant expressions (PTX ISA 9.0, section 4.5.5): C's operators on 64-bit integers.
#include <array>

#include "ptx/parser.h"

namespace emu::ptx {
namespace {

struct Operator {
  std::string_view text;
  int binds;  // the higher, the tighter
};
// Those of two characters come before the one they begin with.
constexpr std::array<Operator, 18> kOperators{{{"||", 1},
                                               {"&&", 2},
                                               {"==", 6},
                                               {"!=", 6},
                                               {"<=", 7},
                                               {">=", 7},
                                               {"<<", 8},
                                               {">>", 8},
                                               {"|", 3},
                                               {"^", 4},
                                               {"&", 5},
                                               {"<", 7},
                                               {">", 7},
                                               {"+", 9},
                                               {"-", 9},
                                               {"*", 10},
                                               {"/", 10},
                                               {"%", 10}}};

int64_t as_signed(uint64_t bits) { return static_cast<int64_t>(bits); }

bool less(uint64_t a, uint64_t b, bool is_unsigned) {
  return is_unsigned ? a < b : as_signed(a) < as_signed(b);
}

uint64_t shifted(std::string_view text, uint64_t a, uint64_t b, bool is_unsigned) {
  if (b > 63) return text == ">>" && !is_unsigned && as_signed(a) < 0 ? ~uint64_t{0} : 0;
  if (text == "<<") return a << b;
  return is_unsigned ? a >> b : static_cast<uint64_t>(as_signed(a) >> b);
}

uint64_t divided(bool rest, uint64_t a, uint64_t b, bool is_unsigned) {
  if (is_unsigned) return rest ? a % b : a / b;
  if (b == ~uint64_t{0}) return rest ? 0 : 0 - a;  // also of the lowest number
  return static_cast<uint64_t>(rest ? as_signed(a) % as_signed(b) : as_signed(a) / as_signed(b));
}

uint64_t apply(std::string_view text, uint64_t a, uint64_t b, bool is_unsigned) {
  if (text == "||") return a != 0 || b != 0;
  if (text == "&&") return a != 0 && b != 0;
  if (text == "==") return a == b;
  if (text == "!=") return a != b;
  if (text == "<") return less(a, b, is_unsigned);
  if (text == ">") return less(b, a, is_unsigned);
  if (text == "<=") return !less(b, a, is_unsigned);
  if (text == ">=") return !less(a, b, is_unsigned);
  if (text == "|") return a | b;
  if (text == "^") return a ^ b;
  if (text == "&") return a & b;
  if (text == "+") return a + b;
  if (text == "-") return a - b;
  if (text == "*") return a * b;
  if (text == "<<" || text == ">>") return shifted(text, a, b, is_unsigned);
  return divided(text == "%", a, b, is_unsigned);
}

}  // namespace

uint64_t Parser::constant() { return conditional().bits; }

Parser::Constant Parser::conditional() {
  const Nested nested(*this);
  const Constant chosen = binary(1);
  if (!lexer_.accept('?')) return chosen;
  const Constant yes = conditional();
  lexer_.expect(':');
  const Constant no = conditional();
  return {chosen.bits != 0 ? yes.bits : no.bits, yes.is_unsigned || no.is_unsigned};
}

// Operators that bind at least so tightly, from left to right.
Parser::Constant Parser::binary(int least) {
  Constant left = unary();
  for (;;) {
    const Operator* found = nullptr;
    for (const Operator& each : kOperators) {
      const bool here = each.text.size() == 2 ? lexer_.at_pair(each.text) : lexer_.peek().is(each.text[0]);
      if (here && found == nullptr) found = &each;
    }
    if (found == nullptr || found->binds < least) return left;
    const uint32_t line = lexer_.peek().line;
    for (size_t i = 0; i < found->text.size(); ++i) lexer_.next();
    const Constant right = binary(found->binds + 1);
    if (right.bits == 0 && (found->text == "/" || found->text == "%")) throw Error(line, "division by zero");
    const bool shifts = found->text == "<<" || found->text == ">>";
    const bool is_unsigned = left.is_unsigned || (!shifts && right.is_unsigned);
    left.bits = apply(found->text, left.bits, right.bits, is_unsigned);
    left.is_unsigned =
        is_unsigned && (found->binds < 6 || found->binds > 7);  // a comparison's is a signed 0 or 1
  }
}

Parser::Constant Parser::unary() {
  const Nested nested(*this);
  if (lexer_.accept('+')) return unary();
  if (lexer_.accept('-')) {
    const Constant value = unary();
    return {0 - value.bits, value.is_unsigned};
  }
  if (lexer_.accept('~')) {
    const Constant value = unary();
    return {~value.bits, value.is_unsigned};
  }
  if (lexer_.accept('!')) return {uint64_t{unary().bits == 0}, false};
  if (lexer_.accept('(')) return parenthesised();
  if (lexer_.peek().kind == Token::Kind::name && lexer_.peek().text == "WARP_SZ") {
    lexer_.next();
    return {32, false};
  }
  if (lexer_.peek().kind != Token::Kind::integer) lexer_.unexpected("an integer constant");
  const Token token = lexer_.next();
  const bool marked = token.text.back() == 'U' || token.text.back() == 'u';
  return {token.bits, marked || token.bits >> 63 != 0};
}

// Behind '(': a cast's type and what it converts, or an expression.
Parser::Constant Parser::parenthesised() {
  if (lexer_.peek().kind != Token::Kind::directive) {
    const Constant value = conditional();
    lexer_.expect(')');
    return value;
  }
  const Token type = lexer_.next();
  if (type.text != ".s64" && type.text != ".u64")
    throw Error(type.line, "expected .s64 or .u64, found " + std::string(type.text));
  lexer_.expect(')');
  return {unary().bits, type.text == ".u64"};
}

}  // namespace emu::ptx
