// Whether a collection has anything for a query, or only what happens to be least unlike it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// Ordinary words for what no picture shows ("honesty", "yesterday"). Whatever a collection has, it has
/// nothing for these.
std::span<const std::string> words_without_pictures();

/// Queries in two forms, row for row: as they are asked, and with their article toggled (english.h). f32
/// [Q, E], rows of unit length.
struct QueryForms {
  Tensor asked, other;
};

/// A scale for text queries in one collection, made with prompts that it has nothing for.
///
/// The score of a query is the product of two figures. What the pictures say: the mean, over the
/// kBestPictures pictures that it is highest for, of the cosine similarity to the query less the mean of the
/// similarities to all prompts, so that pictures that are similar to whatever is asked for ("hubs") count for
/// little; the mean of both forms. What the model says: the inverse hyperbolic tangent of the cosine of the
/// two forms (Fisher's transformation), since a model gives a word that it has learned much the same
/// direction with and without its article, and one that it has not learned another with each. A query is
/// relevant if its score is higher than those of kPromptsBelow of the prompts. Other statistics were tried:
/// docs/performance.md, Search.
class RelevanceScale {
 public:
  static constexpr int64_t kBestPictures = 3;
  static constexpr double kPromptsBelow = 0.9;

  /// features [N, E] of the pictures, f32, rows of unit length; at least one picture and one prompt. Throws
  /// InputError if the scores are not finite. The context must outlive it. 4PNE FLOP.
  RelevanceScale(Context& context, const Tensor& features, const QueryForms& prompts);

  /// The highest score that is not relevant.
  double threshold() const { return threshold_; }
  bool is_relevant(double score) const { return score > threshold_; }
  /// One for each query.
  std::vector<double> scores(const QueryForms& queries) const;

 private:
  std::vector<double> above_prompts(const Tensor& queries) const;

  Context& context_;
  Tensor features_;
  std::vector<double> mean_prompt_;  // of both forms; not of unit length
  double threshold_ = 0;
};

/// The words above in both forms, each asked with all templates (zero_shot.h), as the queries are.
QueryForms encode_prompts(const Clip& model, const Tokenizer& tokenizer,
                          std::span<const std::string> templates);

}  // namespace cuclip
