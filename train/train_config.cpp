#include "train/train_config.h"

#include "kernels/common/check.h"

namespace cuclip {

std::vector<std::pair<std::string, std::string>> identity(const TrainConfig& c) {
  const auto text = [](const auto& value) { return fmt::format("{}", value); };
  return {{"model", c.model},
          {"pretrained", c.pretrained},
          {"tokenizer", c.tokenizer},
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

void validate(const TrainConfig& c) {
  CUCLIP_CHECK(!c.train_data.empty(),
               "train: --train-data is missing: shards, a CSV file, a folder or synthetic:shapes");
  CUCLIP_CHECK(!c.out.empty(), "train: --out is missing: the folder that the run is written to");
  CUCLIP_CHECK(c.batch_size >= 2, "train: --batch-size must be at least 2 (a pair needs negatives), got {}",
               c.batch_size);
  CUCLIP_CHECK(c.accum_freq >= 1, "train: --accum-freq must be at least 1, got {}", c.accum_freq);
  CUCLIP_CHECK(c.epochs >= 1, "train: --epochs must be at least 1, got {}", c.epochs);
  CUCLIP_CHECK(c.max_steps >= 0, "train: --max-steps must not be negative, got {}", c.max_steps);
  CUCLIP_CHECK(c.lr > 0, "train: --lr must be positive, got {}", c.lr);
  CUCLIP_CHECK(c.beta1 >= 0 && c.beta1 < 1, "train: --beta1 must be in [0, 1), got {}", c.beta1);
  CUCLIP_CHECK(c.beta2 >= 0 && c.beta2 < 1, "train: --beta2 must be in [0, 1), got {}", c.beta2);
  CUCLIP_CHECK(c.eps > 0, "train: --eps must be positive, got {}", c.eps);
  CUCLIP_CHECK(c.wd >= 0, "train: --wd must not be negative, got {}", c.wd);
  CUCLIP_CHECK(c.warmup >= -1, "train: --warmup must not be negative, got {}", c.warmup);
  CUCLIP_CHECK(c.grad_clip_norm >= 0, "train: --grad-clip-norm must not be negative, got {}",
               c.grad_clip_norm);
  CUCLIP_CHECK(c.precision == "fp32" || c.precision == "tf32" || c.precision == "bf16",
               "train: --precision must be fp32, tf32 or bf16, got {}", c.precision);
  CUCLIP_CHECK(c.gemm == "cuclip" || c.gemm == "cublaslt", "train: --gemm must be cuclip or cublaslt, got {}",
               c.gemm);
  CUCLIP_CHECK(c.aug_scale_min > 0 && c.aug_scale_min <= c.aug_scale_max && c.aug_scale_max <= 1,
               "train: --aug-scale must be two numbers 0 < low <= high <= 1, got {} {}", c.aug_scale_min,
               c.aug_scale_max);
  CUCLIP_CHECK(c.hflip >= 0 && c.hflip <= 1, "train: --hflip is a probability, got {}", c.hflip);
  CUCLIP_CHECK(c.force_patch_dropout >= 0 && c.force_patch_dropout < 1,
               "train: --force-patch-dropout must be in [0, 1), got {}", c.force_patch_dropout);
  CUCLIP_CHECK(c.max_bad_fraction >= 0 && c.max_bad_fraction <= 1,
               "train: --max-bad-fraction must be in [0, 1], got {}", c.max_bad_fraction);
  CUCLIP_CHECK(c.log_every_n_steps >= 1, "train: --log-every-n-steps must be at least 1, got {}",
               c.log_every_n_steps);
}

}  // namespace cuclip
