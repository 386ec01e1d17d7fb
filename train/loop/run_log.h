// What a training run says while it trains: the lines of metrics.jsonl and eval.jsonl and those on standard
// error, and what is done about steps that are skipped because the loss or a gradient is not finite.
#pragma once

#include <cstdint>
#include <string>

#include "models/inference/retrieval.h"
#include "train/loop/checkpoint.h"
#include "train/loop/progress.h"
#include "train/loop/run_folder.h"
#include "train/loop/train_step.h"

namespace cuclip {

/// What a user may try where the loss does not stay finite.
inline constexpr const char* kUnstableAdvice = "Try a smaller --lr, --grad-clip-norm 1 or a longer --warmup";

class RunLog {
 public:
  /// `folder` must outlive the log; without one it neither writes nor says anything: another rank's does.
  /// `first` steps are already done, `last` is the end.
  RunLog(const RunFolder* folder, int64_t first, int64_t last);

  /// Prints a message on a line of its own.
  void note(const std::string& message) {
    if (folder_ != nullptr) progress_.note(message);
  }

  /// A step has begun with so many samples, for which it waited so many seconds: the next line's throughput.
  void count_samples(int64_t samples, double waited);

  /// The step whose result is logged.
  struct Place {
    int64_t step = 0;
    double epoch = 0;
    double lr = 0;
  };
  void step(const Place& place, const StepResult& result);
  /// Throughput is that of training: what an evaluation took is not in the next line.
  void evaluation(int64_t step, const RetrievalMetrics& metrics);

  /// To be called with each result that is read. Adds the steps that were skipped since the one before to
  /// `state` and says so. Throws Error, which names `last_checkpoint`, when so many were skipped in a row
  /// that the run will not recover by itself.
  void count_skipped(const StepResult& result, TrainState& state,
                     const std::filesystem::path& last_checkpoint);
  /// How many steps up to the latest that was counted were skipped.
  int64_t skipped_in_a_row() const { return skipped_in_a_row_; }

 private:
  // Since the last line of metrics.jsonl.
  struct Window {
    double start = 0;
    double waited = 0;
    int64_t samples = 0;
  };

  const RunFolder* folder_;
  Progress progress_;
  Window window_;
  int64_t skipped_steps_ = 0;  // of this process
  int64_t skipped_in_a_row_ = 0;
};

}  // namespace cuclip
