// The training loop: batches in, checkpoints and logs out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "train/loop/open_run.h"
#include "train/loop/run_log.h"
#include "train/loop/train_step.h"

namespace cuclip {

/// How a run ended. `signal` is the number of the signal that asked it to stop before its end: the step under
/// way was finished, an evaluation left out, and everything saved.
struct TrainOutcome {
  int64_t steps = 0;
  int64_t skipped_at_end = 0;  // steps in a row up to the last one whose loss or gradient was not finite
  int64_t saved_step = -1;     // of the newest checkpoint; -1: there is none
  int signal = 0;
};

class Trainer {
 public:
  /// Opens the run (open_run.h), and throws as that does, before anything is trained. Each rank has one.
  Trainer(const TrainConfig& config, const std::string& resolved_config,
          std::shared_ptr<Communicator> ranks = std::make_shared<SingleCommunicator>());

  /// Trains to the end, or until `interrupted()` returns a signal number, and keeps returning it. It is
  /// called before each step and every now and then in an evaluation; a signal to one rank stops all of them
  /// after the same step. `at` is told what the run is at: "training", "evaluating" or "saving". Throws Error
  /// when the loss stays not finite.
  using At = std::function<void(int64_t step, const char* what)>;
  TrainOutcome run(
      const std::function<int()>& interrupted, const At& at = [](int64_t, const char*) {});

 private:
  void take_step();
  bool log_due() const;
  void read_result();
  void after_step(const std::function<int()>& interrupted);
  enum class Save { on_the_way, at_the_end };
  void save(Save when);
  void write_checkpoint(bool only_newest);
  int evaluate(const std::function<int()>& interrupted);

  std::unique_ptr<OpenedRun> run_;
  TrainStep step_;
  std::optional<RunLog> log_;  // of run()
  At at_;                      // run()'s
  int64_t evaluated_step_ = -1;
  int64_t read_step_ = -1;  // the latest step whose result is known
  bool said_kernels_ = false;
};

}  // namespace cuclip
