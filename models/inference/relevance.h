// Whether a collection has anything for a query, or only what happens to be least unlike it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/inference/search_query.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// Ordinary words for what no picture shows ("honesty", "yesterday"). Whatever a collection has, it has
/// nothing for these.
std::span<const std::string> words_without_pictures();

/// Phrases in two forms, row for row: bare, and with an article. f32 [Q, E], rows of unit length.
struct PhraseForms {
  Tensor bare, with_article;
};

/// The two forms of bare phrases (english.h), each asked with all templates (zero_shot.h).
PhraseForms encode_forms(const ClipModel& model, const Tokenizer& tokenizer,
                         std::span<const std::string> phrases, std::span<const std::string> templates);

/// A scale for what is asked of one collection, made with prompts that it has nothing for.
///
/// The score of a phrase is the product of two figures. What the pictures say: the mean, over the
/// kBestPictures pictures that it is highest for, of the cosine similarity to the phrase less the mean of the
/// similarities to all prompts, so that pictures that are similar to whatever is asked for ("hubs") count for
/// little; the mean of both forms. What the model says: the inverse hyperbolic tangent of the cosine of the
/// two forms (Fisher's transformation; of 0 where it is below), since a model gives a word that it has
/// learned nearly the same direction with and without an article. A phrase is relevant if its score is higher
/// than those of kPromptsBelow of the prompts. Other statistics were tried: docs/performance.md, Search.
class RelevanceScale {
 public:
  static constexpr int64_t kBestPictures = 3;
  static constexpr double kPromptsBelow = 0.9;

  /// features [N, E] of the pictures, f32, rows of unit length; at least one picture and one prompt. Throws
  /// InputError if the scores are not finite. The context must outlive it. 4PNE FLOP.
  RelevanceScale(Context& context, const Tensor& features, const PhraseForms& prompts);

  /// The highest score that is not relevant.
  double threshold() const { return threshold_; }
  bool is_relevant(double score) const { return score > threshold_; }
  /// One for each phrase.
  std::vector<double> scores(const PhraseForms& phrases) const;

 private:
  std::vector<double> above_prompts(const Tensor& phrases) const;

  Context& context_;
  Tensor features_;
  std::vector<double> mean_prompt_;  // of both forms; not of unit length
  double threshold_ = 0;
};

/// A scale of the words above, each asked with all templates.
RelevanceScale make_relevance_scale(const ClipModel& model, const Tokenizer& tokenizer,
                                    const Tensor& features, std::span<const std::string> templates);

/// The score of each query: the least of its added terms' and their heads', since the scale is one of words,
/// and of a phrase both forms are alike whether the model knows its words or not. What is in the plural
/// counts as the better of that and the singular. Pictures and what is subtracted do not count; a query of
/// nothing else has the score infinity.
std::vector<double> relevance_scores(const RelevanceScale& scale, const ClipModel& model,
                                     const Tokenizer& tokenizer,
                                     std::span<const std::vector<QueryTerm>> queries,
                                     std::span<const std::string> templates);

}  // namespace cuclip
