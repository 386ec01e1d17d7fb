// How well the automatic threshold of a search (relevance.h) tells words that pictures of a collection have
// from words that none has.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "train/data/search_eval.h"

namespace cuclip {

/// Ordinary words for things that can be seen, many of which a collection of some thousand pictures lacks.
/// None is one of everyday_words() or of words_without_pictures().
std::span<const std::string> words_often_absent();

struct ThresholdForm {
  std::string name;      // "plain" or "templates"
  double threshold = 0;  // RelevanceScale's
  double missed = 0;     // share of the words present that are said to have nothing relevant; NaN of none
  double refused = 0;    // share of the words absent that are, rightly; NaN of none
};

struct ThresholdScores {
  /// Words with fewer pictures are not counted: a few captions name what can hardly be seen.
  static constexpr int64_t kLeastPictures = 10;
  int64_t present = 0, absent = 0;  // words counted
  std::vector<ThresholdForm> forms;
};

/// Asks, without templates and with these if there are any, for those of `words` that at least kLeastPictures
/// pictures have in a caption, and for those of words_often_absent() that none has. As search does
/// (relevance_scores); an article makes no difference.
ThresholdScores evaluate_threshold(const ClipModel& model, const Tokenizer& tokenizer,
                                   const PictureCollection& collection, std::span<const std::string> words,
                                   std::span<const std::string> templates = {});

/// {"least_pictures", "words_present", "words_absent", "plain": {"threshold", "missed", "refused"},
/// "templates": {...}}; a share of no words is null.
nlohmann::ordered_json to_json(const ThresholdScores& scores);

}  // namespace cuclip
