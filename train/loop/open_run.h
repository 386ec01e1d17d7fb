// What a training run is made of. It is opened as a whole: whatever is wrong with the settings, the data, the
// checkpoint or the folder is found before anything is trained.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "core/communicator.h"
#include "core/context.h"
#include "models/clip/clip.h"
#include "models/text/tokenizer.h"
#include "train/data/eval_data.h"
#include "train/data/loader.h"
#include "train/loop/checkpoint.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/optimizer.h"
#include "train/loop/run_folder.h"
#include "train/loop/train_config.h"

namespace cuclip {

/// A run's newest checkpoint.
struct SavedCheckpoint {
  std::filesystem::path folder = {};  // empty: there is none
  int64_t step = -1;
};

/// Its members refer to each other: neither copied nor moved.
struct OpenedRun {
  /// Chooses the device; open_run does the rest.
  OpenedRun(const TrainConfig& settings, std::shared_ptr<Communicator> ranks);

  TrainConfig config;
  std::shared_ptr<Communicator> ranks;
  std::optional<RunFolder> folder = {};  // rank 0's alone, which writes it
  Context context;
  ClipConfig clip_config = {};
  std::unique_ptr<Dataset> train_data = {}, val_data = {};  // val_data: none without --val-data
  int64_t steps_per_epoch = 0;
  TrainState state = {};  // where the run is: at step 0, or where the checkpoint was
  SavedCheckpoint newest = {};
  LrSchedule schedule = {};
  std::optional<Tokenizer> tokenizer = {};
  std::unique_ptr<ClipModel> model = {};
  std::unique_ptr<Optimizer> optimizer = {};
  std::unique_ptr<Loader> loader = {};
  std::optional<EvalData> eval_data = {};

  bool first_rank() const { return ranks->rank() == 0; }
  /// Of this rank's part of a batch.
  int64_t first_place() const { return ranks->rank() * (config.pairs_per_batch() / ranks->size()); }
  /// The step that the run ends with.
  int64_t last_step() const;
  /// Every rank calls it; throws where one has other weights (check_same in core/together.h).
  void check_same_weights() const;
  /// Passes over the data so far.
  double epochs_done() const;
};

/// Opens the data, then makes the model or resumes it; the folder is locked as long as the run is open. Every
/// rank calls it, with the same settings and data; rank 0 prints what there is to say on standard error and
/// writes `resolved_config` to config.toml. Throws InputError for wrong settings or inputs, also where those
/// of the ranks differ, Error if the folder cannot be written, and OtherRankFailed (core/together.h).
std::unique_ptr<OpenedRun> open_run(
    const TrainConfig& config, const std::string& resolved_config,
    std::shared_ptr<Communicator> ranks = std::make_shared<SingleCommunicator>());

}  // namespace cuclip
