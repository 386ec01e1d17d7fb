#include "models/text/hf_tokenizer.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "kernels/common/check.h"
#include "models/files/strict_json.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"

namespace cuclip {
namespace {

using nlohmann::ordered_json;

// All tokens as vocab.json writes them, by their ids.
std::vector<std::string> written_tokens(const Tokenizer& tokenizer) {
  std::vector<std::string> words;
  for (const Symbol& symbol : make_symbols(tokenizer.merges())) words.push_back(written_symbol(symbol));
  words.push_back(encode_utf8(kStartOfTextWord));
  words.push_back(encode_utf8(kEndOfTextWord));
  return words;
}

// One symbol a line, in the order of the ids.
std::string vocab_json(const Tokenizer& tokenizer) {
  const std::vector<std::string> words = written_tokens(tokenizer);
  std::unordered_set<std::string_view> seen;
  std::string text = "{";
  for (size_t id = 0; id < words.size(); ++id) {
    CUCLIP_CHECK(seen.insert(words[id]).second,
                 "this vocabulary cannot be written for transformers: two of its symbols are written {}",
                 words[id]);
    text += fmt::format("{}\n{}: {}", id ? "," : "", ordered_json(words[id]).dump(), id);
  }
  return text + "\n}\n";
}

ordered_json special_tokens() {
  const std::string start = encode_utf8(kStartOfTextWord), end = encode_utf8(kEndOfTextWord);
  return {{"bos_token", start}, {"eos_token", end}, {"pad_token", end}, {"unk_token", end}};
}

std::string config_json(int64_t context_length) {
  ordered_json config = {{"tokenizer_class", "CLIPTokenizer"},
                         {"model_max_length", context_length},
                         {"add_prefix_space", false},
                         {"do_lower_case", true},
                         {"errors", "replace"}};
  config.update(special_tokens());
  return config.dump(2) + "\n";
}

}  // namespace

bool is_clip_vocabulary(const Tokenizer& tokenizer) {
  constexpr XXH64_hash_t kClips = 0x7624BF82B4E078E9;
  const std::vector<Merge>& merges = tokenizer.merges();
  return std::ssize(merges) == kClipMerges &&
         XXH3_64bits(merges.data(), merges.size() * sizeof(Merge)) == kClips;
}

std::vector<std::pair<std::string, std::string>> hf_tokenizer_files(const Tokenizer& tokenizer,
                                                                    int64_t context_length) {
  return {{"vocab.json", vocab_json(tokenizer)},
          {"merges.txt", format_merges(tokenizer.merges())},
          {"tokenizer_config.json", config_json(context_length)},
          {"special_tokens_map.json", special_tokens().dump(2) + "\n"}};
}

void check_vocab_json(const Tokenizer& tokenizer, std::string_view text, std::string_view name) {
  const nlohmann::json ids = parse_strict_json(text, name);
  const std::vector<std::string> words = written_tokens(tokenizer);
  for (size_t id = 0; id < words.size(); ++id) {
    const auto found = ids.find(words[id]);
    CUCLIP_CHECK(
        found != ids.end() && *found == id,
        "{}: expected the id {} for the token {}, as merges.txt beside it has it, found {}; take both "
        "files from the same model",
        name, id, excerpt(words[id]), found == ids.end() ? "none" : excerpt(*found));
  }
}

}  // namespace cuclip
