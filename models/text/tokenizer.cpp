#include "models/text/tokenizer.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_set>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/gzip.h"
#include "models/text/text_cleaning.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"

namespace cuclip {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();
constexpr int64_t kMaxFileSize = int64_t{64} << 20;  // CLIP's file unpacks to 3 MiB

size_t slot_of(int32_t left, int32_t right, size_t slots) {
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 32) & (slots - 1);
}

}  // namespace

// The symbols of one word as a linked list, and the merges that are possible in it, the next one first.
struct Tokenizer::Workspace {
  struct Node {
    int32_t symbol;  // -1: merged into the one before
    int32_t previous;
    int32_t next;  // -1: the last
  };
  struct Candidate {
    int32_t merge;
    int32_t node;
    // Lowest merge first, and the same merge from left to right.
    bool operator<(const Candidate& other) const {
      return merge != other.merge ? merge > other.merge : node > other.node;
    }
  };
  std::string bytes;
  std::vector<Node> nodes;
  std::vector<Candidate> heap;
};

Tokenizer::Tokenizer(std::vector<Merge> merges)
    : merges_(std::move(merges)), symbols_(make_symbols(merges_)) {
  constexpr size_t kMaxMerges = std::numeric_limits<int32_t>::max() / 4;
  CUCLIP_CHECK(merges_.size() <= kMaxMerges, "tokenizer: {} merges are more than can be numbered",
               merges_.size());
  merge_slots_.assign(std::bit_ceil(2 * merges_.size() + 2), -1);
  for (size_t i = 0; i < merges_.size(); ++i) {
    const auto [left, right] = merges_[i];
    CUCLIP_CHECK(!symbols_[static_cast<size_t>(left)].ends_word,
                 "tokenizer: merge {} goes beyond the end of a word", i);
    CUCLIP_CHECK(find_merge(left, right) < 0, "tokenizer: merge {} occurs twice", i);
    size_t slot = slot_of(left, right, merge_slots_.size());
    while (merge_slots_[slot] >= 0) slot = (slot + 1) & (merge_slots_.size() - 1);
    merge_slots_[slot] = static_cast<int32_t>(i);
  }
}

Tokenizer Tokenizer::load(const std::filesystem::path& path, int64_t max_merges) {
  std::string contents = read_file(path);
  if (is_gzip(contents)) contents = gunzip(contents, path.string(), kMaxFileSize);
  return from_merges_text(contents, path.string(), max_merges);
}

Tokenizer Tokenizer::from_merges_text(std::string_view text, std::string_view name, int64_t max_merges) {
  return Tokenizer(parse_merges(text, name, max_merges));
}

void Tokenizer::save(const std::filesystem::path& path) const {
  const std::string text = format_merges(merges_);
  write_file_atomic(path, path.extension() == ".gz" ? gzip(text) : text);
}

int32_t Tokenizer::find_merge(int32_t left, int32_t right) const {
  size_t slot = slot_of(left, right, merge_slots_.size());
  for (; merge_slots_[slot] >= 0; slot = (slot + 1) & (merge_slots_.size() - 1)) {
    if (merges_[static_cast<size_t>(merge_slots_[slot])] == Merge{left, right}) return merge_slots_[slot];
  }
  return -1;
}

// Always the lowest merge that is possible, all its places from left to right: what CLIP does by rescanning
// the word. The two agree because a merge is made of symbols of lower merges, so that merging never makes a
// lower one possible.
void Tokenizer::merge_symbols(Workspace& work) const {
  auto& nodes = work.nodes;
  auto& heap = work.heap;
  const auto node = [&](int32_t i) -> Workspace::Node& { return nodes[static_cast<size_t>(i)]; };
  const auto offer = [&](int32_t left) {
    if (left < 0 || node(left).next < 0) return;
    const int32_t merge = find_merge(node(left).symbol, node(node(left).next).symbol);
    if (merge < 0) return;
    heap.push_back({merge, left});
    std::push_heap(heap.begin(), heap.end());
  };
  heap.clear();
  for (int32_t i = 0; i < static_cast<int32_t>(nodes.size()); ++i) offer(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const auto [merge, left] = heap.back();
    heap.pop_back();
    const int32_t right = node(left).next;
    const Merge parts = merges_[static_cast<size_t>(merge)];
    // Out of date: one of the two has been merged with another since.
    if (node(left).symbol != parts.left || right < 0 || node(right).symbol != parts.right) continue;
    node(left).symbol = kFirstMerged + merge;
    node(right).symbol = -1;
    node(left).next = node(right).next;
    if (node(left).next >= 0) node(node(left).next).previous = left;
    offer(node(left).previous);
    offer(left);
  }
}

