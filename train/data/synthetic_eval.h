// What a model understands of synthetic:shapes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"
#include "train/data/synthetic.h"

namespace cuclip {

struct SyntheticScore {
  SyntheticQuestion question;
  double accuracy = 0;  // share of pictures whose right prompt is the most similar of their choices
  double chance = 0;
  int64_t pictures = 0;
};

/// Every question of kSyntheticQuestions, on `count` pictures each, determined by the seed. Equal
/// similarities count against the model.
std::vector<SyntheticScore> evaluate_synthetic(const ClipModel& model, const Tokenizer& tokenizer,
                                               int64_t count, uint64_t seed);

/// {"seen": {"accuracy", "chance", "pictures"}, "held-out": {...}, ...}
nlohmann::ordered_json to_json(const std::vector<SyntheticScore>& scores);

}  // namespace cuclip
