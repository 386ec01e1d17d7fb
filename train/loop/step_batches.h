// The batches of a training step, from the loader to what TrainStep takes.
#pragma once

#include <vector>

#include "train/loop/open_run.h"
#include "train/loop/train_step.h"

namespace cuclip {

/// The next --accum-freq batches in the host's memory, or with --leaves this rank's leaves of the next step,
/// with the tokens that --force-patch-dropout keeps. Waits for the loader.
std::vector<MicroBatch> next_step_batches(OpenedRun& run);

}  // namespace cuclip
