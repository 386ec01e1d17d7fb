// Variables' initial values: PTX ISA 9.0, section 5.4.4.
#include <bit>
#include <cstring>

#include "ptx/parser.h"

namespace emu::ptx {
namespace {

constexpr uint64_t kMostInitial = uint64_t{1} << 28;  // bytes: they take memory here

bool is_float(Type type) {
  return type == Type::f16 || type == Type::bf16 || type == Type::f32 || type == Type::f64;
}
bool is_bits(Type type) {
  return type == Type::b8 || type == Type::b16 || type == Type::b32 || type == Type::b64 ||
         type == Type::b128;
}

// The byte that a mask picks out of an address, as a shift in bits; -1 when it picks something else.
int32_t shift_of(uint64_t mask) {
  for (int32_t shift = 0; shift < 64; shift += 8) {
    if (mask == uint64_t{0xff} << shift) return shift;
  }
  return -1;
}

}  // namespace

// The values from `at` on of an array's dimension, of a vector's elements, or one alone. What braces leave
// out is zero, also at the end of an inner dimension.
void Parser::initialiser(Variable& variable, size_t dimension, uint64_t at) {
  const Nested nested(*this);
  const auto size = static_cast<uint64_t>(size_of(variable.type));
  if (dimension == variable.extents.size()) {
    if (variable.lanes == 1) return initial_value(variable, at);
    const uint32_t line = lexer_.peek().line;
    lexer_.expect('{');
    const uint64_t count = values(variable, variable.lanes, dimension + 1, at, size);
    if (count != variable.lanes)
      throw Error(line, "expected " + std::to_string(variable.lanes) + " initial values of a vector, found " +
                            std::to_string(count));
    return;
  }
  uint64_t stride = size * variable.lanes;
  for (size_t inner = dimension + 1; inner < variable.extents.size(); ++inner)
    stride *= variable.extents[inner];
  lexer_.expect('{');
  const uint64_t extent = variable.extents[dimension];
  const uint64_t count = values(variable, extent == 0 ? ~uint64_t{0} : extent, dimension + 1, at, stride);
  if (extent != 0) return;
  variable.extents[dimension] = count;
  variable.size = count * stride;
}

// Up to the closing brace; returns how many.
uint64_t Parser::values(Variable& variable, uint64_t most, size_t dimension, uint64_t at, uint64_t stride) {
  uint64_t count = 0;
  while (!lexer_.accept('}')) {
    if (count == most)
      throw Error(lexer_.peek().line, "more than " + std::to_string(most) +
                                          " initial values in a dimension of " + std::string(variable.name));
    if (dimension > variable.extents.size()) {
      initial_value(variable, at + count * stride);
    } else {
      initialiser(variable, dimension, at + count * stride);
    }
    ++count;
    if (!lexer_.accept(',') && !lexer_.peek().is('}')) lexer_.unexpected("',' or '}'");
  }
  return count;
}

void Parser::initial_value(Variable& variable, uint64_t at) {
  const auto size = static_cast<size_t>(size_of(variable.type));
  const Token first = lexer_.peek();
  if (at > kMostInitial)
    throw Error(first.line, "variable " + std::string(variable.name) + " is too large for initial values");
  if (variable.init.size() < at + size) variable.init.resize(at + size);
  if (first.kind == Token::Kind::name && first.text != "WARP_SZ") return initial_address(variable, at);
  Lexer ahead = lexer_;  // behind a sign
  const bool minus = ahead.accept('-');
  const Token::Kind kind = ahead.peek().kind;
  const bool real = kind == Token::Kind::f32 || kind == Token::Kind::f64;
  if (!is_bits(variable.type) && real != is_float(variable.type))
    throw Error(first.line, "the initial value '" + std::string(ahead.peek().text) + "' of " +
                                std::string(variable.name) + " is of another type");
  uint64_t bits = 0;
  if (real) {
    bits = ahead.next().bits;
    lexer_ = ahead;
    if (kind == Token::Kind::f64 && size == 4)
      bits = std::bit_cast<uint32_t>(static_cast<float>(std::bit_cast<double>(bits)));
    if (minus) bits ^= kind == Token::Kind::f32 || size == 4 ? uint64_t{1} << 31 : uint64_t{1} << 63;
  } else {
    bits = constant();
    // A mask stands before the address whose byte it takes: 0xFF00(generic(x)).
    if (lexer_.peek().is('(')) return initial_byte(variable, at, bits);
  }
  std::memcpy(variable.init.data() + at, &bits, size < 8 ? size : 8);
}

// name, name+4, generic(name), generic(name)+4
void Parser::initial_address(Variable& variable, uint64_t at) {
  const uint32_t line = lexer_.peek().line;
  Relocation relocation;
  relocation.offset = at;
  relocation.symbol = address_name();
  if (lexer_.accept('+')) relocation.addend = constant();
  relocation.size = static_cast<uint32_t>(size_of(variable.type));
  if (relocation.size != 4 && relocation.size != 8) throw Error(line, "an address needs 4 or 8 bytes");
  variable.relocations.push_back(relocation);
}

void Parser::initial_byte(Variable& variable, uint64_t at, uint64_t mask) {
  const uint32_t line = lexer_.peek().line;
  Relocation relocation;
  relocation.offset = at;
  relocation.size = static_cast<uint32_t>(size_of(variable.type));
  relocation.shift = shift_of(mask);
  if (relocation.shift < 0) throw Error(line, "a mask before an address must be of one byte, as 0xFF00");
  if (is_float(variable.type) || is_bits(variable.type))
    throw Error(line, "a byte of an address needs an integer type");
  lexer_.expect('(');
  relocation.symbol = address_name();
  if (lexer_.accept('+')) relocation.addend = constant();
  lexer_.expect(')');
  variable.relocations.push_back(relocation);
}

std::string_view Parser::address_name() {
  const Token token = lexer_.expect_name();
  if (token.text != "generic") return resolve_name(token.text);
  lexer_.expect('(');
  const std::string_view name = resolve_name(lexer_.expect_name().text);
  lexer_.expect(')');
  return name;
}

}  // namespace emu::ptx
