// Ranks of a run as threads of one process, so that what ranks do together is tested without a launcher.
#pragma once

#include <functional>

#include "core/communicator.h"

namespace cuclip::test {

/// Calls `rank` for each of `size` ranks, each on a thread of its own with its own communicator. If one of
/// them throws, the others' exchanges throw OtherRankFailed, and what it threw is thrown here.
void run_ranks(int size, const std::function<void(Communicator&)>& rank);

}  // namespace cuclip::test
