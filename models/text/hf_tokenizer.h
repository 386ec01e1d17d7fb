// A tokeniser in transformers' files, for its CLIPTokenizer: vocab.json, merges.txt, tokenizer_config.json
// and special_tokens_map.json.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/text/tokenizer.h"

namespace cuclip {

/// Whether the merges are those of CLIP's vocabulary of 49,408 tokens, which open_clip takes where nothing
/// else is said.
bool is_clip_vocabulary(const Tokenizer& tokenizer);

/// The names and contents of the four files. transformers (4.57 and 5.24) gives with them the ids of
/// encode_padded, up to the first end of text, with which it also fills a row up: as in OpenAI's own files,
/// since whatever token it fills with is taken for one wherever a text spells it, and token 0 is "!". It
/// cleans less than clean_caption: it neither repairs mojibake nor replaces HTML's references nor
/// straightens quotes. Throws InputError if two symbols are written alike.
std::vector<std::pair<std::string, std::string>> hf_tokenizer_files(const Tokenizer& tokenizer,
                                                                    int64_t context_length);

/// Throws InputError where a vocab.json, which messages call `name`, gives a token another id than the
/// merges.txt beside it, from which the tokeniser was made: transformers' ids would not be ours.
void check_vocab_json(const Tokenizer& tokenizer, std::string_view text, std::string_view name);

}  // namespace cuclip
