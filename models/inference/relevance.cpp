#include "models/inference/relevance.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "kernels/similarity/similarity.h"
#include "models/inference/encode.h"
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

std::vector<std::string> make_prompts() {
  std::vector<std::string> prompts;
  std::istringstream words(kWordsWithoutPictures);
  for (std::string word; words >> word;) {
    prompts.push_back(word);
    prompts.push_back(with_article(word));
  }
  return prompts;
}

std::vector<float> mean_of_rows(const Tensor& rows) {
  const std::vector<float> values = rows.to_floats();
  const auto count = static_cast<size_t>(rows.size(0)), width = static_cast<size_t>(rows.size(1));
  std::vector<float> mean(width);
  for (size_t c = 0; c < width; ++c) {
    double sum = 0;
    for (size_t r = 0; r < count; ++r) sum += double{values[r * width + c]};
    mean[c] = static_cast<float>(sum / static_cast<double>(count));
  }
  return mean;
}

double length_of(std::span<const float> row) {
  double square = 0;
  for (const float x : row) square += double{x} * double{x};
  return std::sqrt(square);
}

}  // namespace

std::span<const std::string> prompts_without_pictures() {
  static const std::vector<std::string> prompts = make_prompts();
  return prompts;
}

RelevanceScale::RelevanceScale(Context& context, const Tensor& features, const Tensor& prompts)
    : context_(context), features_(features.to(context)), mean_prompt_(mean_of_rows(prompts)) {
  std::vector<double> null = scores(prompts);
  CUCLIP_CHECK(std::all_of(null.begin(), null.end(), [](double score) { return std::isfinite(score); }),
               "relevance: the features of the pictures or of the prompts are not finite");
  std::sort(null.begin(), null.end());
  const double below = std::ceil(kPromptsBelow * static_cast<double>(null.size()));
  threshold_ = null[static_cast<size_t>(below) - 1];
}

// A picture's mean similarity to the prompts is its similarity to their mean, so that a score takes one
// product with the difference of the query and that mean.
std::vector<double> RelevanceScale::scores(const Tensor& queries) const {
  const int64_t count = queries.size(0), width = queries.size(1);
  const int64_t best = std::min(kBestPictures, features_.size(0));
  std::vector<float> differences = queries.to_floats();
  for (size_t i = 0; i < differences.size(); ++i) differences[i] -= mean_prompt_[i % mean_prompt_.size()];
  const Tensor a = Tensor::from<float>(context_, {count, width}, std::span<const float>(differences));
  const Tensor values = Tensor::empty(context_, {count, best}, DType::f32);
  const Tensor rows = Tensor::empty(context_, {count, best}, DType::i32);
  top_k({.a = a, .b = features_, .k = best, .values = values, .indices = rows}, context_.exec());
  const std::vector<float> cosines = values.to_floats();
  std::vector<double> result;
  for (int64_t q = 0; q < count; ++q) {
    double sum = 0;
    for (int64_t i = 0; i < best; ++i) sum += double{cosines[static_cast<size_t>(q * best + i)]};
    const auto first = static_cast<size_t>(q * width), size = static_cast<size_t>(width);
    const double length = length_of(std::span<const float>(differences).subspan(first, size));
    result.push_back(length * sum / static_cast<double>(best));
  }
  return result;
}

RelevanceScale make_relevance_scale(const Clip& model, const Tokenizer& tokenizer, const Tensor& features,
                                    std::span<const std::string> templates) {
  const std::span<const std::string> prompts = prompts_without_pictures();
  return {model.context(), features,
          templates.empty() ? encode_texts(model, tokenizer, prompts)
                            : zero_shot_classifier(model, tokenizer, prompts, templates)};
}

}  // namespace cuclip
