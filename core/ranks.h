// The processes that train together, as one of them sees them.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/communicator.h"
#include "core/control_channel.h"
#include "core/launcher.h"

namespace cuclip {

class Ranks {
 public:
  virtual ~Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  const Launch& launch() const { return launch_; }
  int rank() const { return launch_.rank; }
  int size() const { return launch_.size; }

  virtual Communicator& communicator() = 0;
  /// Null in a run of one rank.
  virtual ControlChannel* control() = 0;

  /// As the control channel's; in a run of one rank they do nothing.
  void at(int64_t step, std::string_view operation);
  void fail_run(std::string_view reason, int exit_code);

  /// The end of a run that has succeeded: returns when every rank has called it. Without it the other ranks
  /// are told that this one ended early.
  virtual void leave() = 0;

 protected:
  explicit Ranks(const Launch& launch) : launch_(launch) {}

 private:
  Launch launch_;
};

/// The run that this process was launched for, when all its ranks have come; one process alone starts nothing
/// and opens nothing. Throws InputError where it cannot compute with others (on the CPU they need mpirun) or
/// they are of another version, and Error where they cannot be reached.
std::unique_ptr<Ranks> join_ranks(const Launch& launch, const ControlOptions& options = {});

}  // namespace cuclip
