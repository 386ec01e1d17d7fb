#include "ptx/parser.h"

namespace emu::ptx {
namespace {

void split(std::string_view opcode, std::vector<std::string_view>& words) {
  while (!opcode.empty()) {
    const size_t dot = opcode.find('.');
    words.push_back(opcode.substr(0, dot));
    if (dot == std::string_view::npos) return;
    opcode.remove_prefix(dot + 1);
  }
}

}  // namespace

void Parser::open_scope() {
  function_->scope_parent.push_back(scope_);
  scope_ = static_cast<int32_t>(function_->scope_parent.size()) - 1;
  registers_.emplace_back();
}

void Parser::body() {
  open_scope();
  while (scope_ >= 0) {
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::directive) {
      body_directive();
    } else if (lexer_.accept('{')) {
      open_scope();
    } else if (lexer_.accept('}')) {
      scope_ = function_->scope_parent[static_cast<size_t>(scope_)];
      registers_.pop_back();
    } else if (!lexer_.accept(';')) {
      instruction();
    }
  }
}

void Parser::body_directive() {
  const Token token = lexer_.next();
  const std::string_view word = token.text;
  if (word == ".reg") {
    registers();
  } else if (word == ".loc") {
    location();
  } else if (word == ".pragma") {
    lexer_.skip_past(';');
  } else if (const Space space = space_of(word); space != Space::generic) {
    variables(space, function_->variables, false);
  } else {
    throw Error(token.line, "directive " + std::string(word) + " is not supported in a function");
  }
}

void Parser::label(std::string_view name) {
  if (lexer_.peek().kind == Token::Kind::directive) {
    const std::string_view word = lexer_.peek().text;
    if (word == ".branchtargets" || word == ".calltargets" || word == ".callprototype") {
      lexer_.next();
      return table(name, word);
    }
  }
  const auto at = static_cast<uint32_t>(function_->body.size());
  if (!function_->labels.emplace(std::pair(name, scope_), at).second) {
    throw Error(lexer_.peek().line, "label " + std::string(name) + " is defined twice");
  }
}

void Parser::table(std::string_view name, std::string_view directive) {
  Table result;
  result.scope = scope_;
  if (directive == ".callprototype") {
    parameters(result.returns);
    lexer_.expect_name();
    parameters(result.parameters);
    while (lexer_.peek().kind == Token::Kind::directive) lexer_.next();  // .noreturn
  } else {
    do {
      result.labels.push_back(lexer_.expect_name().text);
    } while (lexer_.accept(','));
  }
  lexer_.expect(';');
  function_->tables[name] = std::move(result);
}

void Parser::instruction() {
  Instruction result;
  if (lexer_.accept('@')) {
    result.guard_negated = lexer_.accept('!');
    const Token name = lexer_.expect_name();
    result.guard = find_register(name.text);
    if (result.guard < 0) throw Error(name.line, "no predicate " + std::string(name.text));
  }
  const Token opcode = lexer_.expect_name();
  if (result.guard < 0 && lexer_.accept(':')) return label(opcode.text);
  result.line = opcode.line;
  result.source = source_;
  result.scope = scope_;
  result.opcode = opcode.text;
  split(opcode.text, result.words);
  while (!lexer_.accept(';')) {
    result.operands.push_back(operand());
    if (!lexer_.accept(',') && !lexer_.peek().is(';')) lexer_.unexpected("',' or ';'");
  }
  function_->body.push_back(std::move(result));
}

Operand Parser::group(Operand::Kind kind, char close) {
  Operand result;
  result.kind = kind;
  while (!lexer_.accept(close)) {
    result.parts.push_back(operand());
    if (!lexer_.accept(',') && !lexer_.peek().is(close)) lexer_.unexpected("',' or the end of the list");
  }
  return result;
}

Operand Parser::operand() {
  const Nested nested(*this);
  if (lexer_.accept('{')) return group(Operand::Kind::vector, '}');
  if (lexer_.accept('(')) return group(Operand::Kind::list, ')');
  if (lexer_.accept('[')) return address();
  if (lexer_.accept('!')) {
    Operand result = name_operand();
    result.negated = true;
    return result;
  }
  if (lexer_.accept('~')) {
    Operand result = number(false);
    result.bits = ~result.bits;
    return result;
  }
  if (lexer_.accept('-')) return number(true);
  if (lexer_.peek().kind == Token::Kind::name) return name_operand();
  return number(false);
}

Operand Parser::number(bool minus) {
  const Token token = lexer_.next();
  Operand result;
  result.bits = token.bits;
  switch (token.kind) {
    case Token::Kind::integer:
      result.kind = Operand::Kind::integer;
      if (minus) result.bits = 0 - result.bits;
      break;
    case Token::Kind::f32:
      result.kind = Operand::Kind::f32;
      if (minus) result.bits ^= 0x80000000u;
      break;
    case Token::Kind::f64:
      result.kind = Operand::Kind::f64;
      if (minus) result.bits ^= 1ull << 63;
      break;
    default:
      if (token.kind == Token::Kind::end) lexer_.unexpected("an operand");
      throw Error(token.line, "'" + std::string(token.text) + "' is not an operand");
  }
  return result;
}

Operand Parser::name_operand() {
  const Nested nested(*this);
  const Token token = lexer_.expect_name();
  Operand result;
  if (token.text != "_") {
    result.name = token.text;
    result.reg = find_register(token.text);
    result.kind = result.reg >= 0 ? Operand::Kind::reg : Operand::Kind::symbol;
  }
  if (lexer_.accept('|')) {
    Operand pair;
    pair.kind = Operand::Kind::pair;
    pair.parts = {result, name_operand()};
    return pair;
  }
  if (result.kind == Operand::Kind::symbol && lexer_.accept('+')) result.bits = lexer_.expect_integer();
  return result;
}

// [register+4], [symbol+-8], [1024], [register]
Operand Parser::address() {
  Operand result;
  result.kind = Operand::Kind::address;
  if (lexer_.peek().kind == Token::Kind::name) {
    const Token token = lexer_.next();
    result.reg = find_register(token.text);
    if (result.reg < 0) result.name = token.text;
  } else {
    result.bits = lexer_.expect_integer();
  }
  while (lexer_.peek().is('+') || lexer_.peek().is('-')) {
    const bool minus = lexer_.next().is('-');
    const uint64_t offset = lexer_.expect_integer();
    result.bits += minus ? 0 - offset : offset;
  }
  lexer_.expect(']');
  return result;
}

}  // namespace emu::ptx
