#include "models/inference/zero_shot.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/words.h"
#include "kernels/similarity/similarity.h"
#include "models/files/names.h"
#include "models/files/text_file.h"
#include "models/inference/encode.h"
#include "models/inference/openai_templates.h"
#include "models/text/text_cleaning.h"

namespace cuclip {
namespace {
enum class TemplateSet { none, simple, openai7, openai80 };
}  // namespace
template <>
inline constexpr std::array<std::string_view, 4> kWords<TemplateSet>{"none", "simple", "openai7", "openai80"};

namespace {

constexpr std::string_view kPlaceholder = "{}";

std::vector<std::string> templates_of_file(const std::string& path) {
  std::vector<std::string> templates = read_lines(path);
  for (const std::string& line : templates) require_placeholder(line, text_name(path));
  return templates;
}

std::vector<std::string> templates_of(TemplateSet set) {
  switch (set) {
    case TemplateSet::none:
      return {"{}"};
    case TemplateSet::simple:
      return {"a photo of a {}."};
    case TemplateSet::openai80:
      return {openai_templates().begin(), openai_templates().end()};
    case TemplateSet::openai7:
      break;
  }
  return {"itap of a {}.",           "a bad photo of the {}.",
          "a origami {}.",           "a photo of the large {}.",
          "a {} in a video game.",   "art of the {}.",
          "a photo of the small {}."};
}

}  // namespace

std::vector<std::string> load_templates(const std::string& spec) {
  if (const auto set = find_word<TemplateSet>(spec)) return templates_of(*set);
  return templates_of_file(spec);
}

void require_placeholder(const std::string& pattern, const std::string& what) {
  CUCLIP_CHECK(pattern.find(kPlaceholder) != pattern.npos,
               "{}: a template needs {{}} where the class's name goes, found \"{}\"", what, pattern);
}

std::string fill_template(const std::string& pattern, const std::string& name) {
  std::string text;
  size_t start = 0;
  for (size_t at; (at = pattern.find(kPlaceholder, start)) != pattern.npos;
       start = at + kPlaceholder.size()) {
    text.append(pattern, start, at - start).append(name);
    CUCLIP_CHECK(text.size() <= kMaxTextBytes,
                 "the template \"{}\", filled with the name \"{}\", is a text of more than {} bytes; shorten "
                 "one of them",
                 shortened_name(pattern), shortened_name(name), kMaxTextBytes);
  }
  return text.append(pattern, start);
}

void require_distinct_classes(std::span<const std::string> names, std::span<const std::string> labels,
                              const std::string& what) {
  std::map<std::string, size_t> first;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [before, added] = first.emplace(clean_caption(names[i]), i);
    CUCLIP_CHECK(
        added,
        "{}: \"{}\" and \"{}\" are one class to a model: prompts call both \"{}\"; leave one out, or "
        "give them different names",
        what, shortened_name(labels[before->second]), shortened_name(labels[i]),
        shortened_name(before->first));
  }
}

Tensor mean_of_groups(Context& context, const Tensor& features, int64_t count) {
  CUCLIP_CHECK(count >= 1 && features.size(0) % count == 0, "mean_of_groups: {} rows are not groups of {}",
               features.size(0), count);
  const int64_t groups = features.size(0) / count, width = features.size(1);
  const Tensor on_host = features.to(context.host());
  const Tensor sum = Tensor::zeros(context.host(), {groups, width}, DType::f32);
  const float* in = on_host.data<float>();
  float* out = sum.data<float>();
  for (int64_t row = 0; row < features.size(0); ++row) {
    for (int64_t c = 0; c < width; ++c) out[row / count * width + c] += in[row * width + c];
  }
  const Tensor mean = sum.to(context);
  // The sum's direction is the mean's.
  const Tensor rnorm = Tensor::empty(context, {groups}, DType::f32);
  l2_normalize_forward({.x = mean, .y = mean, .rnorm = rnorm}, context.exec());
  return mean;
}

Tensor zero_shot_classifier(const ClipModel& model, const Tokenizer& tokenizer,
                            std::span<const std::string> classes, std::span<const std::string> templates) {
  CUCLIP_CHECK(!classes.empty() && !templates.empty(),
               "zero-shot: expected at least one class and one template, found {} and {}", classes.size(),
               templates.size());
  std::vector<std::string> prompts;
  for (const std::string& name : classes) {
    for (const std::string& pattern : templates) prompts.push_back(fill_template(pattern, name));
  }
  return mean_of_groups(model.context(), encode_texts(model, tokenizer, prompts), std::ssize(templates));
}

std::vector<LabelScore> rank_labels(const ClipModel& model, const Tensor& image, const Tensor& classifier) {
  Context& context = model.context();
  const Tensor scores = Tensor::empty(context, {1, classifier.size(0)}, DType::f32);
  cosine_similarity({.a = image, .b = classifier, .out = scores}, context.exec());
  const std::vector<float> similarities = scores.to_floats();
  const float scale = model.logit_scale();
  const float highest = *std::max_element(similarities.begin(), similarities.end());
  std::vector<LabelScore> ranked;
  double sum = 0;
  for (const float s : similarities) {
    const double unnormalised = std::exp(static_cast<double>(scale * (s - highest)));
    ranked.push_back({.label = std::ssize(ranked), .similarity = s, .probability = unnormalised});
    sum += unnormalised;
  }
  for (LabelScore& label : ranked) label.probability /= sum;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const LabelScore& a, const LabelScore& b) { return a.similarity > b.similarity; });
  return ranked;
}

ClassificationMetrics zero_shot_metrics(Context& context, const Tensor& image, const Tensor& classifier,
                                        std::span<const int32_t> labels) {
  const int64_t n = image.size(0), classes = classifier.size(0), k = std::min<int64_t>(5, classes);
  CUCLIP_CHECK(std::ssize(labels) == n && n > 0, "zero-shot: {} labels for {} pictures", labels.size(), n);
  const Tensor values = Tensor::empty(context, {n, k}, DType::f32);
  const Tensor best = Tensor::empty(context, {n, k}, DType::i32);
  top_k({.a = image, .b = classifier, .k = k, .values = values, .indices = best}, context.exec());
  const Tensor on_host = best.to(context.host());
  return classification_metrics({on_host.data<int32_t>(), static_cast<size_t>(n * k)}, labels, classes);
}

}  // namespace cuclip
