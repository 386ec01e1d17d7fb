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

/// The queries, each checked (parse_given_query); those of standard input for "-". None: one without
/// words. Throws InputError.
std::vector<SearchQuery> given_queries(const std::vector<std::string>& words);

/// f32 [queries.size(), E], rows of unit length: the queries together with the pictures of these files
/// (encode_queries of search_query.h). Reports damaged pictures. Throws InputError for a picture that cannot
/// be read.
Tensor encode_given(Session& session, std::span<const SearchQuery> queries,
                    const std::vector<std::string>& images, std::span<const std::string> templates);

/// The terms of each query.
std::vector<std::vector<QueryTerm>> terms_of(std::span<const SearchQuery> queries);

}  // namespace cuclip
