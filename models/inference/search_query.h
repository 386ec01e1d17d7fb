// What is looked for in an index: words with terms added and subtracted, pictures, or both, as one vector.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"

namespace cuclip {

/// What a subtracted term counts for; everything else counts 1. Chosen by trial (docs/performance.md).
inline constexpr float kSubtractedWeight = 0.33f;

struct QueryTerm {
  std::string text;
  bool subtracted = false;
  friend bool operator==(const QueryTerm&, const QueryTerm&) = default;
};

/// The terms of a query such as
///   red bicycle +water -"road sign"     ->  red bicycle, water, minus road sign
/// The words without a sign are one term, and it comes first. A sign counts only at the start of a word, and
/// for that word, or for the phrase in quotation marks after it. Quotation marks at the start of a word keep
/// what they enclose as it is and are left out: "-" in them is the character. A query with neither stays as
/// it is, to the byte. Throws InputError for a term with nothing in it, for a quotation mark that is never
/// closed, and for terms that are both added and subtracted, in whatever case.
std::vector<QueryTerm> parse_query(std::string_view words);

/// The direction of the sum, f32 [1, E] of unit length, of the terms' features `texts` [terms.size(), E] with
/// their weights and of `pictures` [P, E]; either may be missing, not both; f32, rows of unit length. Throws
/// InputError if nothing is added, if the sum has next to no length, so that its direction says nothing, and
/// if it is not finite.
Tensor compose_query(Context& context, std::span<const QueryTerm> terms, const Tensor& texts,
                     const Tensor& pictures);

}  // namespace cuclip
