// How well a model finds pictures by words: the pictures of a collection ranked for each of a list of words.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "models/inference/encode.h"
#include "models/inference/query_ranking.h"
#include "train/data/dataset.h"

namespace cuclip {

/// Pictures that can be searched, and what their captions say.
struct PictureCollection {
  Tensor features;                                 // f32 [N, E], rows of unit length
  std::vector<std::vector<std::string>> captions;  // of each picture
  BadSamples bad;                                  // what was left out, and what is damaged
};

/// The first `limit` pictures of a data set (0: all), read and encoded in batches: besides the features and
/// captions, the pictures of one batch are in memory. Throws InputError if none can be used, or if more than
/// max_bad_fraction of them are bad.
PictureCollection encode_collection(const ClipModel& model, const Dataset& dataset, int64_t limit = 0,
                                    double max_bad_fraction = 0.1, const EncodeProgress& progress = {});

/// For each word, the pictures that it is right for, ascending: those one of whose captions has the word in
/// it as a word. Captions and words are cleaned and split as the tokeniser does it, so case, HTML references
/// and curly quotes do not matter, and "dog's" has "dog" in it. Nor does an English plural in -s or -ies
/// (fold_word, words.h): "Butterflies" has "butterfly" in it; but "boxes" does not have "box", nor "mice"
/// "mouse". An entry of several words must be there as a whole. Scripts that put no spaces between words
/// match only where the word stands alone.
std::vector<std::vector<int64_t>> pictures_with_words(std::span<const std::vector<std::string>> captions,
                                                      std::span<const std::string> words);

/// Words for things that people draw and photograph.
std::span<const std::string> everyday_words();

/// One way to ask for the words that occur.
struct SearchForm {
  std::string name;                    // "bare", "with_article", "templates"; "chance": a random order
  std::vector<QueryRanking> rankings;  // of each word
  QueryRanking mean;
};

struct SearchScores {
  int64_t pictures = 0;
  int64_t top = 0;
  std::vector<std::string> words;    // those that at least one picture is right for
  std::vector<int64_t> right;        // how many, of each
  std::vector<std::string> missing;  // words that no picture is right for: not in the means
  std::vector<SearchForm> forms;     // "chance" comes last; empty if there are no words
};

/// Asks for each word, as search does (search_query.h), bare and with its article; with templates also for
/// all of them, filled and averaged (zero_shot.h). `top` is that of rank_queries.
SearchScores evaluate_search(const ClipModel& model, const Tokenizer& tokenizer,
                             const PictureCollection& collection, std::span<const std::string> words,
                             int64_t top = 12, std::span<const std::string> templates = {});

/// {"pictures", "top", "words_found", "missing": ["boat", ...], "mean": {"bare": {"precision",
/// "average_precision"}, "with_article": {...}, ..., "chance": {...}}}; no "mean" where no word is found.
nlohmann::ordered_json means_json(const SearchScores& scores);

/// The same and "words": [{"word", "pictures", "bare": {...}, "with_article": {...}, ...}, ...].
nlohmann::ordered_json to_json(const SearchScores& scores);

}  // namespace cuclip
