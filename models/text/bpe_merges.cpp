#include "models/text/bpe_merges.h"

#include <array>
#include <limits>
#include <optional>
#include <unordered_map>

#include "kernels/common/check.h"
#include "models/text/unicode.h"

namespace cuclip {
namespace {

constexpr std::string_view kEndOfWord = "</w>";

// Bytes that Latin-1 shows as a visible character.
constexpr bool prints_in_latin1(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteOrder {
  std::array<uint8_t, 256> byte_of{};
  std::array<int32_t, 256> symbol_of{};
  int printable = 0;
};

constexpr ByteOrder make_byte_order() {
  ByteOrder order;
  int next = 0;
  for (const bool printable : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (prints_in_latin1(byte) != printable) continue;
      order.byte_of[static_cast<size_t>(next)] = static_cast<uint8_t>(byte);
      order.symbol_of[static_cast<size_t>(byte)] = next++;
      order.printable += printable;
    }
  }
  return order;
}

constexpr ByteOrder kOrder = make_byte_order();

// The character that stands for a byte in the file: itself if it prints, otherwise U+0100 and following.
char32_t character_of(uint8_t byte) {
  if (prints_in_latin1(byte)) return byte;
  return static_cast<char32_t>(256 + symbol_of_byte(byte) - kOrder.printable);
}

std::optional<uint8_t> byte_of_character(char32_t c) {
  if (c < 256)
    return prints_in_latin1(static_cast<int>(c)) ? std::optional(static_cast<uint8_t>(c)) : std::nullopt;
  const int64_t symbol = static_cast<int64_t>(c) - 256 + kOrder.printable;
  if (symbol >= kByteSymbols) return std::nullopt;
  return byte_of_symbol(static_cast<int32_t>(symbol));
}

// Symbols by their bytes, with one more byte that says whether they end a word.
class SymbolTable {
 public:
  SymbolTable() {
    for (const bool ends_word : {false, true}) {
      for (int32_t i = 0; i < kByteSymbols; ++i)
        add({std::string(1, static_cast<char>(byte_of_symbol(i))), ends_word});
    }
  }
  bool add(const Symbol& symbol) {
    return ids_.emplace(key(symbol), static_cast<int32_t>(ids_.size())).second;
  }
  std::optional<int32_t> find(const Symbol& symbol) const {
    const auto found = ids_.find(key(symbol));
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  static std::string key(const Symbol& symbol) { return symbol.bytes + (symbol.ends_word ? '\1' : '\0'); }
  std::unordered_map<std::string, int32_t> ids_;
};

std::optional<Symbol> parse_symbol(std::string_view text) {
  Symbol symbol;
  if (text.size() > kEndOfWord.size() && text.ends_with(kEndOfWord)) {
    symbol.ends_word = true;
    text.remove_suffix(kEndOfWord.size());
  }
  for (const char32_t c : decode_utf8(text)) {
    const auto byte = byte_of_character(c);
    if (!byte) return std::nullopt;
    symbol.bytes.push_back(static_cast<char>(*byte));
  }
  if (symbol.bytes.empty()) return std::nullopt;
  return symbol;
}

Merge parse_line(std::string_view line, SymbolTable& table, std::string_view name, int64_t number) {
  const std::string shown(line.substr(0, 80));
  const size_t space = line.find(' ');
  const bool one_space =
      space != std::string_view::npos && line.find(' ', space + 1) == std::string_view::npos;
  CUCLIP_CHECK(one_space, "{}, line {}: expected two symbols with a space between them, found \"{}\"", name,
               number, shown);
  const auto left = parse_symbol(line.substr(0, space));
  const auto right = parse_symbol(line.substr(space + 1));
  CUCLIP_CHECK(
      left && right && !left->ends_word,
      "{}, line {}: expected two symbols of CLIP's byte alphabet, the first without </w>, found \"{}\"", name,
      number, shown);
  const auto left_id = table.find(*left);
  const auto right_id = table.find(*right);
  CUCLIP_CHECK(left_id && right_id, "{}, line {}: no earlier line makes the symbol \"{}\"", name, number,
               written_symbol(left_id ? *right : *left));
  const bool is_new = table.add({left->bytes + right->bytes, right->ends_word});
  CUCLIP_CHECK(is_new, "{}, line {}: an earlier line makes the same symbol as \"{}\"", name, number, shown);
  return {*left_id, *right_id};
}

std::string_view take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

uint8_t byte_of_symbol(int32_t symbol) { return kOrder.byte_of[static_cast<size_t>(symbol)]; }
int32_t symbol_of_byte(uint8_t byte) { return kOrder.symbol_of[byte]; }

std::string written_symbol(const Symbol& symbol) {
  std::string out;
  for (const char byte : symbol.bytes) append_utf8(out, character_of(static_cast<uint8_t>(byte)));
  if (symbol.ends_word) out += kEndOfWord;
  return out;
}

std::vector<Symbol> make_symbols(std::span<const Merge> merges) {
  std::vector<Symbol> symbols;
  symbols.reserve(static_cast<size_t>(kFirstMerged) + merges.size());
  for (const bool ends_word : {false, true}) {
    for (int32_t i = 0; i < kByteSymbols; ++i) {
      symbols.push_back({std::string(1, static_cast<char>(byte_of_symbol(i))), ends_word});
    }
  }
  for (const Merge& merge : merges) {
    const auto known = [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < symbols.size(); };
    CUCLIP_CHECK(known(merge.left) && known(merge.right), "merges: merge {} joins symbols {} and {} of {}",
                 symbols.size() - static_cast<size_t>(kFirstMerged), merge.left, merge.right, symbols.size());
    const Symbol& left = symbols[static_cast<size_t>(merge.left)];
    const Symbol& right = symbols[static_cast<size_t>(merge.right)];
    symbols.push_back({left.bytes + right.bytes, right.ends_word});
  }
  return symbols;
}

std::vector<Merge> parse_merges(std::string_view text, std::string_view name, int64_t max_merges) {
  CUCLIP_CHECK(!text.empty(), "{}: is empty, expected BPE merges in CLIP's format", name);
  const std::string_view first = take_line(text);
  CUCLIP_CHECK(first.find("#version") != std::string_view::npos,
               "{}, line 1: expected \"#version: …\" as in CLIP's merges file, found \"{}\"", name,
               first.substr(0, 80));
  SymbolTable table;
  std::vector<Merge> merges;
  int64_t number = 1;
  while (!text.empty() && static_cast<int64_t>(merges.size()) < max_merges) {
    const std::string_view line = take_line(text);
    ++number;
    if (line.empty() && text.find_first_not_of("\r\n") == std::string_view::npos) break;
    merges.push_back(parse_line(line, table, name, number));
  }
  return merges;
}

std::string format_merges(std::span<const Merge> merges) {
  const std::vector<Symbol> symbols = make_symbols(merges);
  std::string out = "#version: 0.2, byte-level BPE merges in CLIP's format";
  for (const Merge& merge : merges) {
    out += '\n';
    out += written_symbol(symbols[static_cast<size_t>(merge.left)]);
    out += ' ';
    out += written_symbol(symbols[static_cast<size_t>(merge.right)]);
  }
  return out;
}

}  // namespace cuclip
