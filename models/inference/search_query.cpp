#include "models/inference/search_query.h"

#include <algorithm>
#include <cmath>

#include "core/rows.h"
#include "models/files/names.h"
#include "models/inference/zero_shot.h"
#include "models/text/english.h"
#include "models/text/normalise_caption.h"
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

// As telephones and word processors write them: quotation marks and the minus sign.
std::string with_plain_signs(std::string_view words) {
  std::string plain(words);
  for (const auto& [sign, ascii] :
       {std::pair{"\u201C", "\""}, {"\u201D", "\""}, {"\u201E", "\""}, {"\u2212", "-"}}) {
    for (size_t at = 0; (at = plain.find(sign, at)) != plain.npos; ++at) {
      plain.replace(at, std::string_view(sign).size(), ascii);
    }
  }
  return plain;
}

bool is_subtracted(std::span<const QueryTerm> terms, const std::string& text) {
  const std::string cleaned = clean_caption(text);
  return std::any_of(terms.begin(), terms.end(), [&](const QueryTerm& term) {
    return term.subtracted && clean_caption(term.text) == cleaned;
  });
}

void check_contradictions(std::span<const QueryTerm> terms) {
  for (const QueryTerm& term : terms) {
    CUCLIP_CHECK(term.subtracted || !is_subtracted(terms, term.text),
                 "search: \"{}\" is both looked for and subtracted", shortened_name(term.text));
  }
}

}  // namespace

std::vector<QueryTerm> parse_query(std::string_view words) {
  QueryTerm unsigned_words;
  std::vector<QueryTerm> terms;
  bool plain = true;
  const std::string with_signs = with_plain_signs(words);
  for (std::string_view rest = with_signs;;) {
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
      terms.push_back({std::move(text), subtracted, quoted});
    } else {
      unsigned_words.text += (unsigned_words.text.empty() ? "" : " ") + text;
      unsigned_words.quoted |= quoted;
    }
  }
  CUCLIP_CHECK(!terms.empty() || !unsigned_words.text.empty(), "search: the words must not be blank");
  if (plain) return {{std::string(words)}};
  if (!unsigned_words.text.empty()) terms.insert(terms.begin(), std::move(unsigned_words));
  check_contradictions(terms);
  return terms;
}

std::vector<QueryTerm> parse_given_query(const std::string& words, const std::string& what) {
  require_text(words, what);
  std::vector<QueryTerm> terms = parse_query(words);
  for (const QueryTerm& term : terms) require_text(term.text, what + ": a term");
  return terms;
}

std::vector<std::vector<QueryTerm>> plain_queries(std::span<const std::string> texts) {
  std::vector<std::vector<QueryTerm>> queries;
  for (const std::string& text : texts) queries.push_back({{text}});
  return queries;
}

std::vector<WeightedText> weighted_texts(std::span<const QueryTerm> terms) {
  std::vector<WeightedText> texts;
  for (const QueryTerm& term : terms) texts.push_back({term.text, term.subtracted ? -kSubtractedWeight : 1});
  for (const QueryTerm& term : terms) {
    std::string head = term.subtracted || term.quoted ? "" : head_of_phrase(term.text);
    if (!head.empty() && !is_subtracted(terms, head)) texts.push_back({std::move(head), kHeadWeight});
  }
  return texts;
}

Tensor compose_query(Context& context, std::span<const WeightedText> texts, const Tensor& rows,
                     const Tensor& pictures) {
  const int64_t rows_of_texts = rows ? rows.size(0) : 0, rows_of_pictures = pictures ? pictures.size(0) : 0;
  CUCLIP_CHECK(std::ssize(texts) == rows_of_texts, "search: {} texts, features of {}", texts.size(),
               rows_of_texts);
  CUCLIP_CHECK(rows_of_pictures > 0 || std::any_of(texts.begin(), texts.end(),
                                                   [](const WeightedText& text) { return text.weight > 0; }),
               "search: expected something to look for, found only what is subtracted; {}", kHowToQuote);
  const Tensor& first = rows ? rows : pictures;
  std::vector<double> sum(static_cast<size_t>(first.size(1)));
  const auto add = [&](const Tensor& features, auto weight_of) {
    const std::vector<float> values = features ? features.to_floats() : std::vector<float>();
    for (size_t i = 0; i < values.size(); ++i)
      sum[i % sum.size()] += weight_of(i / sum.size()) * double{values[i]};
  };
  add(rows, [&](size_t row) { return double{texts[row].weight}; });
  add(pictures, [](size_t) { return 1.0; });
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

Tensor encode_queries(const ClipModel& model, const Tokenizer& tokenizer,
                      std::span<const std::vector<QueryTerm>> queries, const Tensor& pictures,
                      std::span<const std::string> templates) {
  std::vector<std::vector<WeightedText>> parts;
  std::vector<std::string> texts;
  for (const std::vector<QueryTerm>& query : queries) {
    parts.push_back(weighted_texts(query));
    for (const WeightedText& part : parts.back()) texts.push_back(part.text);
  }
  const Tensor features = texts.empty() ? Tensor() : zero_shot_classifier(model, tokenizer, texts, templates);
  Context& context = model.context();
  const Tensor all = Tensor::empty(context, {std::ssize(queries), model.config().embed_dim}, DType::f32);
  int64_t first = 0;
  for (int64_t q = 0; q < std::ssize(queries); ++q) {
    const std::vector<WeightedText>& part = parts[static_cast<size_t>(q)];
    const Tensor rows = part.empty() ? Tensor() : features.rows(first, std::ssize(part));
    copy_rows(context, compose_query(context, part, rows, pictures), all, q);
    first += std::ssize(part);
  }
  return all;
}

}  // namespace cuclip
