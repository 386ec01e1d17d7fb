// Zero-shot classification: classes described in words (Radford et al. 2021, 3.1).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// "simple": "a photo of a {}."; "openai7": the seven templates that OpenAI found to be enough for ImageNet;
/// "none": the class names as they are; anything else is a file with one template per line, each with {} for
/// the class's name ("-": standard input). Throws InputError.
std::vector<std::string> load_templates(const std::string& spec);

/// The template with every {} replaced by the name.
std::string fill_template(const std::string& pattern, const std::string& name);

/// f32 [classes.size(), E], rows of unit length: for each class the mean of the unit features of all filled
/// templates, normalised.
Tensor zero_shot_classifier(const Clip& model, const Tokenizer& tokenizer,
                            std::span<const std::string> classes, std::span<const std::string> templates);

/// The mean of each `count` consecutive rows, normalised: features [N·count, E] → [N, E].
Tensor mean_of_groups(Context& context, const Tensor& features, int64_t count);

struct ZeroShotMetrics {
  int64_t pictures = 0;
  double top1 = 0, top5 = 0;           // shares of pictures
  double mean_per_class = 0;           // top-1 accuracy averaged over the classes that have pictures
  std::vector<double> class_accuracy;  // top-1, of each class; NaN where it has no picture
  std::vector<int64_t> class_pictures;
};

/// image [N, E], classifier [C, E], labels in [0, C). A picture's class is that of the most similar row; if
/// several are equally similar, the first.
ZeroShotMetrics zero_shot_metrics(Context& context, const Tensor& image, const Tensor& classifier,
                                  std::span<const int32_t> labels);

}  // namespace cuclip
