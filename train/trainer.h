// The training loop: batches in, checkpoints and logs out.
#pragma once

#include <memory>
#include <optional>

#include "models/tokenizer.h"
#include "train/checkpoint.h"
#include "train/data/loader.h"
#include "train/lr_schedule.h"
#include "train/progress.h"
#include "train/run_folder.h"
#include "train/train_config.h"
#include "train/train_step.h"

namespace cuclip {

/// How a run ended. `signal` is SIGINT or SIGTERM where one asked it to stop: the step was finished and saved.
struct TrainOutcome {
  int64_t steps = 0;
  int signal = 0;
};

class Trainer {
 public:
  /// Opens the data, makes or resumes the model. Throws InputError for wrong settings or inputs, before anything is
  /// trained.
  explicit Trainer(const TrainConfig& config);
  ~Trainer();

  /// Trains to the end, or until `interrupted()` gives a signal's number.
  TrainOutcome run(const std::function<int()>& interrupted);

 private:
  void open_data();
  void make_model();
  void resume();
  std::vector<MicroBatch> next_batches();
  MicroBatch to_tensors(const Batch& batch);
  void log_step(const StepResult& result, double lr);
  void count_skipped(const StepResult& result);
  void save();
  void evaluate();
  void after_step();
  int64_t last_step() const;

  TrainConfig config_;
  RunFolder folder_;
  Context context_;
  ClipConfig clip_config_;
  std::unique_ptr<Dataset> train_data_, val_data_;
  std::optional<Tokenizer> tokenizer_;
  std::unique_ptr<Clip> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Loader> loader_;
  LrSchedule schedule_;
  int64_t steps_per_epoch_ = 0;
  TrainState state_;
  std::filesystem::path previous_checkpoint_;
  int64_t saved_step_ = -1;
  int64_t evaluated_step_ = -1;
  int64_t skipped_in_a_row_ = 0;
  // Since the last line of the log.
  double wait_seconds_ = 0;
  double window_start_ = 0;
  int64_t window_samples_ = 0;
  std::unique_ptr<Progress> progress_;
};

}  // namespace cuclip
