#include "models/text/bpe_trainer.h"

#include <algorithm>
#include <map>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "kernels/common/check.h"
#include "models/text/text_cleaning.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"

namespace cuclip {
namespace {

constexpr size_t kMaxWordBytes = 256;  // longer ones are noise, and every merge in them costs their length

using PairKey = uint64_t;
PairKey key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}
int32_t left_of(PairKey key) { return static_cast<int32_t>(key >> 32); }
int32_t right_of(PairKey key) { return static_cast<int32_t>(key & 0xFFFFFFFFu); }

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

struct PairStatistics {
  int64_t count = 0;
  std::vector<uint32_t> words;  // where it occurs or has occurred; may name a word more than once
};

struct Candidate {
  int64_t count;
  PairKey pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

std::vector<Word> count_words(std::span<const std::string> captions) {
  std::map<std::string, int64_t> counts;
  for (const std::string& caption : captions) {
    const std::u32string cleaned = clean_caption_utf32(caption);
    for (const auto word : split_words(cleaned)) {
      if (word == kStartOfTextWord || word == kEndOfTextWord || word.size() > kMaxWordBytes) continue;
      ++counts[encode_utf8(word)];
    }
  }
  std::vector<Word> words;
  for (const auto& [bytes, count] : counts) {
    if (bytes.size() > kMaxWordBytes) continue;
    Word word{{}, count};
    for (const char byte : bytes) word.symbols.push_back(symbol_of_byte(static_cast<uint8_t>(byte)));
    word.symbols.back() += kByteSymbols;
    words.push_back(std::move(word));
  }
  return words;
}

class Trainer {
 public:
  explicit Trainer(std::vector<Word> words) : words_(std::move(words)), symbols_(make_symbols({})) {
    for (uint32_t i = 0; i < words_.size(); ++i) count_pairs(i, +1);
    offer_changed();
  }

  std::vector<Merge> learn(int64_t merges) {
    std::vector<Merge> learned;
    while (static_cast<int64_t>(learned.size()) < merges && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(best.pair);
      if (found == pairs_.end() || found->second.count != best.count) continue;  // out of date
      if (best.count < 2) break;
      const Symbol& left = symbols_[static_cast<size_t>(left_of(best.pair))];
      const Symbol& right = symbols_[static_cast<size_t>(right_of(best.pair))];
      Symbol joined{left.bytes + right.bytes, right.ends_word};
      // Every symbol has one id: what can be spelled already isn't made a second time.
      if (!made_.insert(joined.bytes + (joined.ends_word ? '\1' : '\0')).second) continue;
      symbols_.push_back(std::move(joined));
      learned.push_back({left_of(best.pair), right_of(best.pair)});
      apply(best.pair, kFirstMerged + static_cast<int32_t>(learned.size()) - 1);
    }
    return learned;
  }

 private:
  void count_pairs(uint32_t index, int64_t sign) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const PairKey pair = key_of(word.symbols[i], word.symbols[i + 1]);
      PairStatistics& statistics = pairs_[pair];
      statistics.count += sign * word.count;
      if (sign > 0) statistics.words.push_back(index);
      changed_.push_back(pair);
    }
  }

  void offer_changed() {
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const PairKey pair : changed_) {
      const auto found = pairs_.find(pair);
      if (found->second.count > 0) {
        queue_.push({found->second.count, pair});
      } else {
        pairs_.erase(found);
      }
    }
    changed_.clear();
  }

  void apply(PairKey pair, int32_t merged) {
    std::vector<uint32_t> affected = std::move(pairs_.at(pair).words);
    std::sort(affected.begin(), affected.end());
    affected.erase(std::unique(affected.begin(), affected.end()), affected.end());
    for (const uint32_t index : affected) {
      count_pairs(index, -1);
      auto& symbols = words_[index].symbols;
      size_t kept = 0;
      for (size_t i = 0; i < symbols.size(); ++kept) {
        const bool match =
            i + 1 < symbols.size() && symbols[i] == left_of(pair) && symbols[i + 1] == right_of(pair);
        symbols[kept] = match ? merged : symbols[i];
        i += match ? 2 : 1;
      }
      symbols.resize(kept);
      count_pairs(index, +1);
    }
    offer_changed();
  }

  std::vector<Word> words_;
  std::vector<Symbol> symbols_;
  std::unordered_set<std::string> made_;
  std::unordered_map<PairKey, PairStatistics> pairs_;
  std::vector<PairKey> changed_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace

Tokenizer train_bpe(std::span<const std::string> captions, int64_t vocab_size) {
  constexpr int64_t kSmallest = kFirstMerged + 2;
  constexpr int64_t kLargest = kClipMerges + kSmallest;  // more is never read back
  CUCLIP_CHECK(vocab_size >= kSmallest && vocab_size <= kLargest,
               "tokenizer: the vocabulary must have {} to {} ids, got {}", kSmallest, kLargest, vocab_size);
  std::vector<Word> words = count_words(captions);
  CUCLIP_CHECK(!words.empty(), "tokenizer: there is no word to learn from in {} captions", captions.size());
  return Tokenizer(Trainer(std::move(words)).learn(vocab_size - kSmallest));
}

}  // namespace cuclip
