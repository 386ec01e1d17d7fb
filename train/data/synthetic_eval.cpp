#include "train/data/synthetic_eval.h"

#include <algorithm>
#include <numeric>

#include "models/inference/encode.h"

namespace cuclip {
namespace {

SyntheticScore score(const ClipModel& model, const Tokenizer& tokenizer, SyntheticQuestion question,
                     int64_t count, uint64_t seed) {
  const SyntheticEvalSet set = synthetic_eval_set(question, count, model.config().vision.image_size, seed);
  const Tensor images = encode_pictures(model, count, [&](int64_t i) {
                          return set.images[static_cast<size_t>(i)];
                        }).features.to(model.context().host());
  const Tensor prompts = encode_texts(model, tokenizer, set.prompts).to(model.context().host());
  const int64_t width = images.size(1);
  // The choices differ from picture to picture, so these are dot products rather than one matrix product.
  const auto similarity = [&](int64_t image, int32_t prompt) {
    const float* a = images.data<float>() + image * width;
    return std::inner_product(a, a + width, prompts.data<float>() + prompt * width, 0.0f);
  };
  int64_t right = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(i);
    const float best = similarity(i, set.labels[row]);
    right += std::none_of(set.choices[row].begin(), set.choices[row].end(), [&](int32_t choice) {
      return choice != set.labels[row] && !(similarity(i, choice) < best);
    });
  }
  return {.question = question,
          .accuracy = static_cast<double>(right) / static_cast<double>(count),
          .chance = set.chance,
          .pictures = count};
}

}  // namespace

std::vector<SyntheticScore> evaluate_synthetic(const ClipModel& model, const Tokenizer& tokenizer,
                                               int64_t count, uint64_t seed) {
  CUCLIP_CHECK(count > 0, "synthetic:shapes: the number of pictures must be at least 1, got {}", count);
  std::vector<SyntheticScore> scores;
  for (const SyntheticQuestion question : kSyntheticQuestions) {
    scores.push_back(score(model, tokenizer, question, count, seed));
  }
  return scores;
}

nlohmann::ordered_json to_json(const std::vector<SyntheticScore>& scores) {
  nlohmann::ordered_json json;
  for (const SyntheticScore& score : scores) {
    json[question_name(score.question)] = {
        {"accuracy", score.accuracy}, {"chance", score.chance}, {"pictures", score.pictures}};
  }
  return json;
}

}  // namespace cuclip
