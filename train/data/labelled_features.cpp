#include "train/data/labelled_features.h"

#include <map>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "train/data/synthetic.h"

namespace cuclip {
namespace {

void take_features(EncodedPictures&& encoded, std::span<const int32_t> labels, LabelledFeatures& result) {
  result.samples.features = encoded.features.to_floats();
  result.samples.width = encoded.features.size(1);
  for (const int64_t i : encoded.kept) result.samples.labels.push_back(labels[static_cast<size_t>(i)]);
  result.unreadable = std::move(encoded.unreadable);
  result.damaged = std::move(encoded.damaged);
}

}  // namespace

LabelledFeatures encode_labelled(const ClipModel& model, const LabelledPictures& pictures,
                                 const EncodeProgress& progress, const PictureChange& change) {
  LabelledFeatures result;
  result.classes = pictures.classes;
  result.class_labels = pictures.class_labels;
  take_features(encode_picture_files(model, pictures.files, progress, FeatureKind::pooled, change),
                pictures.labels, result);
  return result;
}

LabelledFeatures encode_synthetic_labelled(const ClipModel& model, int64_t count, uint64_t seed,
                                           const EncodeProgress& progress) {
  const SyntheticEvalSet set =
      synthetic_eval_set(SyntheticQuestion::seen, count, model.config().vision.image_size, seed);
  // All prompts are choices; classes are those that a picture shows.
  std::map<std::string, int32_t> classes;
  for (const int32_t prompt : set.labels) classes[set.prompts[static_cast<size_t>(prompt)]] = 0;
  LabelledFeatures result;
  for (auto& [name, label] : classes) {
    label = static_cast<int32_t>(result.classes.size());
    result.classes.push_back(name);
  }
  result.class_labels = result.classes;
  std::vector<int32_t> labels;
  for (const int32_t prompt : set.labels)
    labels.push_back(classes.at(set.prompts[static_cast<size_t>(prompt)]));
  const auto load = [&](int64_t i) { return set.images[static_cast<size_t>(i)]; };
  take_features(encode_pictures(model, count, load, progress, FeatureKind::pooled), labels, result);
  return result;
}

void use_classes_of(const LabelledFeatures& train, LabelledFeatures& test) {
  std::map<std::string, int32_t> label_of;
  for (size_t c = 0; c < train.class_labels.size(); ++c)
    label_of.emplace(train.class_labels[c], static_cast<int32_t>(c));
  for (int32_t& label : test.samples.labels) {
    const std::string& name = test.class_labels[static_cast<size_t>(label)];
    const auto found = label_of.find(name);
    CUCLIP_CHECK(found != label_of.end(),
                 "linear probe: the class \"{}\" of the test pictures is not among the {} to learn; every "
                 "class needs a training picture",
                 shortened_name(name), train.class_labels.size());
    label = found->second;
  }
  test.classes = train.classes;
  test.class_labels = train.class_labels;
}

}  // namespace cuclip
