#include "models/inference/zero_shot.h"

#include <algorithm>

#include "core/words.h"
#include "kernels/similarity/similarity.h"
#include "models/files/text_file.h"
#include "models/inference/encode.h"

namespace cuclip {
namespace {
enum class TemplateSet { none, simple, openai7 };
}  // namespace
template <>
inline constexpr std::array<std::string_view, 3> kWords<TemplateSet>{"none", "simple", "openai7"};

namespace {

constexpr std::string_view kPlaceholder = "{}";

std::vector<std::string> templates_of_file(const std::string& path) {
  std::vector<std::string> templates = read_lines(path);
  for (const std::string& line : templates) {
    CUCLIP_CHECK(line.find(kPlaceholder) != line.npos,
                 "{}: a template needs {{}} where the class's name goes, found \"{}\"", text_name(path),
                 line);
  }
  return templates;
}

std::vector<std::string> templates_of(TemplateSet set) {
  switch (set) {
    case TemplateSet::none:
      return {"{}"};
    case TemplateSet::simple:
      return {"a photo of a {}."};
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

std::string fill_template(const std::string& pattern, const std::string& name) {
  std::string text = pattern;
  for (size_t at = text.find(kPlaceholder); at != text.npos; at = text.find(kPlaceholder, at + name.size())) {
    text.replace(at, kPlaceholder.size(), name);
  }
  return text;
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

Tensor zero_shot_classifier(const Clip& model, const Tokenizer& tokenizer,
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

ZeroShotMetrics zero_shot_metrics(Context& context, const Tensor& image, const Tensor& classifier,
                                  std::span<const int32_t> labels) {
  const int64_t n = image.size(0), classes = classifier.size(0), k = std::min<int64_t>(5, classes);
  CUCLIP_CHECK(std::ssize(labels) == n && n > 0, "zero-shot: {} labels for {} pictures", labels.size(), n);
  const Tensor values = Tensor::empty(context, {n, k}, DType::f32);
  const Tensor best = Tensor::empty(context, {n, k}, DType::i32);
  top_k({.a = image, .b = classifier, .k = k, .values = values, .indices = best}, context.exec());
  const Tensor on_host = best.to(context.host());
  ZeroShotMetrics metrics;
  metrics.pictures = n;
  metrics.class_accuracy.assign(static_cast<size_t>(classes), 0.0);
  metrics.class_pictures.assign(static_cast<size_t>(classes), 0);
  for (int64_t i = 0; i < n; ++i) {
    const int32_t label = labels[static_cast<size_t>(i)];
    CUCLIP_CHECK(label >= 0 && label < classes, "zero-shot: label {} of picture {}, there are {} classes",
                 label, i, classes);
    const int32_t* row = on_host.data<int32_t>() + i * k;
    const bool first = row[0] == label;
    metrics.top1 += first;
    metrics.top5 += std::find(row, row + k, label) != row + k;
    metrics.class_accuracy[static_cast<size_t>(label)] += first;
    metrics.class_pictures[static_cast<size_t>(label)]++;
  }
  metrics.top1 /= static_cast<double>(n);
  metrics.top5 /= static_cast<double>(n);
  int64_t seen = 0;
  for (size_t c = 0; c < metrics.class_accuracy.size(); ++c) {
    // A class without pictures has 0 / 0, which is NaN.
    metrics.class_accuracy[c] /= static_cast<double>(metrics.class_pictures[c]);
    if (metrics.class_pictures[c] == 0) continue;
    metrics.mean_per_class += metrics.class_accuracy[c];
    seen++;
  }
  metrics.mean_per_class /= static_cast<double>(seen);
  return metrics;
}

}  // namespace cuclip
