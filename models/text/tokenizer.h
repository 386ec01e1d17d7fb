// CLIP's tokeniser: cleaning, words, byte-level BPE.
//
// Ids: 0 to 511 the byte symbols (models/text/bpe_merges.h), 512 + i what merge i makes, then start and end
// of text. CLIP's own file makes 49,408 ids of it, "hello world" being 49406 3306 1002 49407.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/text/bpe_merges.h"

namespace cuclip {

/// The longest text that is encoded, in bytes: anything longer is not a caption.
inline constexpr size_t kMaxTextBytes = size_t{1} << 26;

/// Immutable: any number of threads may encode with one tokeniser.
class Tokenizer {
 public:
  /// Throws InputError when the merges are not what parse_merges() would give.
  explicit Tokenizer(std::vector<Merge> merges);

  /// Reads a merges file in CLIP's format, gzip-compressed or plain (parse_merges()); of more than max_merges
  /// lines the first count. Throws InputError naming the file and the line.
  static Tokenizer load(const std::filesystem::path& path, int64_t max_merges = kClipMerges);
  static Tokenizer from_merges_text(std::string_view text, std::string_view name = "merges",
                                    int64_t max_merges = kClipMerges);
  /// Writes CLIP's format, which open_clip reads with the same ids; compressed if the name ends in ".gz".
  void save(const std::filesystem::path& path) const;

  /// The ids of a text of any kind (text_cleaning.h says what happens to it) and of at most kMaxTextBytes,
  /// without start and end. Linear in the length except for a logarithmic factor within one word.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The same between start and end of text.
  std::vector<int32_t> encode_with_specials(std::string_view text) const;
  /// [texts.size(), context_length] ids, row by row: start, text, end, then `padding`. Where the text is too
  /// long it is cut and the last id is the end of text. context_length >= 2.
  std::vector<int32_t> encode_padded(std::span<const std::string> texts, int64_t context_length,
                                     int32_t padding = 0) const;

  /// The text of ids: start of text is left out and everything from the first end of text on, padding too.
  /// Words are separated by one space, so punctuation stands alone. Throws InputError when an id is outside
  /// the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;

  int64_t vocab_size() const { return static_cast<int64_t>(symbols_.size()) + 2; }
  int32_t start_token() const { return static_cast<int32_t>(symbols_.size()); }
  int32_t end_token() const { return start_token() + 1; }
  const std::vector<Merge>& merges() const { return merges_; }

 private:
  struct Workspace;
  void append_word(std::u32string_view word, Workspace& work, std::vector<int32_t>& ids) const;
  void merge_symbols(Workspace& work) const;
  void encode_into(std::string_view text, size_t max_ids, std::vector<int32_t>& ids) const;
  int32_t find_merge(int32_t left, int32_t right) const;

  std::vector<Merge> merges_;
  std::vector<Symbol> symbols_;
  std::vector<int32_t> merge_slots_;  // hash table of indices into merges_, -1: free; a power of two of slots
};

}  // namespace cuclip
