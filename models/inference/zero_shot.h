// Zero-shot classification: classes described in words (Radford et al. 2021, 3.1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/inference/classification.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// "simple": "a photo of a {}."; "openai7": the seven templates that OpenAI found to be enough for ImageNet;
/// "openai80": the 80 that OpenAI evaluated ImageNet with; "none": the class names as they are; anything else
/// is a file with one template per line, each with {} for the class's name ("-": standard input). Throws
/// InputError.
std::vector<std::string> load_templates(const std::string& spec);

/// Throws InputError for a template without {}; `what` begins the message.
void require_placeholder(const std::string& pattern, const std::string& what);

/// The template with every {} replaced by the name.
std::string fill_template(const std::string& pattern, const std::string& name);

/// Throws InputError for two names that the tokeniser cannot tell apart, as "Red fox" and "red fox": the
/// first would get all pictures of both. The message has their `labels`; `what` begins it.
void require_distinct_classes(std::span<const std::string> names, std::span<const std::string> labels,
                              const std::string& what);

/// f32 [classes.size(), E], rows of unit length: for each class the mean of the unit features of all filled
/// templates, normalised.
Tensor zero_shot_classifier(const ClipModel& model, const Tokenizer& tokenizer,
                            std::span<const std::string> classes, std::span<const std::string> templates);

/// How well a label describes a picture.
struct LabelScore {
  int64_t label;  // its place
  float similarity;
  double probability;
};

/// The labels of one picture, image [1, E], by the rows of classifier [C, E], the best first; equal ones keep
/// their order. The probabilities are the softmax of the model's logit scale times the similarities, as in
/// training.
std::vector<LabelScore> rank_labels(const ClipModel& model, const Tensor& image, const Tensor& classifier);

/// The mean of each `count` consecutive rows, normalised: features [N·count, E] → [N, E].
Tensor mean_of_groups(Context& context, const Tensor& features, int64_t count);

/// image [N, E], classifier [C, E], labels in [0, C). A picture's class is that of the most similar row; if
/// several are equally similar, the first.
ClassificationMetrics zero_shot_metrics(Context& context, const Tensor& image, const Tensor& classifier,
                                        std::span<const int32_t> labels);

}  // namespace cuclip
