#include "ptx/lexer.h"

#include <bit>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string>

namespace emu::ptx {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%';
}
bool continues_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }

}  // namespace

Lexer::Lexer(std::string_view text) : text_(text) { current_ = scan(); }

Token Lexer::next() {
  Token token = current_;
  current_ = scan();
  return token;
}

bool Lexer::accept(char punctuation) {
  if (!current_.is(punctuation)) return false;
  next();
  return true;
}

bool Lexer::at_pair(std::string_view pair) const {
  return current_.is(pair[0]) && at_ < text_.size() && text_[at_] == pair[1];
}

void Lexer::expect(char punctuation) {
  if (!accept(punctuation)) unexpected(std::string("'") + punctuation + "'");
}

Token Lexer::expect_name() {
  if (current_.kind != Token::Kind::name) unexpected("a name");
  return next();
}

uint64_t Lexer::expect_integer() {
  const bool minus = accept('-');
  if (current_.kind != Token::Kind::integer) unexpected("an integer");
  const uint64_t value = next().bits;
  return minus ? 0 - value : value;
}

void Lexer::unexpected(std::string_view wanted) const {
  const std::string found =
      current_.kind == Token::Kind::end ? "the end of the module" : "'" + std::string(current_.text) + "'";
  throw Error(current_.line, "expected " + std::string(wanted) + ", found " + found);
}

void Lexer::skip_past(char punctuation) {
  while (!accept(punctuation)) {
    if (current_.kind == Token::Kind::end) unexpected(std::string("'") + punctuation + "'");
    next();
  }
}

void Lexer::skip_braces() {
  for (int depth = 1; depth > 0;) {
    if (current_.kind == Token::Kind::end) unexpected("'}'");
    if (current_.is('{')) ++depth;
    if (current_.is('}')) --depth;
    next();
  }
}

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '\n') ++line_;
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else if (text_.substr(at_, 2) == "/*") {
      const size_t close = text_.find("*/", at_ + 2);
      if (close == std::string_view::npos) throw Error(line_, "comment without an end");
      for (; at_ < close + 2; ++at_) line_ += text_[at_] == '\n';
    } else {
      return;
    }
  }
}

Token Lexer::scan() {
  skip_blank();
  Token token;
  token.line = line_;
  if (at_ >= text_.size()) return token;
  const char c = text_[at_];
  if (std::isdigit(static_cast<unsigned char>(c))) return scan_number();
  const bool more = at_ + 1 < text_.size() && continues_name(text_[at_ + 1]);
  const bool dotted = c == '.' && at_ + 1 < text_.size() && (starts_name(text_[at_ + 1]));
  if ((starts_name(c) && (c != '%' || more)) || dotted) return scan_word();
  if (c == '"') {
    const size_t close = text_.find('"', at_ + 1);
    if (close == std::string_view::npos) throw Error(line_, "string without an end");
    token.kind = Token::Kind::string;
    token.text = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    return token;
  }
  token.kind = Token::Kind::punctuation;
  token.text = text_.substr(at_++, 1);
  return token;
}

// Names, directives, and opcodes with their suffixes: "%tid.x", "ld.shared::cta.v2.f32", ".reg". A directive
// ends at the next dot: ".reg.b32" is two.
Token Lexer::scan_word() {
  Token token;
  token.line = line_;
  token.kind = text_[at_] == '.' ? Token::Kind::directive : Token::Kind::name;
  const size_t begin = at_++;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const bool more = at_ + 1 < text_.size();
    if (continues_name(c)) {
      ++at_;
    } else if (c == '.' && token.kind == Token::Kind::name && more && continues_name(text_[at_ + 1])) {
      ++at_;
    } else if (c == ':' && more && text_[at_ + 1] == ':') {
      at_ += 2;
    } else {
      break;
    }
  }
  token.text = text_.substr(begin, at_ - begin);
  return token;
}

Token Lexer::scan_number() {
  Token token;
  token.line = line_;
  const size_t begin = at_;
  while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.')) {
    const bool hexadecimal = text_.size() > begin + 1 &&
                             std::string_view("xXfFdD").find(text_[begin + 1]) != std::string_view::npos;
    const char c = text_[at_++];
    const bool exponent = !hexadecimal && (c == 'e' || c == 'E');
    if (exponent && at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
  }
  token.text = text_.substr(begin, at_ - begin);
  std::string_view digits = token.text;
  token.kind = Token::Kind::integer;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char mark = static_cast<char>(std::tolower(digits[1]));
    if (mark == 'f') token.kind = Token::Kind::f32;
    if (mark == 'd') token.kind = Token::Kind::f64;
    if (mark == 'x' || mark == 'f' || mark == 'd') base = 16;
    if (mark == 'b') base = 2;
  }
  if (base != 10) digits.remove_prefix(2);
  if (base == 10 && digits.find_first_of(".eE") != std::string_view::npos) {
    token.kind = Token::Kind::f64;
    token.bits = std::bit_cast<uint64_t>(std::strtod(std::string(digits).c_str(), nullptr));
    return token;
  }
  if (base == 10 && digits.size() > 1 && digits[0] == '0') base = 8;
  if (!digits.empty() && (digits.back() == 'U' || digits.back() == 'u')) digits.remove_suffix(1);
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), token.bits, base);
  if (fault != std::errc() || end != digits.data() + digits.size()) {
    throw Error(line_, "'" + std::string(token.text) + "' is not a number");
  }
  return token;
}

}  // namespace emu::ptx
