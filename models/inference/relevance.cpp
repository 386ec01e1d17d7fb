#include "models/inference/relevance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/similarity/similarity.h"
#include "models/inference/zero_shot.h"
#include "models/text/english.h"

namespace cuclip {
namespace {

constexpr const char* kWordsWithoutPictures =
    "although because tomorrow yesterday honesty patience inflation hypothesis theorem justice "
    "wisdom democracy curiosity loyalty jealousy gratitude ambition courage irony sarcasm "
    "grammar opinion rumour secret promise apology excuse mistake advice probability average "
    "percentage budget mortgage salary insurance bankruptcy contract policy tax deadline "
    "schedule meeting philosophy economics psychology theology sociology algebra statistics "
    "logic theory ethics tradition history future past century decade moment eternity silence "
    "noise smell taste temperature gravity velocity frequency energy momentum pressure "
    "advantage purpose consequence reason belief doubt certainty necessity possibility freedom "
    "responsibility authority reputation intention attention memory imagination knowledge "
    "intelligence talent skill experience habit instinct friendship marriage divorce argument "
    "agreement conflict revenge forgiveness hope despair boredom fatigue hunger thirst "
    "software algorithm password permission bandwidth latency warranty discount refund "
    "subscription quality quantity difference similarity comparison combination improvement "
    "progress decline beginning ending";

// Cosines nearer to 1 than this differ by rounding.
constexpr double kLeastAngle = 1e-6;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

// How much alike the two forms of each phrase are.
std::vector<double> agreement(const PhraseForms& phrases) {
  const std::vector<float> bare = phrases.bare.to_floats(), other = phrases.with_article.to_floats();
  CUCLIP_CHECK(bare.size() == other.size(), "relevance: {} values of bare phrases, {} with an article",
               bare.size(), other.size());
  const auto width = static_cast<size_t>(phrases.bare.size(1));
  std::vector<double> result;
  for (size_t at = 0; at < bare.size(); at += width) {
    const double cosine = dot(std::span(bare).subspan(at, width), std::span(other).subspan(at, width));
    result.push_back(std::atanh(std::clamp(cosine, 0.0, 1 - kLeastAngle)));
  }
  return result;
}

// A phrase in whose place `query` is asked, as one of its parts.
struct Part {
  size_t query, part;
  std::string phrase;
};

std::vector<Part> parts_of(std::span<const std::vector<QueryTerm>> queries) {
  std::vector<Part> parts;
  size_t count = 0;
  for (size_t q = 0; q < queries.size(); ++q) {
    const auto add = [&](const std::string& phrase) {
      const std::string singular = singular_phrase(phrase);
      parts.push_back({q, count, phrase});
      if (singular != phrase) parts.push_back({q, count, singular});
      ++count;
    };
    for (const QueryTerm& term : queries[q]) {
      if (term.subtracted) continue;
      add(bare_phrase(term.text));
      const std::string head = head_of_phrase(term.text);
      if (!head.empty()) add(head);
    }
  }
  return parts;
}

}  // namespace

std::span<const std::string> words_without_pictures() {
  static const std::vector<std::string> words = words_between_blanks(kWordsWithoutPictures);
  return words;
}

RelevanceScale::RelevanceScale(Context& context, const Tensor& features, const PhraseForms& prompts)
    : context_(context),
      features_(features.to(context)),
      mean_prompt_(static_cast<size_t>(prompts.bare.size(1))) {
  for (const Tensor& form : {prompts.bare, prompts.with_article}) {
    const std::vector<float> values = form.to_floats();
    for (size_t i = 0; i < values.size(); ++i)
      mean_prompt_[i % mean_prompt_.size()] += double{values[i]} / static_cast<double>(2 * form.size(0));
  }
  std::vector<double> null = scores(prompts);
  CUCLIP_CHECK(std::all_of(null.begin(), null.end(), [](double score) { return std::isfinite(score); }),
               "relevance: the features of the pictures or of the prompts are not finite");
  std::sort(null.begin(), null.end());
  const double below = std::ceil(kPromptsBelow * static_cast<double>(null.size()));
  threshold_ = null[static_cast<size_t>(below) - 1];
}

std::vector<double> RelevanceScale::scores(const PhraseForms& phrases) const {
  std::vector<double> result = agreement(phrases);
  const std::vector<double> bare = above_prompts(phrases.bare), other = above_prompts(phrases.with_article);
  for (size_t p = 0; p < result.size(); ++p) result[p] *= (bare[p] + other[p]) / 2;
  return result;
}

// A picture's mean similarity to the prompts is its similarity to their mean, so that this takes one product
// with the difference of the phrase and that mean, of whose direction top_k gives the cosines.
std::vector<double> RelevanceScale::above_prompts(const Tensor& phrases) const {
  const int64_t count = phrases.size(0), width = phrases.size(1);
  const int64_t best = std::min(kBestPictures, features_.size(0));
  std::vector<float> differences = phrases.to_floats();
  for (size_t i = 0; i < differences.size(); ++i)
    differences[i] = static_cast<float>(double{differences[i]} - mean_prompt_[i % mean_prompt_.size()]);
  const Tensor a = Tensor::from<float>(context_, {count, width}, std::span<const float>(differences));
  const Tensor values = Tensor::empty(context_, {count, best}, DType::f32);
  const Tensor rows = Tensor::empty(context_, {count, best}, DType::i32);
  top_k({.a = a, .b = features_, .k = best, .values = values, .indices = rows}, context_.exec());
  const std::vector<float> cosines = values.to_floats();
  std::vector<double> result;
  for (int64_t q = 0; q < count; ++q) {
    double sum = 0;
    for (int64_t i = 0; i < best; ++i) sum += double{cosines[static_cast<size_t>(q * best + i)]};
    const auto row = std::span<const float>(differences)
                         .subspan(static_cast<size_t>(q * width), static_cast<size_t>(width));
    result.push_back(std::sqrt(dot(row, row)) * sum / static_cast<double>(best));
  }
  return result;
}

PhraseForms encode_forms(const ClipModel& model, const Tokenizer& tokenizer,
                         std::span<const std::string> phrases, std::span<const std::string> templates) {
  return {zero_shot_classifier(model, tokenizer, phrases, templates),
          zero_shot_classifier(model, tokenizer, with_articles(phrases), templates)};
}

RelevanceScale make_relevance_scale(const ClipModel& model, const Tokenizer& tokenizer,
                                    const Tensor& features, std::span<const std::string> templates) {
  return {model.context(), features, encode_forms(model, tokenizer, words_without_pictures(), templates)};
}

std::vector<double> relevance_scores(const RelevanceScale& scale, const ClipModel& model,
                                     const Tokenizer& tokenizer,
                                     std::span<const std::vector<QueryTerm>> queries,
                                     std::span<const std::string> templates) {
  std::vector<double> result(queries.size(), std::numeric_limits<double>::infinity());
  const std::vector<Part> parts = parts_of(queries);
  if (parts.empty()) return result;
  std::vector<std::string> phrases;
  for (const Part& part : parts) phrases.push_back(part.phrase);
  const std::vector<double> scores = scale.scores(encode_forms(model, tokenizer, phrases, templates));
  for (size_t i = 0; i < parts.size();) {
    double best = scores[i];
    size_t next = i + 1;
    for (; next < parts.size() && parts[next].part == parts[i].part; ++next)
      best = std::max(best, scores[next]);
    double& least = result[parts[i].query];
    least = std::min(least, best);
    i = next;
  }
  return result;
}

}  // namespace cuclip
