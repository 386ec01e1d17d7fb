#include <bit>
#include <charconv>
#include <cstring>

#include "ptx/parser.h"

namespace emu::ptx {
namespace {

constexpr size_t kMostRegisters = 2'000'000;  // of a function; they take memory before they are used

}  // namespace

Space Parser::space_of(std::string_view directive) {
  if (directive == ".global") return Space::global;
  if (directive == ".const") return Space::constant;
  if (directive == ".shared") return Space::shared;
  if (directive == ".local") return Space::local;
  if (directive == ".param") return Space::param;
  return Space::generic;
}

void Parser::declare_register(std::string_view name, Type type) {
  function_->registers.push_back({name, type});
  registers_.back()[name] = static_cast<int32_t>(function_->registers.size()) - 1;
}

// .reg .b32 %r<9>, %x;
void Parser::registers() {
  const Token word = lexer_.next();
  const bool named = word.kind == Token::Kind::directive;
  const Type type = named ? type_from(word.text.substr(1)) : Type::none;
  if (type == Type::none) {
    throw Error(word.line, "register type " + std::string(word.text) + " is not supported");
  }
  do {
    const Token name = lexer_.expect_name();
    if (!lexer_.accept('<')) {
      declare_register(name.text, type);
      continue;
    }
    const uint64_t count = lexer_.expect_integer();
    lexer_.expect('>');
    const auto first = static_cast<int32_t>(function_->registers.size());
    if (count > kMostRegisters - function_->registers.size()) throw Error(name.line, "too many registers");
    // The names %r0 … %r(n-1) are made from the prefix when they are looked up.
    registers_.back()[name.text] = first;
    for (uint64_t i = 0; i < count; ++i) function_->registers.push_back({name.text, type});
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

int32_t Parser::find_register(std::string_view name) const {
  const size_t last = name.find_last_not_of("0123456789");
  const std::string_view prefix = name.substr(0, last + 1);
  for (size_t scope = registers_.size(); scope-- > 0;) {
    const auto& names = registers_[scope];
    if (auto found = names.find(name); found != names.end()) return found->second;
    if (prefix.size() == name.size()) continue;
    if (auto found = names.find(prefix); found != names.end()) {
      uint32_t number = kMostRegisters;
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
      const auto& all = function_->registers;
      const size_t index = static_cast<size_t>(found->second) + number;
      if (index < all.size() && all[index].name == prefix) return static_cast<int32_t>(index);
    }
  }
  return -1;
}

// After the state space: [.align N] [.ptr [.space] [.align N]] .type name [N]... ; attributes in any order.
Variable Parser::variable(Space space) {
  Variable result;
  result.space = space;
  uint64_t lanes = 1;
  bool aligned = false;
  bool pointer = false;
  while (lexer_.peek().kind == Token::Kind::directive) {
    const Token token = lexer_.next();
    const std::string_view word = token.text.substr(1);
    if (word == "align") {
      const auto align = static_cast<uint32_t>(lexer_.expect_integer());
      if (!pointer) result.align = align;
      aligned = true;
    } else if (word == "ptr") {
      pointer = true;
    } else if (word == "v2" || word == "v4") {
      lanes = static_cast<uint64_t>(word[1] - '0');
    } else if (const Type type = type_from(word); type != Type::none) {
      result.type = type;
    } else if (word == "attribute") {
      lexer_.expect('(');
      lexer_.skip_past(')');
    } else if (!(pointer && space_of(token.text) != Space::generic)) {
      throw Error(token.line, "directive " + std::string(token.text) + " is not supported here");
    }
  }
  const auto element = static_cast<uint64_t>(size_of(result.type)) * lanes;
  if (!aligned || pointer) result.align = static_cast<uint32_t>(element);
  result.name = lexer_.expect_name().text;
  result.size = element;
  while (lexer_.accept('[')) {
    const bool open = lexer_.peek().is(']');
    result.size *= open ? 0 : lexer_.expect_integer();
    lexer_.expect(']');
  }
  return result;
}

void Parser::variables(Space space, std::vector<Variable>& into, bool is_extern) {
  Variable result = variable(space);
  result.is_extern = is_extern;
  if (lexer_.accept('=')) initialiser(result);
  while (lexer_.accept(',')) {
    into.push_back(result);
    Variable another = result;
    another.name = lexer_.expect_name().text;
    result = another;
  }
  lexer_.expect(';');
  into.push_back(result);
}

void Parser::initialiser(Variable& variable) {
  const Nested nested(*this);
  if (!lexer_.accept('{')) return initial_value(variable);
  while (!lexer_.accept('}')) {
    if (lexer_.peek().is('{')) {
      initialiser(variable);
    } else {
      initial_value(variable);
    }
    lexer_.accept(',');
  }
  if (variable.size == 0) variable.size = variable.init.size();
}

void Parser::initial_value(Variable& variable) {
  const auto size = static_cast<size_t>(size_of(variable.type));
  const size_t at = variable.init.size();
  variable.init.resize(at + size);
  const bool minus = lexer_.accept('-');
  const Token token = lexer_.next();
  uint64_t bits = token.bits;
  switch (token.kind) {
    case Token::Kind::name: {
      Relocation relocation{at, token.text, 0};
      if (token.text == "generic") {
        lexer_.expect('(');
        relocation.symbol = lexer_.expect_name().text;
        lexer_.expect(')');
      }
      if (lexer_.accept('+')) relocation.addend = lexer_.expect_integer();
      if (size != 8) throw Error(token.line, "an address needs 8 bytes");
      variable.relocations.push_back(relocation);
      return;
    }
    case Token::Kind::integer:
      if (minus) bits = 0 - bits;
      break;
    case Token::Kind::f64:
      if (variable.type == Type::f32) {
        bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
        if (minus) bits ^= 0x80000000u;
      } else if (minus) {
        bits ^= 1ull << 63;
      }
      break;
    case Token::Kind::f32:
      if (minus) bits ^= 0x80000000u;
      break;
    default:
      throw Error(token.line, "'" + std::string(token.text) + "' cannot initialise a variable");
  }
  std::memcpy(variable.init.data() + at, &bits, size);
}

}  // namespace emu::ptx
