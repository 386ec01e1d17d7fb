// The training loop: batches in, checkpoints and logs out.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "models/text/tokenizer.h"
#include "train/data/eval_data.h"
#include "train/data/loader.h"
#include "train/loop/checkpoint.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/progress.h"
#include "train/loop/run_folder.h"
#include "train/loop/train_config.h"
#include "train/loop/train_step.h"

namespace cuclip {

/// How a run ended. `signal` is the number of the signal that asked it to stop before its end: the step under
/// way was finished, an evaluation left out, and everything saved.
struct TrainOutcome {
  int64_t steps = 0;
  int64_t saved_step = -1;  // of the newest checkpoint; -1: there is none
  int signal = 0;
};

class Trainer {
 public:
  /// Opens the data, makes or resumes the model. Throws InputError for wrong settings or inputs and Error if
  /// the run folder cannot be written, before anything is trained. `resolved_config` is written to
  /// config.toml.
  Trainer(const TrainConfig& config, const std::string& resolved_config);

  /// Trains to the end, or until `interrupted()` gives a signal's number, which it then goes on giving. It is
  /// asked before each step and every now and then in an evaluation. Throws Error when the loss stays not
  /// finite.
  TrainOutcome run(const std::function<int()>& interrupted);

 private:
  void open_data();
  void resume_data(const std::filesystem::path& checkpoint);
  void make_schedule();
  double epochs_done() const;
  void make_tokenizer(const std::filesystem::path& checkpoint);
  void make_model(const std::filesystem::path& checkpoint);
  void tidy(const std::filesystem::path& checkpoint);
  void make_loader();
  std::vector<MicroBatch> next_batches();
  MicroBatch to_tensors(const Batch& batch);
  void take_step();
  bool log_due() const;
  void read_result();
  void log_step(const StepResult& result);
  void refuse_endless_skipping(const StepResult& result);
  void after_step(const std::function<int()>& interrupted);
  void save();
  int evaluate(const std::function<int()>& interrupted);
  int64_t last_step() const;

  TrainConfig config_;
  RunFolder folder_;
  Context context_;
  ClipConfig clip_config_;
  std::unique_ptr<Dataset> train_data_, val_data_;
  std::optional<Tokenizer> tokenizer_;
  std::unique_ptr<Clip> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<TrainStep> step_;
  std::unique_ptr<Loader> loader_;
  std::optional<EvalData> eval_data_;
  LrSchedule schedule_;
  int64_t steps_per_epoch_ = 0;
  TrainState state_;
  std::filesystem::path previous_checkpoint_;
  int64_t saved_step_ = -1;
  int64_t evaluated_step_ = -1;
  int64_t read_step_ = -1;     // the latest step whose result is known
  int64_t skipped_steps_ = 0;  // of this process, up to there
  int64_t skipped_in_a_row_ = 0;
  bool said_kernels_ = false;
  std::unique_ptr<Progress> progress_;

  // Since the last line of metrics.jsonl.
  struct Window {
    double start = 0;
    double waited = 0;
    int64_t samples = 0;
  } window_;
};

}  // namespace cuclip
