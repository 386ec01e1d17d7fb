// cuclip::Classifier, of cuclip/cuclip.h.
#include <fmt/core.h>

#include "models/api/clip_impl.h"
#include "models/inference/zero_shot.h"

namespace cuclip {
struct [[gnu::visibility("hidden")]] Classifier::Impl {
  Impl(std::shared_ptr<const Clip::Impl> of, std::span<const std::string> of_labels,
       std::span<const std::string> templates)
      : clip(std::move(of)), labels(of_labels.begin(), of_labels.end()), rows(encode_labels(templates)) {}

  Tensor encode_labels(std::span<const std::string> templates) const;
  std::vector<LabelProbability> rank(const ClipModel& model, const Tensor& picture) const;
  std::vector<LabelProbability> classify(const Pictures& picture) const;

  const std::shared_ptr<const Clip::Impl> clip;
  const std::vector<std::string> labels;
  const Tensor rows;  // one for each label, where the model runs
};

Tensor Classifier::Impl::encode_labels(std::span<const std::string> templates) const {
  CUCLIP_CHECK(!labels.empty(), "classify: expected labels, got none");
  require_texts(labels, "classify: label");
  require_texts(templates, "classify: template");
  for (size_t i = 0; i < templates.size(); ++i)
    require_placeholder(templates[i], fmt::format("classify: template {}", i));
  const std::vector<std::string> usual = load_templates("simple");
  const Clip::Impl::Lease worker(*clip);
  Tensor encoded = zero_shot_classifier(worker->model, clip->loaded.tokenizer(), labels,
                                        templates.empty() ? usual : templates);
  worker.share();
  return encoded;
}

std::vector<LabelProbability> Classifier::Impl::rank(const ClipModel& model, const Tensor& picture) const {
  std::vector<LabelProbability> ranked;
  for (const LabelScore& score : rank_labels(model, picture, rows)) {
    const auto place = static_cast<size_t>(score.label);
    ranked.push_back({.label = labels[place],
                      .index = place,
                      .probability = score.probability,
                      .similarity = score.similarity});
  }
  return ranked;
}

std::vector<LabelProbability> Classifier::Impl::classify(const Pictures& picture) const {
  const Clip::Impl::Lease worker(*clip);
  return rank(worker->model, clip->encode(worker->model, picture));
}

Classifier::Classifier(const Clip& clip, ListOf<std::string> labels, ListOf<std::string> templates)
    : impl_(std::make_shared<const Impl>(clip.impl_, labels, templates)) {}
Classifier::Classifier(const Classifier&) = default;
Classifier& Classifier::operator=(const Classifier&) = default;
Classifier::~Classifier() = default;

const std::vector<std::string>& Classifier::labels() const { return impl_->labels; }

Features Classifier::features() const { return features_of(impl_->rows); }

std::vector<LabelProbability> Classifier::classify(const std::filesystem::path& picture) const {
  return impl_->classify(Pictures(std::span(&picture, 1)));
}

std::vector<LabelProbability> Classifier::classify(const RgbView& picture) const {
  return impl_->classify(Pictures(std::span(&picture, 1)));
}

std::vector<LabelProbability> Classifier::classify(std::span<const float> feature) const {
  const Clip::Impl::Lease worker(*impl_->clip);
  return impl_->rank(worker->model, row_of(worker->context, feature, impl_->rows.size(1), "classify"));
}

}  // namespace cuclip
