// The table of what is measured.
#pragma once

#include <vector>

#include "bench/cuda/operations.h"

namespace cuclip::bench {

/// All operations at the sizes of CLIP models. `reduced`: at a few small sizes, for the emulator.
std::vector<Operation> operations(bool reduced);

}  // namespace cuclip::bench
