#include <algorithm>
#include <array>
#include <utility>

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

bool is_selector(std::string_view text) {
  return text == "b0" || text == "b1" || text == "b2" || text == "b3" || text == "h0" || text == "h1";
}

}  // namespace

void Parser::open_scope() {
  function_->scope_parent.push_back(scope_);
  scope_ = static_cast<int32_t>(function_->scope_parent.size()) - 1;
  registers_.emplace_back();
  names_.emplace_back();
}

void Parser::body() {
  open_scope();
  declare_parameters(function_->returns);
  declare_parameters(function_->parameters);
  while (scope_ >= 0) {
    const Token& token = lexer_.peek();
    if (token.kind == Token::Kind::directive) {
      body_directive();
    } else if (lexer_.accept('{')) {
      open_scope();
    } else if (lexer_.accept('}')) {
      scope_ = function_->scope_parent[static_cast<size_t>(scope_)];
      registers_.pop_back();
      names_.pop_back();
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
    function_variables(space);
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
    result.guard = find_register(name.text).reg;
    if (result.guard < 0) throw Error(name.line, "no predicate " + std::string(name.text));
  }
  const Token opcode = lexer_.expect_name();
  if (result.guard < 0 && lexer_.accept(':')) return label(opcode.text);
  result.line = opcode.line;
  result.source = source_;
  result.scope = scope_;
  result.opcode = opcode.text;
  split(opcode.text, result.words);
  context_ = {result.guard, result.guard_negated, result.words[0] == "call", result.words[0] == "vmad",
              false};
  while (!lexer_.accept(';')) {
    result.operands.push_back(operand());
    if (!lexer_.accept(',') && !lexer_.peek().is(';')) lexer_.unexpected("',' or ';'");
  }
  function_->body.push_back(std::move(result));
}

Operand Parser::group(Operand::Kind kind, char close) {
  Operand result;
  result.kind = kind;
  const bool inside = std::exchange(context_.inside, true);
  while (!lexer_.accept(close)) {
    result.parts.push_back(operand());
    if (!lexer_.accept(',') && !lexer_.peek().is(close)) lexer_.unexpected("',' or the end of the list");
  }
  context_.inside = inside;
  return result;
}

Operand Parser::operand() {
  const Nested nested(*this);
  if (lexer_.accept('{')) return group(Operand::Kind::vector, '}');
  if (context_.calls && lexer_.accept('(')) return group(Operand::Kind::list, ')');
  if (lexer_.accept('[')) return address();
  Lexer ahead = lexer_;  // behind a sign
  const bool marked = ahead.accept('!') || (context_.negates && ahead.accept('-'));
  const bool named = ahead.peek().kind == Token::Kind::name && ahead.peek().text != "WARP_SZ";
  if (!named) return number();
  if (!marked) return name_operand();
  lexer_.next();
  Operand result = name_operand();
  result.negated = true;
  return result;
}

// A float, with a sign or without, or a constant expression.
Operand Parser::number() {
  Operand result;
  Lexer ahead = lexer_;
  const bool minus = ahead.accept('-');
  const Token::Kind kind = ahead.peek().kind;
  if (kind != Token::Kind::f32 && kind != Token::Kind::f64) {
    result.kind = Operand::Kind::integer;
    result.bits = constant();
    return result;
  }
  lexer_ = ahead;
  result.kind = kind == Token::Kind::f32 ? Operand::Kind::f32 : Operand::Kind::f64;
  result.bits = lexer_.next().bits;
  if (minus) result.bits ^= kind == Token::Kind::f32 ? uint64_t{1} << 31 : uint64_t{1} << 63;
  return result;
}

Operand Parser::name_operand() {
  const Nested nested(*this);
  const Token token = lexer_.expect_name();
  Operand result;
  if (token.text != "_") result = register_operand(token);
  if (lexer_.accept('|')) {
    Operand pair;
    pair.kind = Operand::Kind::pair;
    pair.parts = {result, name_operand()};
    return pair;
  }
  if (result.kind == Operand::Kind::symbol && lexer_.accept('+')) result.bits = constant();
  if (result.kind == Operand::Kind::reg && lexer_.peek().is('+')) return register_sum(result, token.line);
  return result;
}

// A register, a part of one (%r1.h0), a vector of them, or, where there is no such register, a symbol.
Operand Parser::register_operand(const Token& token) {
  Operand result;
  Found found = find_register(token.text);
  const size_t dot = token.text.rfind('.');
  if (found.reg < 0 && dot != std::string_view::npos && dot != 0 && is_selector(token.text.substr(dot + 1))) {
    found = find_register(token.text.substr(0, dot));
    if (found.reg >= 0) result.selector = token.text.substr(dot + 1);
  }
  result.kind = found.reg >= 0 ? Operand::Kind::reg : Operand::Kind::symbol;
  result.reg = found.reg;
  result.name = found.reg >= 0 ? token.text : resolve_name(token.text);
  if (found.lanes == 1) return result;
  if (context_.inside || !result.selector.empty())
    throw Error(token.line, "vector " + std::string(token.text) + " where one register is expected");
  Operand vector;
  vector.kind = Operand::Kind::vector;
  for (uint32_t lane = 0; lane < found.lanes; ++lane) {
    vector.parts.push_back(result);
    vector.parts.back().reg = found.reg + static_cast<int32_t>(lane);
  }
  return vector;
}

// register + constant, as a register of its own, to which the instruction before this one adds.
Operand Parser::register_sum(const Operand& base, uint32_t line) {
  lexer_.expect('+');
  const Type type = function_->registers[static_cast<size_t>(base.reg)].type;
  static constexpr std::array<std::pair<int, std::pair<std::string_view, std::string_view>>, 3> kAdds{
      {{2, {"add.u16", "u16"}}, {4, {"add.u32", "u32"}}, {8, {"add.u64", "u64"}}}};
  const auto found =
      std::find_if(kAdds.begin(), kAdds.end(), [&](const auto& add) { return add.first == size_of(type); });
  const bool real = type == Type::f16 || type == Type::bf16 || type == Type::f32 || type == Type::f64;
  if (context_.inside || found == kAdds.end() || real || !base.selector.empty() || type == Type::pred)
    throw Error(line, "nothing can be added to " + std::string(base.name) + " here");
  Operand addend, sum = base;
  addend.kind = Operand::Kind::integer;
  addend.bits = constant();
  sum.reg = static_cast<int32_t>(function_->registers.size());
  function_->registers.push_back({base.name, type});
  Instruction add;
  add.line = line;
  add.source = source_;
  add.scope = scope_;
  add.guard = context_.guard;
  add.guard_negated = context_.guard_negated;
  add.opcode = found->second.first;
  add.words = {"add", found->second.second};
  add.operands = {sum, base, addend};
  function_->body.push_back(std::move(add));
  return sum;
}

// [register+4], [symbol+-8], [1024], [register]
Operand Parser::address() {
  Operand result;
  result.kind = Operand::Kind::address;
  if (lexer_.peek().kind == Token::Kind::name && lexer_.peek().text != "WARP_SZ") {
    const Token token = lexer_.next();
    const Found found = find_register(token.text);
    if (found.lanes > 1) throw Error(token.line, "a vector is not an address");
    result.reg = found.reg;
    if (result.reg < 0) result.name = resolve_name(token.text);
    while (lexer_.peek().is('+') || lexer_.peek().is('-')) {
      if (lexer_.peek().is('+')) lexer_.next();
      result.bits += constant();
    }
  } else {
    result.bits = constant();
  }
  lexer_.expect(']');
  return result;
}

}  // namespace emu::ptx