void Tokenizer::append_word(std::u32string_view word, Workspace& work, std::vector<int32_t>& ids) const {
  if (word == kStartOfTextWord) return ids.push_back(start_token());
  if (word == kEndOfTextWord) return ids.push_back(end_token());
  work.bytes.clear();
  for (const char32_t c : word) append_utf8(work.bytes, c);
  const auto n = static_cast<int32_t>(work.bytes.size());
  work.nodes.clear();
  for (int32_t i = 0; i < n; ++i) {
    const int32_t symbol = symbol_of_byte(static_cast<uint8_t>(work.bytes[static_cast<size_t>(i)]));
    const bool last = i == n - 1;
    work.nodes.push_back({symbol + (last ? kByteSymbols : 0), i - 1, last ? -1 : i + 1});
  }
  merge_symbols(work);
  for (int32_t i = 0; i >= 0; i = work.nodes[static_cast<size_t>(i)].next) {
    ids.push_back(work.nodes[static_cast<size_t>(i)].symbol);
  }
}

void Tokenizer::encode_into(std::string_view text, size_t max_ids, std::vector<int32_t>& ids) const {
  static_assert(kMaxTextBytes < std::numeric_limits<int32_t>::max());  // of nodes
  CUCLIP_CHECK(text.size() <= kMaxTextBytes, "tokenizer: a text of {} bytes, at most {} are allowed",
               text.size(), kMaxTextBytes);
  const std::u32string cleaned = clean_caption_utf32(text);
  Workspace work;
  for (const std::u32string_view word : split_words(cleaned)) {
    if (ids.size() >= max_ids) break;
    append_word(word, work, ids);
  }
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  encode_into(text, kNoLimit, ids);
  return ids;
}

std::vector<int32_t> Tokenizer::encode_with_specials(std::string_view text) const {
  std::vector<int32_t> ids = {start_token()};
  encode_into(text, kNoLimit, ids);
  ids.push_back(end_token());
  return ids;
}

std::vector<int32_t> Tokenizer::encode_padded(std::span<const std::string> texts, int64_t context_length,
                                              int32_t padding) const {
  CUCLIP_CHECK(context_length >= 2, "tokenizer: the context length must be at least 2, got {}",
               context_length);
  const auto length = static_cast<size_t>(context_length);
  std::vector<int32_t> rows(texts.size() * length, padding);
  std::vector<int32_t> ids;
  for (size_t row = 0; row < texts.size(); ++row) {
    ids.assign(1, start_token());
    encode_into(texts[row], length, ids);
    ids.resize(std::min(ids.size(), length - 1));
    ids.push_back(end_token());
    std::copy(ids.begin(), ids.end(), rows.begin() + static_cast<std::ptrdiff_t>(row * length));
  }
  return rows;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    CUCLIP_CHECK(id >= 0 && id < vocab_size(), "tokenizer: id {} is outside the vocabulary of {}", id,
                 vocab_size());
    if (id == start_token()) continue;
    if (id == end_token()) break;
    const Symbol& symbol = symbols_[static_cast<size_t>(id)];
    text += symbol.bytes;
    if (symbol.ends_word) text += ' ';
  }
  if (text.ends_with(' ')) text.pop_back();
  return encode_utf8(decode_utf8(text));  // ids may cut a character in two
}

}  // namespace cuclip
