#include "train/loop/train_config.h"

#include <limits>

#include "kernels/common/check.h"
#include "models/files/names.h"

namespace cuclip {

std::vector<std::pair<std::string, std::string>> identity(const TrainConfig& c) {
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  // Checkpoints keep them as JSON, which cannot hold bytes that are not valid UTF-8.
  return {{"model", escaped_name(c.model)},
          {"pretrained", escaped_name(c.pretrained)},
          {"tokenizer", escaped_name(c.tokenizer)},
          {"batch-size", text(c.batch_size)},
          {"accum-freq", text(c.accum_freq)},
          {"epochs", text(c.epochs)},
          {"lr", text(c.lr)},
          {"beta1", text(c.beta1)},
          {"beta2", text(c.beta2)},
          {"eps", text(c.eps)},
          {"wd", text(c.wd)},
          {"warmup", text(c.warmup)},
          {"grad-clip-norm", text(c.grad_clip_norm)},
          {"precision", c.precision},
          {"lock-image", text(c.lock_image)},
          {"seed", text(c.seed)},
          {"aug-scale", fmt::format("{} {}", c.aug_scale_min, c.aug_scale_max)},
          {"hflip", text(c.hflip)},
          {"force-patch-dropout", text(c.force_patch_dropout)}};
}

const std::vector<WholeSetting>& whole_settings() {
  using C = TrainConfig;
  constexpr int64_t kMostPairs = 1'000'000, kMostEpochs = 1'000'000, kMostSteps = 1'000'000'000;
  static const std::vector<WholeSetting> settings = {
      {"--batch-size", &C::batch_size, {2, kMostPairs, "a pair needs negatives"}},
      {"--accum-freq", &C::accum_freq, {1, kMostPairs}},
      {"--epochs", &C::epochs, {1, kMostEpochs}},
      {"--max-steps", &C::max_steps, {0, kMostSteps}},
      {"--warmup", &C::warmup, {-1, kMostSteps}},
      {"--seed", &C::seed, {0, std::numeric_limits<int64_t>::max()}},
      {"--save-frequency", &C::save_frequency, {0, kMostEpochs}},
      {"--save-every-steps", &C::save_every_steps, {0, kMostSteps}},
      {"--val-frequency", &C::val_frequency, {0, kMostEpochs}},
      {"--eval-every-steps", &C::eval_every_steps, {0, kMostSteps}},
      {"--log-every-n-steps", &C::log_every_n_steps, {1, kMostSteps}},
      {"--workers", &C::workers, thread_range()},
      {"--threads", &C::threads, thread_range()}};
  return settings;
}

const std::vector<RealSetting>& real_settings() {
  using C = TrainConfig;
  constexpr double kMostF32 = 1e38;  // it is a number on the device
  static const std::vector<RealSetting> settings = {
      {"--lr", &C::lr, {.low = 0, .high = kMostF32, .low_open = true}},
      {"--beta1", &C::beta1, {.low = 0, .high = 1, .high_open = true}},
      {"--beta2", &C::beta2, {.low = 0, .high = 1, .high_open = true}},
      {"--eps", &C::eps, {.low = 0, .high = 1, .low_open = true}},
      {"--wd", &C::wd, {.low = 0, .high = 1000}},
      {"--grad-clip-norm", &C::grad_clip_norm, {.low = 0, .high = 1e9}},
      {"--max-bad-fraction", &C::max_bad_fraction, {.low = 0, .high = 1}},
      {"--aug-scale-min", &C::aug_scale_min, {.low = 0, .high = 1, .low_open = true}},
      {"--aug-scale-max", &C::aug_scale_max, {.low = 0, .high = 1, .low_open = true}},
      {"--hflip", &C::hflip, {.low = 0, .high = 1}},
      {"--force-patch-dropout", &C::force_patch_dropout, {.low = 0, .high = 1, .high_open = true}}};
  return settings;
}

void validate(const TrainConfig& c) {
  CUCLIP_CHECK(!c.train_data.empty(),
               "train: --train-data is missing: shards, a CSV file, a folder or synthetic:shapes");
  CUCLIP_CHECK(!c.out.empty(), "train: --out is missing: the folder that the run is written to");
  for (const WholeSetting& setting : whole_settings())
    check_range(setting.flag, setting.range, c.*setting.value);
  for (const RealSetting& setting : real_settings())
    check_range(setting.flag, setting.range, c.*setting.value);
  CUCLIP_CHECK(c.precision == "fp32" || c.precision == "tf32" || c.precision == "bf16",
               "train: --precision must be fp32, tf32 or bf16, got {}", c.precision);
  CUCLIP_CHECK(c.gemm == "cuclip" || c.gemm == "cublaslt", "train: --gemm must be cuclip or cublaslt, got {}",
               c.gemm);
  CUCLIP_CHECK(c.aug_scale_min <= c.aug_scale_max,
               "--aug-scale-min must be at most --aug-scale-max, got {} and {}", c.aug_scale_min,
               c.aug_scale_max);
}

}  // namespace cuclip
