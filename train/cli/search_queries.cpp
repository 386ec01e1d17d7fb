#include "train/cli/search_queries.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "models/files/text_file.h"
#include "models/inference/encode.h"
#include "train/cli/printing.h"

namespace cuclip {
namespace {

constexpr const char* kFromInput = "-";

Tensor encode_images(const ClipModel& model, const std::vector<std::string>& images) {
  if (images.empty()) return {};
  const std::vector<std::filesystem::path> files(images.begin(), images.end());
  const EncodedPictures encoded = encode_picture_files(model, files);
  // The mean of the others would be the answer to another question.
  if (!encoded.unreadable.empty()) fail_input("--image: {}", encoded.unreadable.front().reason);
  report_damaged(encoded.damaged);
  return encoded.features;
}

}  // namespace

bool is_from_input(std::span<const std::string> words) {
  return words.size() == 1 && words.front() == kFromInput;
}

std::vector<SearchQuery> given_queries(const std::vector<std::string>& words) {
  CUCLIP_CHECK(
      words.size() <= 1 || std::find(words.begin(), words.end(), kFromInput) == words.end(),
      "search: - reads the queries from standard input and must be the only one, found {}; to subtract "
      "a word, write the sign directly before it and the whole query as one argument (\"bicycle -sign\")",
      words.size());
  const std::vector<std::string> given = is_from_input(words) ? read_lines(kFromInput) : words;
  std::vector<SearchQuery> queries;
  for (size_t i = 0; i < given.size(); ++i) {
    const std::string what = given.size() == 1 ? "search: the words" : fmt::format("search: query {}", i + 1);
    queries.push_back({.words = given[i], .terms = parse_given_query(given[i], what)});
  }
  if (queries.empty()) queries.emplace_back();
  return queries;
}

std::vector<std::vector<QueryTerm>> terms_of(std::span<const SearchQuery> queries) {
  std::vector<std::vector<QueryTerm>> terms;
  for (const SearchQuery& query : queries) terms.push_back(query.terms);
  return terms;
}

Tensor encode_given(Session& session, std::span<const SearchQuery> queries,
                    const std::vector<std::string>& images, std::span<const std::string> templates) {
  return encode_queries(session.model(), session.loaded.tokenizer(), terms_of(queries),
                        encode_images(session.model(), images), templates);
}

}  // namespace cuclip
