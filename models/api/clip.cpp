// cuclip::Clip, of cuclip/cuclip.h.
#include <fmt/core.h>

#include "kernels/similarity/similarity.h"
#include "models/api/clip_impl.h"
#include "models/image/image_decode.h"
#include "models/inference/encode.h"

namespace cuclip {
Clip::Clip(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Clip::Clip(const Clip&) = default;
Clip& Clip::operator=(const Clip&) = default;
Clip::~Clip() = default;

Clip Clip::load(const std::string& model, const LoadOptions& options) {
  const GpuScope restored(kCurrentGpu);  // options may choose another
  return Clip(std::make_shared<const Impl>(model, options));
}

size_t Clip::dimensions() const { return static_cast<size_t>(impl_->loaded.model->config().embed_dim); }

const std::string& Clip::description() const { return impl_->loaded.description; }

float Clip::logit_scale() const { return impl_->loaded.model->logit_scale(); }

size_t Clip::image_width() const {
  return static_cast<size_t>(impl_->loaded.model->config().representation_width());
}

size_t Clip::text_width() const { return static_cast<size_t>(impl_->loaded.model->config().text.width); }

size_t Clip::context_length() const {
  return static_cast<size_t>(impl_->loaded.model->config().text.context_length);
}

Features Clip::encode_images(ListOf<std::filesystem::path> files) const {
  return impl_->features(Pictures(files));
}

Features Clip::encode_images(ListOf<RgbView> pictures) const { return impl_->features(Pictures(pictures)); }

ReadableImages Clip::encode_readable_images(ListOf<std::filesystem::path> files) const {
  const std::span<const std::filesystem::path> all = files;
  ReadableImages result{.features = Features({}, dimensions()), .places = {}, .unreadable = {}};
  if (all.empty()) return result;
  const Impl::Lease worker(*impl_);
  const EncodedPictures encoded = encode_pictures(
      worker->model, std::ssize(all), [&](int64_t i) { return load_image(all[static_cast<size_t>(i)]); }, {},
      FeatureKind::unit, UnreadablePictures::pass_over_all);
  if (!encoded.kept.empty()) result.features = features_of(encoded.features);
  result.places.assign(encoded.kept.begin(), encoded.kept.end());
  for (const UnreadablePicture& picture : encoded.unreadable) {
    result.unreadable.push_back({.place = static_cast<size_t>(picture.index), .reason = picture.reason});
    impl_->note({"passed over: " + picture.reason});
  }
  impl_->note(encoded.damaged);
  return result;
}

Features Clip::encode_texts(ListOf<std::string> texts) const {
  const std::span<const std::string> all = texts;
  require_texts(all, "encode: text");
  if (all.empty()) return Features({}, dimensions());
  const Impl::Lease worker(*impl_);
  return features_of(cuclip::encode_texts(worker->model, impl_->loaded.tokenizer(), all));
}

Representations Clip::represent_images(ListOf<std::filesystem::path> files, const std::string& kind) const {
  return impl_->represent(Pictures(files), kind);
}

Representations Clip::represent_images(ListOf<RgbView> pictures, const std::string& kind) const {
  return impl_->represent(Pictures(pictures), kind);
}

Representations Clip::represent_texts(ListOf<std::string> texts, const std::string& kind) const {
  const std::span<const std::string> all = texts;
  const auto wanted = parse_word<FeatureKind>("kind", kind);
  require_texts(all, "represent: text");
  if (all.empty()) return {};
  const Impl::Lease worker(*impl_);
  return representations_of(cuclip::encode_texts(worker->model, impl_->loaded.tokenizer(), all, {}, wanted));
}

Representations Clip::hidden_states(ListOf<std::string> texts, const HiddenStates& which) const {
  const std::span<const std::string> all = texts;
  const HiddenStateOptions options{.layer = parse_word<TextLayer>("layer", which.layer),
                                   .final_norm = which.final_norm};
  const auto padding = parse_word<TextPadding>("padding", which.padding);
  require_texts(all, "hidden states: text");
  if (all.empty()) return {};
  const Impl::Lease worker(*impl_);
  return representations_of(
      encode_hidden_states(worker->model, impl_->loaded.tokenizer(), all, options, padding));
}

std::vector<float> Clip::similarity(const Features& a, const Features& b) const {
  CUCLIP_CHECK(a.dimensions() == b.dimensions(),
               "similarity: expected features of as many dimensions, got {} and {}", a.dimensions(),
               b.dimensions());
  if (a.size() == 0 || b.size() == 0) return {};
  const Impl::Lease worker(*impl_);
  Context& context = worker->context;
  const Tensor left = tensor_of(context, a), right = tensor_of(context, b);
  const Tensor all = Tensor::empty(context, {left.size(0), right.size(0)}, DType::f32);
  cosine_similarity({.a = left, .b = right, .out = all}, context.exec());
  return all.to_floats();
}

std::vector<LabelProbability> Clip::classify(const std::filesystem::path& picture, ListOf<std::string> labels,
                                             ListOf<std::string> templates) const {
  return Classifier(*this, labels, templates).classify(picture);
}

std::vector<LabelProbability> Clip::classify(const RgbView& picture, ListOf<std::string> labels,
                                             ListOf<std::string> templates) const {
  return Classifier(*this, labels, templates).classify(picture);
}

}  // namespace cuclip
