// Pairs for evaluation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/image/image_transform.h"
#include "models/inference/retrieval.h"
#include "train/data/dataset.h"
#include "train/data/sample.h"

namespace cuclip {

/// A data set for evaluation, decoded whole: through the evaluation transform in order, without augmentation.
struct EvalData : CaptionedPictures {
  std::vector<std::string> keys;
  BadSamples bad;
};

/// Reads at most `limit` samples (0: all) on `threads` threads. Throws InputError if none is good, or if more
/// than max_bad_fraction of them are bad.
EvalData load_eval_data(const Dataset& dataset, const EvaluationTransform& transform, int threads = 1,
                        int64_t limit = 0, double max_bad_fraction = 0.1);

/// Throws InputError if more than max_bad_fraction are bad of the `read` samples and of those that the data
/// set itself left out; `bad` has both kinds.
void check_bad_fraction(const Dataset& dataset, const BadSamples& bad, int64_t read, double max_bad_fraction);

}  // namespace cuclip
