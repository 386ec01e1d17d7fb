// What cuclip search is asked for, from its arguments to vectors.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/inference/search_query.h"
#include "train/cli/session.h"

namespace cuclip {

/// Words as they were given, and their terms; neither where pictures are all that is given.
struct SearchQuery {
  std::string words;
  std::vector<QueryTerm> terms;
};

/// Whether the queries come from standard input: "-" is the only one.
bool is_from_input(std::span<const std::string> words);

/// The queries, each checked (require_text, parse_query); those of standard input for "-". None: one without
/// words. Throws InputError.
std::vector<SearchQuery> given_queries(const std::vector<std::string>& words);

/// What the queries are as vectors.
struct EncodedQueries {
  Tensor asked;  // f32 [queries.size(), E], rows of unit length: encode_queries() of search_query.h
  Tensor other;  // the same in their other form; empty unless it was asked for
};

/// The queries together with the pictures of these files. Reports damaged pictures. Throws InputError for a
/// picture that cannot be read.
EncodedQueries encode_queries(Session& session, std::span<const SearchQuery> queries,
                              const std::vector<std::string>& images, std::span<const std::string> templates,
                              bool with_other_form);

}  // namespace cuclip
