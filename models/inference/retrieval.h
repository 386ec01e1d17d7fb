// Retrieval: how well pictures find their captions and captions their pictures.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// One direction of retrieval. A query's rank is 1 + the number of wrong candidates that score at least as
/// high as its best right one: ties count against the model, so that a model whose features have collapsed to
/// a point gets the worst rank and not the best. Features that are not finite rank last.
struct RetrievalDirection {
  static constexpr std::array<int64_t, 3> kDepths = {1, 5, 10};

  int64_t queries = 0;
  int64_t candidates = 0;
  std::array<double, 3> recall{};  // share of queries with rank <= 1, 5, 10
  std::array<double, 3> chance{};  // the same expected of a random order
  double median_rank = 0;          // from 1
};

struct RetrievalMetrics {
  RetrievalDirection image_to_text, text_to_image;
};

/// Called every now and then during an evaluation. Throwing from it stops the evaluation.
using EvaluationPoll = std::function<void()>;

/// image [N, E], text [M, E] of one dtype; caption m belongs to picture image_of_text[m]. A picture may have
/// several captions and has at least one. The N×M scores are never all held, only some rows (at most 4 MiB).
RetrievalMetrics retrieval_metrics(Context& context, const Tensor& image, const Tensor& text,
                                   std::span<const int64_t> image_of_text, const EvaluationPoll& poll = {});

/// Pictures as the model takes them, with their captions.
struct CaptionedPictures {
  std::vector<uint8_t> images;                     // [count, image_size, image_size, 3]
  std::vector<std::vector<std::string>> captions;  // of each picture
  int64_t count() const { return std::ssize(captions); }
};

/// Encodes the captions and compares them with the pictures' features, f32 [N, E]; captions of each picture.
RetrievalMetrics evaluate_retrieval(const ClipModel& model, const Tokenizer& tokenizer, const Tensor& image,
                                    std::span<const std::vector<std::string>> captions,
                                    const EvaluationPoll& poll = {});

/// Encodes the pictures and all their captions and compares them.
RetrievalMetrics evaluate_retrieval(const ClipModel& model, const Tokenizer& tokenizer,
                                    const CaptionedPictures& data, const EvaluationPoll& poll = {});

/// {"image_to_text": {"R@1", "R@5", "R@10", "median_rank", "queries", "candidates", "chance": {"R@1", ...}},
///  "text_to_image": {...}}; recalls in 0…1.
nlohmann::ordered_json to_json(const RetrievalMetrics& metrics);

}  // namespace cuclip
