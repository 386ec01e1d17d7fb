// What is looked for in an index: words with terms added and subtracted, pictures, or both, as one vector.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// What a subtracted term counts for, and what the head of a phrase counts besides the phrase; everything
/// else counts 1. Chosen by trial (docs/performance.md).
inline constexpr float kSubtractedWeight = 0.33f;
inline constexpr float kHeadWeight = 0.33f;

struct QueryTerm {
  std::string text;
  bool subtracted = false;
  bool quoted = false;  // it has a part in quotation marks
  friend bool operator==(const QueryTerm&, const QueryTerm&) = default;
};

/// The terms of a query such as
///   red bicycle +water -"road sign"     ->  red bicycle, water, minus road sign
/// The words without a sign are one term, and it comes first. A sign counts only at the start of a word, and
/// for that word, or for the phrase in quotation marks after it. Quotation marks at the start of a word keep
/// what they enclose as it is and are left out: "-" in them is the character. Curly quotation marks and the
/// minus sign U+2212 are taken for their ASCII forms. A query with neither stays as it is, to the byte.
/// Throws InputError for a term with nothing in it, for a quotation mark that is never closed, and for terms
/// that are both added and subtracted, in whatever case.
std::vector<QueryTerm> parse_query(std::string_view words);

/// The same for words as a user gave them: they, and the text of each term, must be texts (require_text).
/// `what` begins the messages.
std::vector<QueryTerm> parse_given_query(const std::string& words, const std::string& what);

/// Each text as a query of one term: signs and quotation marks are characters of it.
std::vector<std::vector<QueryTerm>> plain_queries(std::span<const std::string> texts);

/// A text that is part of a query's vector, and what it counts: below 0 where it is subtracted.
struct WeightedText {
  std::string text;
  float weight = 1;
  friend bool operator==(const WeightedText&, const WeightedText&) = default;
};

/// All terms, and after them the heads (head_of_phrase) of those added without quotation marks: a model that
/// has learned colours better than things finds red things for "a red bicycle", and bicycles with the head.
/// A head that is also subtracted ("hot dog -dog") is left out.
std::vector<WeightedText> weighted_texts(std::span<const QueryTerm> terms);

/// The direction of the sum, f32 [1, E] of unit length, of the features `rows` [texts.size(), E] of `texts`
/// with their weights, and of `pictures` [P, E]; either may be missing, not both; f32, rows of unit length.
/// Throws InputError if nothing is added, if the sum has next to no length, so that its direction says
/// nothing, and if it is not finite.
Tensor compose_query(Context& context, std::span<const WeightedText> texts, const Tensor& rows,
                     const Tensor& pictures);

/// f32 [queries.size(), E], rows of unit length: the vector of each query, of its terms and of all `pictures`
/// [P, E] (or none). Templates: zero_shot.h. Throws InputError as compose_query does.
Tensor encode_queries(const ClipModel& model, const Tokenizer& tokenizer,
                      std::span<const std::vector<QueryTerm>> queries, const Tensor& pictures,
                      std::span<const std::string> templates);

}  // namespace cuclip
