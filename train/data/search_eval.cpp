#include "train/data/search_eval.h"

#include <algorithm>
#include <map>

#include "models/inference/search_query.h"
#include "models/text/english.h"
#include "models/text/normalise_caption.h"
#include "models/text/text_cleaning.h"
#include "models/text/unicode.h"
#include "models/text/word_split.h"
#include "train/data/caption_words.h"
#include "train/data/eval_data.h"
#include "train/data/sample_store.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

Words cleaned_words(const std::string& text) {
  const std::u32string cleaned = clean_caption_utf32(text);
  Words words;
  for (const std::u32string_view word : split_words(cleaned)) words.push_back(fold_word(encode_utf8(word)));
  return words;
}

// What is looked for in captions.
class WantedWords {
 public:
  explicit WantedWords(std::span<const std::string> words) {
    for (const std::string& word : words) {
      require_text(word, "words to search with");
      parts_.push_back(cleaned_words(word));
      by_first_part_.emplace(parts_.back().front(), parts_.size() - 1);
    }
  }

  // Calls found(w) for each word that the caption has in it, as often as it does.
  template <typename Found>
  void find_in(const std::string& caption, Found found) const {
    const Words said = cleaned_words(caption);
    for (size_t at = 0; at < said.size(); ++at) {
      const auto [first, last] = by_first_part_.equal_range(said[at]);
      for (auto it = first; it != last; ++it) {
        const Words& parts = parts_[it->second];
        const auto here = said.begin() + static_cast<std::ptrdiff_t>(at);
        if (parts.size() <= said.size() - at && std::equal(parts.begin(), parts.end(), here))
          found(it->second);
      }
    }
  }

 private:
  std::vector<Words> parts_;
  std::multimap<std::string, size_t> by_first_part_;
};

Json form_json(const QueryRanking& ranking) {
  return {{"precision", ranking.precision}, {"average_precision", ranking.average_precision}};
}

}  // namespace

PictureCollection encode_collection(const ClipModel& model, const Dataset& dataset, int64_t limit,
                                    double max_bad_fraction, const EncodeProgress& progress) {
  const int64_t count = limit > 0 ? std::min(limit, dataset.size()) : dataset.size();
  std::vector<Words> captions(static_cast<size_t>(count));
  Words reasons(static_cast<size_t>(count));
  const auto load = [&](int64_t i) {
    try {
      DecodedSample sample = decode_sample(dataset, i);
      captions[static_cast<size_t>(i)] = std::move(sample.captions);
      return std::move(sample.picture);
    } catch (const SampleError& error) {
      reasons[static_cast<size_t>(i)] = error.reason();
      throw;
    }
  };
  EncodedPictures encoded = encode_pictures(model, count, load, progress);
  PictureCollection collection{.features = encoded.features, .captions = {}, .bad = dataset.bad()};
  for (const UnreadablePicture& picture : encoded.unreadable)
    collection.bad.add(reasons[static_cast<size_t>(picture.index)], picture.reason);
  for (const std::string& damage : encoded.damaged) collection.bad.add_damaged(damage);
  check_bad_fraction(dataset, collection.bad, count, max_bad_fraction);
  for (const int64_t i : encoded.kept)
    collection.captions.push_back(std::move(captions[static_cast<size_t>(i)]));
  return collection;
}

std::vector<std::vector<int64_t>> pictures_with_words(std::span<const std::vector<std::string>> captions,
                                                      std::span<const std::string> words) {
  const WantedWords wanted(words);
  std::vector<std::vector<int64_t>> pictures(words.size());
  for (size_t i = 0; i < captions.size(); ++i) {
    for (const std::string& caption : captions[i]) {
      wanted.find_in(caption, [&](size_t word) {
        const auto picture = static_cast<int64_t>(i);
        if (pictures[word].empty() || pictures[word].back() != picture) pictures[word].push_back(picture);
      });
    }
  }
  return pictures;
}

std::span<const std::string> everyday_words() {
  static const Words words = {"bird",     "flower", "car",   "tree",  "cat",      "dog",    "fish",
                              "house",    "star",   "heart", "flag",  "hat",      "guitar", "boat",
                              "airplane", "horse",  "chair", "phone", "mushroom", "apple",  "butterfly",
                              "train",    "shoe",   "clock", "key"};
  return words;
}

SearchScores evaluate_search(const ClipModel& model, const Tokenizer& tokenizer,
                             const PictureCollection& collection, std::span<const std::string> words,
                             int64_t top, std::span<const std::string> templates) {
  SearchScores scores;
  scores.pictures = std::ssize(collection.captions);
  scores.top = top;
  std::vector<std::vector<int64_t>> right;
  std::vector<std::vector<int64_t>> pictures = pictures_with_words(collection.captions, words);
  for (size_t w = 0; w < words.size(); ++w) {
    (pictures[w].empty() ? scores.missing : scores.words).push_back(words[w]);
    if (!pictures[w].empty()) right.push_back(std::move(pictures[w]));
  }
  if (scores.words.empty()) return scores;
  const auto add = [&](const std::string& name, std::vector<QueryRanking> rankings) {
    const QueryRanking mean = mean_ranking(rankings);
    scores.forms.push_back({.name = name, .rankings = std::move(rankings), .mean = mean});
  };
  const auto ask = [&](const std::string& name, const Tensor& queries) {
    add(name, rank_queries(model.context(), queries, collection.features, right, top));
  };
  const auto encode = [&](const Words& asked, std::span<const std::string> patterns) {
    return encode_queries(model, tokenizer, plain_queries(asked), {}, patterns);
  };
  const Words plain = {"{}"};
  ask("bare", encode(scores.words, plain));
  ask("with_article", encode(with_articles(scores.words), plain));
  if (!templates.empty()) ask("templates", encode(scores.words, templates));
  std::vector<QueryRanking> chance;
  for (const auto& of_word : right) {
    scores.right.push_back(std::ssize(of_word));
    chance.push_back(ranking_by_chance(std::ssize(of_word), scores.pictures));
  }
  add("chance", std::move(chance));
  return scores;
}

Json means_json(const SearchScores& scores) {
  Json json = {{"pictures", scores.pictures},
               {"top", scores.top},
               {"words_found", scores.words.size()},
               {"missing", scores.missing}};
  for (const SearchForm& form : scores.forms) json["mean"][form.name] = form_json(form.mean);
  return json;
}

Json to_json(const SearchScores& scores) {
  Json json = means_json(scores);
  json["words"] = Json::array();
  for (size_t w = 0; w < scores.words.size(); ++w) {
    Json word = {{"word", scores.words[w]}, {"pictures", scores.right[w]}};
    for (const SearchForm& form : scores.forms) word[form.name] = form_json(form.rankings[w]);
    json["words"].push_back(std::move(word));
  }
  return json;
}

}  // namespace cuclip
