// Classifiers, of cuclip/cuclip_c.h.
#include <fmt/core.h>

#include <filesystem>

#include "models/api/c_support.h"

namespace cuclip {
namespace {

Classifier make_classifier(const cuclip_clip* clip, const char* const* labels, size_t label_count,
                           const char* const* templates, size_t template_count) {
  return Classifier(Handles::all().get(clip), strings(labels, label_count, "labels"),
                    strings(templates, template_count, "templates"));
}

void write_ranked(const std::vector<LabelProbability>& all, std::span<cuclip_label> out) {
  for (size_t i = 0; i < all.size(); ++i)
    out[i] = {.index = all[i].index, .probability = all[i].probability, .similarity = all[i].similarity};
}

template <typename Picture>
void rank(const cuclip_classifier* classifier, const Picture& picture, cuclip_label* ranked,
          size_t label_count) {
  const Classifier labels = Handles::all().get(classifier);
  CUCLIP_CHECK(label_count == labels.labels().size(),
               "ranked: expected an array for the classifier's {} labels, got one of {}",
               labels.labels().size(), label_count);
  const std::span<cuclip_label> out = array(ranked, label_count, "ranked");
  write_ranked(labels.classify(picture), out);
}

}  // namespace
}  // namespace cuclip

using namespace cuclip;

cuclip_status cuclip_classify_file(const cuclip_clip* clip, const char* file, const char* const* labels,
                                   size_t label_count, const char* const* templates, size_t template_count,
                                   cuclip_label* ranked) {
  return guarded([&] {
    const std::filesystem::path path = given(file, "file");
    const std::span<cuclip_label> out = array(ranked, label_count, "ranked");
    write_ranked(make_classifier(clip, labels, label_count, templates, template_count).classify(path), out);
  });
}

cuclip_status cuclip_classify_pixels(const cuclip_clip* clip, const cuclip_rgb* picture,
                                     const char* const* labels, size_t label_count,
                                     const char* const* templates, size_t template_count,
                                     cuclip_label* ranked) {
  return guarded([&] {
    const RgbView view = view_of(*given(picture, "picture"));
    const std::span<cuclip_label> out = array(ranked, label_count, "ranked");
    write_ranked(make_classifier(clip, labels, label_count, templates, template_count).classify(view), out);
  });
}

cuclip_status cuclip_classifier_new(const cuclip_clip* clip, const char* const* labels, size_t label_count,
                                    const char* const* templates, size_t template_count,
                                    cuclip_classifier** classifier) {
  return guarded([&] {
    *given(classifier, "classifier") = nullptr;
    *classifier = Handles::all().add(make_classifier(clip, labels, label_count, templates, template_count));
  });
}

cuclip_status cuclip_classifier_free(cuclip_classifier* classifier) {
  return guarded([&] {
    if (classifier) Handles::all().remove(classifier);
  });
}

cuclip_status cuclip_classifier_rank_file(const cuclip_classifier* classifier, const char* file,
                                          cuclip_label* ranked, size_t label_count) {
  return guarded([&] { rank(classifier, std::filesystem::path(given(file, "file")), ranked, label_count); });
}

cuclip_status cuclip_classifier_rank_pixels(const cuclip_classifier* classifier, const cuclip_rgb* picture,
                                            cuclip_label* ranked, size_t label_count) {
  return guarded([&] { rank(classifier, view_of(*given(picture, "picture")), ranked, label_count); });
}

cuclip_status cuclip_classifier_rank_feature(const cuclip_classifier* classifier, const float* feature,
                                             size_t dimensions, cuclip_label* ranked, size_t label_count) {
  return guarded([&] { rank(classifier, array(feature, dimensions, "feature"), ranked, label_count); });
}
