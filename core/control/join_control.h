// The control channel of the run that this process was launched for.
#pragma once

#include <memory>

#include "core/communicator.h"
#include "core/control_channel.h"
#include "core/launcher.h"

namespace cuclip {

/// For a run of more than one rank; returns when all have come. Under mpirun rank 0 tells the others by
/// `messages` where it listens; elsewhere the launch says it, and `messages` may be null. Throws as
/// gather_ranks and reach_rank_0 do (join.h).
std::unique_ptr<ControlChannel> join_control(const Launch& launch, Communicator* messages,
                                             const ControlOptions& options);

}  // namespace cuclip
