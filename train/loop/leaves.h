/// The leaves that a step's pairs are cut into: what is summed in the same order on any number of ranks.
#pragma once

#include <filesystem>

#include "train/loop/train_config.h"

namespace cuclip {

/// Where `config.leaves` is 0, it becomes that of the checkpoint that the run continues from (empty: none). A
/// new run has 1 for one rank; for more of them 8, so that 1, 2, 4 and 8 ranks compute the same, twice as
/// many as long as a leaf is more than --batch-size, or one for each batch of each rank where that does not
/// divide. Throws InputError where leaves, ranks and pairs do not divide, or are not the checkpoint's.
void choose_leaves(TrainConfig& config, const std::filesystem::path& checkpoint);

}  // namespace cuclip
