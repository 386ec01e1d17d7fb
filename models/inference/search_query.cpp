#include "models/inference/search_query.h"

#include <algorithm>
#include <cmath>

#include "models/files/names.h"
#include "models/text/text_cleaning.h"

namespace cuclip {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
// Of a sum of unit vectors. What is shorter is what rounding left over.
constexpr double kLeastLength = 1e-3;

constexpr const char* kHowToQuote =
    "write a sign directly before its word (bird -sign); to look for the character itself, put it in "
    "quotation marks (\"-\")";

// Takes the phrase up to the closing quotation mark off `rest`, which begins with the opening one.
std::string_view take_phrase(std::string_view& rest, std::string_view words) {
  const size_t end = rest.find('"', 1);
  CUCLIP_CHECK(end != rest.npos, "search: \"{}\": a quotation mark is opened and never closed",
               shortened_name(words));
  const std::string_view phrase = rest.substr(1, end - 1);
  rest.remove_prefix(end + 1);
  return phrase;
}

std::string_view take_word(std::string_view& rest) {
  const std::string_view word = rest.substr(0, rest.find_first_of(kBlanks));
  rest.remove_prefix(word.size());
  return word;
}

void check_contradictions(std::span<const QueryTerm> terms) {
  for (const QueryTerm& term : terms) {
    if (!term.subtracted) continue;
    const std::string text = clean_caption(term.text);
    const auto same = std::find_if(terms.begin(), terms.end(), [&](const QueryTerm& other) {
      return !other.subtracted && clean_caption(other.text) == text;
    });
    CUCLIP_CHECK(same == terms.end(), "search: \"{}\" is both looked for and subtracted",
                 shortened_name(term.text));
  }
}

void add_rows(std::vector<double>& sum, const std::vector<float>& rows, size_t row, double weight) {
  for (size_t c = 0; c < sum.size(); ++c) sum[c] += weight * double{rows[row * sum.size() + c]};
}

}  // namespace

std::vector<QueryTerm> parse_query(std::string_view words) {
  std::string unsigned_words;
  std::vector<QueryTerm> terms;
  bool plain = true;
  for (std::string_view rest = words;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(kBlanks), rest.size()));
    if (rest.empty()) break;
    const bool has_sign = rest.front() == '+' || rest.front() == '-', subtracted = rest.front() == '-';
    if (has_sign) rest.remove_prefix(1);
    const bool quoted = rest.starts_with('"');
    std::string text(quoted ? take_phrase(rest, words) : std::string_view());
    text += take_word(rest);
    plain = plain && !has_sign && !quoted;
    CUCLIP_CHECK(text.find_first_not_of(kBlanks) != text.npos,
                 "search: \"{}\": found a term without text; {}", shortened_name(words), kHowToQuote);
    if (has_sign) {
      terms.push_back({std::move(text), subtracted});
    } else {
      unsigned_words += (unsigned_words.empty() ? "" : " ") + text;
    }
  }
  CUCLIP_CHECK(!terms.empty() || !unsigned_words.empty(), "search: the words must not be blank");
  if (plain) return {{std::string(words)}};
  if (!unsigned_words.empty()) terms.insert(terms.begin(), {std::move(unsigned_words)});
  check_contradictions(terms);
  return terms;
}

Tensor compose_query(Context& context, std::span<const QueryTerm> terms, const Tensor& texts,
                     const Tensor& pictures) {
  const int64_t rows_of_texts = texts ? texts.size(0) : 0, rows_of_pictures = pictures ? pictures.size(0) : 0;
  CUCLIP_CHECK(std::ssize(terms) == rows_of_texts, "search: {} terms, features of {}", terms.size(),
               rows_of_texts);
  CUCLIP_CHECK(rows_of_pictures > 0 || std::any_of(terms.begin(), terms.end(),
                                                   [](const QueryTerm& term) { return !term.subtracted; }),
               "search: expected something to look for, found only what is subtracted; {}", kHowToQuote);
  const Tensor& first = texts ? texts : pictures;
  std::vector<double> sum(static_cast<size_t>(first.size(1)));
  if (texts) {
    const std::vector<float> rows = texts.to_floats();
    for (size_t t = 0; t < terms.size(); ++t)
      add_rows(sum, rows, t, terms[t].subtracted ? -double{kSubtractedWeight} : 1.0);
  }
  if (pictures) {
    const std::vector<float> rows = pictures.to_floats();
    for (size_t p = 0; p < static_cast<size_t>(rows_of_pictures); ++p) add_rows(sum, rows, p, 1.0);
  }
  double square = 0;
  for (const double x : sum) square += x * x;
  const double length = std::sqrt(square);
  CUCLIP_CHECK(std::isfinite(length), "search: the model's features of the query are not finite");
  CUCLIP_CHECK(length >= kLeastLength, "search: the parts of the query cancel each other out");
  if (rows_of_texts + rows_of_pictures == 1) return first;  // as it is, to the bit
  std::vector<float> unit;
  for (const double x : sum) unit.push_back(static_cast<float>(x / length));
  return Tensor::from<float>(context, {1, std::ssize(unit)}, unit);
}

}  // namespace cuclip
