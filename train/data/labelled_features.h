// Features of pictures that have a class each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/inference/encode.h"
#include "models/inference/labelled_pictures.h"
#include "models/inference/linear_probe.h"

namespace cuclip {

struct LabelledFeatures {
  ProbeSamples samples;                   // FeatureKind::pooled
  std::vector<std::string> classes;       // names, by label
  std::vector<std::string> class_labels;  // as the source calls them
  std::vector<UnreadablePicture> unreadable;
  std::vector<std::string> damaged;
};

/// Encodes the pictures that can be read, as encode_picture_files does. Throws InputError if none can.
LabelledFeatures encode_labelled(const ClipModel& model, const LabelledPictures& pictures,
                                 const EncodeProgress& progress = {}, const PictureChange& change = {});

/// The same of `count` pictures of synthetic:shapes, each of one object; its class is its colour and object,
/// 84 of them if there are enough pictures. Seed and count determine them.
LabelledFeatures encode_synthetic_labelled(const ClipModel& model, int64_t count, uint64_t seed,
                                           const EncodeProgress& progress = {});

/// Gives the samples of `test` the classes of `train`, by what the sources call them. Throws InputError for a
/// class that has none of this name.
void use_classes_of(const LabelledFeatures& train, LabelledFeatures& test);

}  // namespace cuclip
