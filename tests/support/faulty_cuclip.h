// cuclip on a disk that fails, or killed in the middle of its writing (tests/faults/system_faults.cpp); and
// the small training run that is treated so.
#pragma once

#include <string>
#include <vector>

#include "tests/support/command.h"

namespace cuclip::test {

/// What happens to the calls on files under `under` (an absolute path, or a part of one).
struct SystemFault {
  std::string under;
  std::string calls = "create,mkdir,write,fsync,close,rename,exchange,unlink,truncate";
  // "kill", "ENOSPC", "EIO", ...; "rewrite", "vanish": what others do to the file; empty: the calls are only
  // listed
  std::string how = "";
  int64_t failing_call = 0;  // the one of them that goes wrong, from 1 on
  bool for_ever = false;     // so do all that follow
  std::string log = "";      // file for the list of calls
};

/// Runs the built cuclip with that fault.
CommandResult run_faulty_cuclip(const SystemFault& fault, const std::vector<std::string>& arguments);

/// The calls that this command makes, in order, without any fault. Throws if it fails.
std::vector<std::string> calls_of(const SystemFault& fault, const std::vector<std::string>& arguments);

/// A model of 0.03 M parameters that learns synthetic pictures: a step and a checkpoint take milliseconds.
/// reference/ is a run of three steps with a checkpoint of each, base/ one that stopped after the first.
class SmallRuns {
 public:
  SmallRuns();

  /// The arguments that take `run` to `max_steps`, a checkpoint each step, keeping the newest.
  std::vector<std::string> arguments(const std::string& run, int64_t max_steps, bool resume = true) const;
  /// A copy of base/ under this name, instead of what was there.
  std::string copy_of_base(const std::string& name) const;
  /// Requires that the run has a newest checkpoint, the same as the reference's of that step in every bit,
  /// and no more than two. Returns its step.
  int64_t check_newest(const std::string& run) const;
  /// Requires that nothing is in the run but what belongs there.
  static void check_tidy(const std::string& run);
  /// Takes the run to its third step and requires that all is as if nothing had happened: checkpoint, log, no
  /// leftovers.
  void check_goes_on(const std::string& run) const;

  const TemporaryFolder folder;
};

/// Requires the same weights, moments, tokeniser and state, except for the times.
void check_same_checkpoint(const std::filesystem::path& found, const std::filesystem::path& expected);

/// True unless the call is one of many writes to one file, and neither the first nor the last of them.
bool tells_something_new(const std::vector<std::string>& calls, int64_t at);

/// The run's step-N folders, by name.
std::vector<std::string> checkpoint_names(const std::string& run);

}  // namespace cuclip::test
