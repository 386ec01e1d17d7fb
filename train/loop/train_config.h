// Everything that decides a training run.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/device_choice.h"
#include "core/precision.h"
#include "core/words.h"

namespace cuclip {

/// Whose products of matrices run on CUDA: our kernels', or cuBLASLt's where they compute the same.
enum class MatrixProducts { cuclip, cublaslt };
template <>
inline constexpr std::array<std::string_view, 2> kWords<MatrixProducts>{"cuclip", "cublaslt"};

/// Each has its flag, range and help in train_settings.h. Names and defaults follow open_clip's command line
/// where it has the setting.
struct TrainConfig {
  // Model and data.
  std::string model = "cuclip-small";  // a built-in name or a JSON file
  std::string pretrained;              // safetensors to start from
  std::string tokenizer;               // merges file; empty: learned from the training captions
  std::string train_data;
  std::string val_data;
  std::string csv_image_key;
  std::string csv_caption_key;
  std::string csv_separator;
  double max_bad_fraction = 0.1;

  // Optimisation.
  int64_t batch_size = 256;
  int64_t accum_freq = 1;
  int64_t leaves = 0;  // 0: choose_leaves (leaves.h)
  int64_t epochs = 32;
  int64_t max_steps = 0;  // 0: all epochs
  double lr = 5e-4;
  double beta1 = 0.9;
  double beta2 = 0;  // 0: choose_by_encoder
  double eps = 0;    // 0: choose_by_encoder
  double wd = 0.2;
  int64_t warmup = -1;  // steps; -1: a tenth of the run
  double grad_clip_norm = 0;
  bool mask_duplicates = false;
  Precision precision = Precision::fp32;
  bool grad_checkpointing = false;
  bool lock_image = false;
  int64_t seed = 0;

  // Augmentation.
  double aug_scale_min = 0.9;
  double aug_scale_max = 1.0;
  double hflip = 0.0;
  double caption_augment = 0.0;
  double force_patch_dropout = 0.0;

  // The run.
  std::string out;
  std::string resume;               // "latest" or a checkpoint's folder
  bool allow_changed_data = false;  // resume with different training data, starting with the next epoch
  int64_t save_frequency = 1;       // epochs
  int64_t save_every_steps = 0;
  bool delete_previous_checkpoint = false;
  int64_t val_frequency = 1;  // epochs
  int64_t eval_every_steps = 0;
  int64_t log_every_n_steps = 10;
  int64_t workers = 1;
  int64_t threads = 0;
  DeviceChoice device;
  MatrixProducts gemm = MatrixProducts::cuclip;

  int64_t ranks = 1;  // processes that train together: the launcher's word, not a setting

  /// Of all ranks.
  int64_t pairs_per_step() const { return batch_size * accum_freq * ranks; }
  /// Batches of the loader's in a step: with leaves it makes a step's pairs as one batch, of which each rank
  /// has a part.
  int64_t batches_per_step() const { return leaves > 1 ? 1 : accum_freq; }
  int64_t pairs_per_batch() const { return pairs_per_step() / batches_per_step(); }
};

/// The settings that decide the numbers, as "name: value" lines: a resumed run must agree on all of them. The
/// data is compared by its fingerprint. Where it lies, how much is logged, threads and --max-steps may
/// differ.
std::vector<std::pair<std::string, std::string>> identity(const TrainConfig& config);

/// beta2 and eps that are 0 become those of the image encoder: .98 and 1e-6 for a vision transformer, .999
/// and 1e-8 for a modified ResNet, as in open_clip (Radford et al. 2021, table 18).
void choose_by_encoder(TrainConfig& config, bool resnet);

/// Throws InputError for a value out of range, naming the flag.
void validate(const TrainConfig& config);

}  // namespace cuclip
