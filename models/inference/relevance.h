// Whether a collection has anything for a query, or only what happens to be least unlike it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// Ordinary words for what no picture shows ("honesty", "yesterday"), as prompts: each bare and with an
/// article. Whatever a collection has, it has nothing for these.
std::span<const std::string> prompts_without_pictures();

/// A scale for text queries in one collection, made with prompts that it has nothing for.
///
/// The score of a query is the mean, over the kBestPictures pictures that it is highest for, of the cosine
/// similarity to the query less the mean of the similarities to all prompts: pictures that are similar to
/// whatever is asked for ("hubs") count for little. A query is relevant if its score is higher than those of
/// kPromptsBelow of the prompts. Other statistics were tried: docs/performance.md, Search.
class RelevanceScale {
 public:
  static constexpr int64_t kBestPictures = 3;
  static constexpr double kPromptsBelow = 0.9;

  /// features [N, E] of the pictures, prompts [P, E]: f32, rows of unit length, at least one of each. Throws
  /// InputError if the scores are not finite. The context must outlive it. 2PNE FLOP.
  RelevanceScale(Context& context, const Tensor& features, const Tensor& prompts);

  /// The highest score that is not relevant.
  double threshold() const { return threshold_; }
  bool is_relevant(double score) const { return score > threshold_; }
  /// One for each row of queries [Q, E], f32, of unit length: a difference of cosines, from -2 to 2.
  std::vector<double> scores(const Tensor& queries) const;

 private:
  Context& context_;
  Tensor features_;
  std::vector<float> mean_prompt_;  // not of unit length
  double threshold_ = 0;
};

/// A scale of the prompts above, each asked with all templates (zero_shot.h), as the queries are; none: as
/// they are.
RelevanceScale make_relevance_scale(const Clip& model, const Tokenizer& tokenizer, const Tensor& features,
                                    std::span<const std::string> templates);

}  // namespace cuclip
