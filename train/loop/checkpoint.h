// Checkpoints: everything that a run needs to continue as if it had not stopped.
//
//   checkpoints/step-N/model.safetensors        weights, under open_clip's names
//                      optimizer.safetensors    the moments: exp_avg.NAME, exp_avg_sq.NAME
//                      state.json               where the run is, the settings it was started with, and the
//                                               fingerprint of its training data (data/fingerprint.h)
//                      open_clip_config.json    the model's shape
//                      tokenizer.txt.gz         its merges
//   latest                                      names the newest
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"
#include "train/data/fingerprint.h"
#include "train/loop/optimizer.h"

namespace cuclip {

/// Where a run is. Random numbers are counted, not drawn from a hidden state, so the seed and these say it
/// all.
struct TrainState {
  int64_t step = 0;             // steps taken, skipped ones included
  int64_t optimizer_steps = 0;  // those that changed the weights
  int64_t samples_seen = 0;
  int64_t skipped_steps = 0;
  int64_t epoch = 0;           // of the next batch
  int64_t batch_in_epoch = 0;  // of the next batch
  // The data that it is being trained on, and where it began with them: 0 and 0 unless the data was changed
  // on the way. None in checkpoints of versions that did not record it.
  std::optional<DatasetFingerprint> data = {};
  int64_t data_step = 0;
  int64_t data_epoch = 0;
  // What the run has cost so far; it has no influence on what follows.
  double train_seconds = 0;  // in steps, without evaluation and saving
  double wait_seconds = 0;   // of these, waiting for data
  double model_flops = 0;    // training_step_flops() of all steps
};

using Settings = std::vector<std::pair<std::string, std::string>>;

/// Writes checkpoints/step-N under `run`, completely or not at all, then points `latest` at it: whatever
/// `latest` names has reached the disk. Until then the work is in step-N.partial. Returns its folder. Throws
/// Error naming the file that could not be written.
std::filesystem::path save_checkpoint(const std::filesystem::path& run, const ClipModel& model,
                                      const Optimizer& optimizer, const Tokenizer& tokenizer,
                                      const TrainState& state, const Settings& settings);

/// Removes the checkpoints of `run` that are older than its checkpoint `newest`; does nothing if that belongs
/// to another run. A checkpoint that cannot be removed stays.
void remove_older_checkpoints(const std::filesystem::path& run, const std::filesystem::path& newest);

/// The step-N.partial and step-N.replaced folders of a run: what was being written, removed or replaced when
/// it was killed.
std::vector<std::filesystem::path> unfinished_checkpoints(const std::filesystem::path& run);

/// Gives each step-N.replaced its name again where there is no step-N: the run was killed, or failed, before
/// the new one was in place.
void restore_replaced_checkpoints(const std::filesystem::path& run);

/// Where the run was. Throws InputError for a damaged file.
TrainState read_train_state(const std::filesystem::path& checkpoint);

/// One of the settings that the run was started with. Where the checkpoint does not have it: `otherwise`, or
/// without one it throws InputError.
std::string read_setting(const std::filesystem::path& checkpoint, const std::string& name,
                         const std::optional<std::string>& otherwise = std::nullopt);

/// Throws InputError if the checkpoint was made with other settings, listing each with both values.
void check_settings(const std::filesystem::path& checkpoint, const Settings& settings);

/// Fills the model and the optimiser from a checkpoint, of which `state` is read_train_state's. Throws
/// InputError for a damaged file.
void load_checkpoint(const std::filesystem::path& checkpoint, const TrainState& state, ClipModel& model,
                     Optimizer& optimizer);

}  // namespace cuclip
