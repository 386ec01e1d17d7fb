// Declarations of registers and variables: PTX ISA 9.0, chapter 5.
#include <algorithm>
#include <charconv>

#include "ptx/parser.h"

namespace emu::ptx {
namespace {

constexpr size_t kMostRegisters = 2'000'000;        // of a function; they take memory before they are used
constexpr uint64_t kMostBytes = uint64_t{1} << 40;  // of a variable

// Which element of a vector a suffix names; -1: none.
int32_t element_of(std::string_view suffix) {
  const size_t at =
      suffix.size() == 1 ? std::string_view("xyzwrgba").find(suffix[0]) : std::string_view::npos;
  return at == std::string_view::npos ? -1 : static_cast<int32_t>(at % 4);
}

}  // namespace

Space Parser::space_of(std::string_view directive) {
  if (directive == ".global") return Space::global;
  if (directive == ".const") return Space::constant;
  if (directive == ".shared") return Space::shared;
  if (directive == ".local") return Space::local;
  if (directive == ".param") return Space::param;
  return Space::generic;
}

// A range's names %r0 … %r(n-1) are made from the prefix when they are looked up; so are a vector's
// elements'.
void Parser::declare_register(std::string_view name, Type type, uint64_t count, uint32_t lanes, bool ranged) {
  auto& all = function_->registers;
  if (count > kMostRegisters || count * lanes > kMostRegisters - all.size())
    throw Error(lexer_.peek().line, "too many registers");
  if (!registers_.back()
           .emplace(name, Declared{static_cast<int32_t>(all.size()), count, lanes, ranged})
           .second)
    throw Error(lexer_.peek().line, "register " + std::string(name) + " is declared twice");
  all.insert(all.end(), count * lanes, Register{name, type});
}

// .reg .b32 %r<9>, %x; .reg .v4 .f32 v;
void Parser::registers() {
  Token word = lexer_.next();
  uint32_t lanes = 1;
  if (word.text == ".v2" || word.text == ".v4") {
    lanes = static_cast<uint32_t>(word.text[2] - '0');
    word = lexer_.next();
  }
  const bool named = word.kind == Token::Kind::directive;
  const Type type = named ? type_from(word.text.substr(1)) : Type::none;
  if (type == Type::none || (lanes > 1 && type == Type::pred)) {
    throw Error(word.line, "register type " + std::string(word.text) + " is not supported");
  }
  if (static_cast<uint32_t>(size_of(type)) * lanes > 16)
    throw Error(word.line, "a vector of registers has at most 128 bits");
  do {
    const Token name = lexer_.expect_name();
    const bool ranged = lexer_.accept('<');
    const uint64_t count = ranged ? binary(kSums).bits : 1;  // '>' is not a comparison here
    if (ranged) lexer_.expect('>');
    declare_register(name.text, type, count, lanes, ranged);
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

// The registers of .reg parameters and results, in the function's outermost scope.
void Parser::declare_parameters(std::vector<Variable>& all) {
  for (Variable& variable : all) {
    if (variable.space != Space::reg) continue;
    variable.reg = static_cast<int32_t>(function_->registers.size());
    declare_register(variable.name, variable.type, 1, 1, false);
  }
}

Parser::Found Parser::find_declared(std::string_view name) const {
  const size_t last = name.find_last_not_of("0123456789");
  const std::string_view prefix = name.substr(0, last + 1);
  for (size_t scope = registers_.size(); scope-- > 0;) {
    const auto& names = registers_[scope];
    if (auto found = names.find(name); found != names.end() && !found->second.ranged)
      return {found->second.first, found->second.lanes};
    if (prefix.size() == name.size()) continue;
    if (auto found = names.find(prefix); found != names.end() && found->second.ranged) {
      uint32_t number = kMostRegisters;
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
      const Declared& range = found->second;
      if (number < range.count)
        return {range.first + static_cast<int32_t>(number * range.lanes), range.lanes};
    }
  }
  return {};
}

// Also of a vector's element: v.x.
Parser::Found Parser::find_register(std::string_view name) const {
  const Found found = find_declared(name);
  const size_t dot = name.rfind('.');
  if (found.reg >= 0 || dot == std::string_view::npos || dot == 0) return found;
  const int32_t element = element_of(name.substr(dot + 1));
  const Found vector = element < 0 ? Found{} : find_declared(name.substr(0, dot));
  if (vector.lanes == 1 || static_cast<uint32_t>(element) >= vector.lanes) return {};
  return {vector.reg + element, 1};
}

// After the state space: [.align N] [.ptr [.space] [.align N]] [.v2] .type; attributes in any order.
Variable Parser::declaration(Space space) {
  Variable result;
  result.space = space;
  bool aligned = false;
  bool pointer = false;
  while (lexer_.peek().kind == Token::Kind::directive) {
    const Token token = lexer_.next();
    const std::string_view word = token.text.substr(1);
    if (word == "align") {
      const uint64_t align = lexer_.expect_integer();
      if (align == 0 || (align & (align - 1)) != 0 || align > 1 << 20)
        throw Error(token.line, ".align needs a power of two");
      if (!pointer) result.align = static_cast<uint32_t>(align);
      aligned = true;
    } else if (word == "ptr") {
      pointer = true;
    } else if (word == "v2" || word == "v4") {
      result.lanes = static_cast<uint32_t>(word[1] - '0');
    } else if (const Type type = type_from(word); type != Type::none) {
      result.type = type;
    } else if (word == "attribute") {
      lexer_.expect('(');
      lexer_.skip_past(')');
    } else if (!(pointer && space_of(token.text) != Space::generic)) {
      throw Error(token.line, "directive " + std::string(token.text) + " is not supported here");
    }
  }
  if (!aligned || pointer) result.align = static_cast<uint32_t>(size_of(result.type)) * result.lanes;
  return result;
}

Variable Parser::declarator(const Variable& common) {
  Variable result = common;
  const Token name = lexer_.expect_name();
  result.name = name.text;
  result.size = static_cast<uint64_t>(size_of(result.type)) * result.lanes;
  while (lexer_.accept('[')) {
    const bool open = lexer_.peek().is(']');
    if (open && !result.extents.empty()) throw Error(name.line, "only the first extent can be left out");
    const uint64_t extent = open ? 0 : constant();
    if (extent != 0 && result.size > kMostBytes / extent)
      throw Error(name.line, "variable " + std::string(name.text) + " is too large");
    result.extents.push_back(extent);
    result.size *= extent;
    lexer_.expect(']');
  }
  return result;
}

// .global .u32 a = 1, b, c[2] = {5, 6};
void Parser::variables(Space space, std::vector<Variable>& into, bool is_extern) {
  Variable common = declaration(space);
  common.is_extern = is_extern;
  do {
    Variable variable = declarator(common);
    const uint32_t line = lexer_.peek().line;
    if (lexer_.accept('=')) {
      if (is_extern || (space != Space::global && space != Space::constant))
        throw Error(line, "variable " + std::string(variable.name) + " cannot have an initial value");
      initialiser(variable, 0, 0);
    }
    if (variable.size == 0 && !is_extern)
      throw Error(line, "variable " + std::string(variable.name) + " has no size and is not .extern");
    if (scope_ >= 0) variable.name = declare_name(variable.name, space);
    into.push_back(std::move(variable));
  } while (lexer_.accept(','));
  lexer_.expect(';');
}

// Those of a function are known in their scope only.
void Parser::function_variables(Space space) {
  const bool of_module = space == Space::global || space == Space::constant;
  variables(space, of_module ? module_.variables : function_->variables, false);
}

// The name under which a function's variable is kept. Shared and global ones live as long as others of that
// name in other functions, and any as long as those of the scopes around it; scopes that follow each other
// (each call's param0) use one place.
std::string_view Parser::declare_name(std::string_view name, Space space) {
  bool taken = space == Space::shared || space == Space::global || space == Space::constant;
  for (const auto& scope : names_) taken = taken || scope.contains(name);
  if (names_.back().contains(name))
    throw Error(lexer_.peek().line, "variable " + std::string(name) + " is declared twice");
  std::string_view kept = name;
  if (taken) {
    std::string& made = module_.made_names.emplace_back(function_->name);
    made += "::";
    made += name;
    if (scope_ != 0) made += "'";
    if (scope_ != 0) made += std::to_string(scope_);
    kept = made;
  }
  names_.back()[name] = kept;
  return kept;
}

std::string_view Parser::resolve_name(std::string_view name) const {
  for (size_t scope = names_.size(); scope-- > 0;) {
    const auto found = names_[scope].find(name);
    if (found != names_[scope].end()) return found->second;
  }
  return name;
}

}  // namespace emu::ptx
