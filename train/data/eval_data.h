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

/// Reads at most `limit` samples (0: all) with `threads` threads. Throws InputError when none is good or more
/// than max_bad_fraction are bad.
EvalData load_eval_data(const Dataset& dataset, const EvaluationTransform& transform, int threads = 1,
                        int64_t limit = 0, double max_bad_fraction = 0.1);

}  // namespace cuclip
