// The merges of a byte-level BPE vocabulary and CLIP's file format for them.
//
// A symbol is a string of bytes that may end a word. Symbols 0 to 255 are the single bytes (in CLIP's order,
// not numerically), 256 to 511 the same at the end of a word, 512 + i what merge i makes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

constexpr int32_t kByteSymbols = 256;
constexpr int32_t kFirstMerged = 512;
/// The number of merges in CLIP's vocabulary of 49,408; its file holds more, which are not used.
constexpr int64_t kClipMerges = 49408 - kFirstMerged - 2;

/// The byte of symbols 0 to 255, and the reverse. The order is that of CLIP's table: the bytes that print in
/// Latin-1 first, then the others.
uint8_t byte_of_symbol(int32_t symbol);
int32_t symbol_of_byte(uint8_t byte);

struct Merge {
  int32_t left;
  int32_t right;
  bool operator==(const Merge&) const = default;
};

/// What a symbol stands for.
struct Symbol {
  std::string bytes;
  bool ends_word = false;
  bool operator==(const Symbol&) const = default;
};

/// All 512 + merges.size() symbols.
std::vector<Symbol> make_symbols(std::span<const Merge> merges);

/// A symbol as merges files and vocabularies have it: each byte as a printable character, and "</w>" after
/// it if it ends a word.
std::string written_symbol(const Symbol& symbol);

/// Reads CLIP's format: a first line with "#version", then one merge per line, "left right" with each byte
/// written as a printable character and "</w>" after symbols that end a word. Lines beyond max_merges are
/// ignored. Throws InputError naming `name` and the line when the first line is a different one, or when a
/// line is not a merge, uses a symbol that no earlier line makes, or makes one that exists already.
std::vector<Merge> parse_merges(std::string_view text, std::string_view name,
                                int64_t max_merges = kClipMerges);

/// The same format. There is no line break after the last merge: open_clip would count the empty line after
/// it.
std::string format_merges(std::span<const Merge> merges);

}  // namespace cuclip
