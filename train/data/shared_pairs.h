// Pairs that two data sets have in common.
#pragma once

#include <cstdint>

#include "train/data/dataset.h"

namespace cuclip {

/// How many samples of `held_out` are in `train` as well: under the same key, with the same picture, byte for
/// byte, and the same captions. Reads only those whose key and picture's size agree; a copy under another
/// name is not found.
int64_t shared_pairs(const Dataset& train, const Dataset& held_out);

}  // namespace cuclip
