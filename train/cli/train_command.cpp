// cuclip train
#include <CLI/CLI.hpp>
#include <memory>

#include "models/files/names.h"
#include "train/cli/commands.h"
#include "train/cli/config_file.h"
#include "train/cli/flag_values.h"
#include "train/cli/interruption.h"
#include "train/cli/model_flags.h"
#include "train/cli/printing.h"
#include "train/loop/trainer.h"

namespace cuclip {
namespace {

void add_model_options(CLI::App* app, TrainConfig& c) {
  app->add_option("--model", c.model, "built-in name (see cuclip info) or a JSON file in open_clip's format")
      ->capture_default_str();
  app->add_option("--pretrained", c.pretrained, "safetensors file with the weights to start from");
  app->add_option("--tokenizer", c.tokenizer,
                  "merges file; without it, merges are learned from the training captions");
}

void add_data_options(CLI::App* app, TrainConfig& c) {
  app->add_option(
      "--train-data", c.train_data,
      "pairs to train on: shards-{000..012}.tar, a .csv or .tsv, a folder, or synthetic:shapes (required)");
  app->add_option("--val-data", c.val_data, "held-out pairs to evaluate on, given the same way");
  app->add_option("--csv-img-key", c.csv_image_key, "CSV column with the picture's path")
      ->capture_default_str();
  app->add_option("--csv-caption-key", c.csv_caption_key, "CSV column with the caption")
      ->capture_default_str();
  app->add_option("--csv-separator", c.csv_separator,
                  "CSV separator; by default, the one that the file's first line uses");
  app->add_option("--max-bad-fraction", c.max_bad_fraction,
                  "stop when a larger share of the samples cannot be used")
      ->capture_default_str();
  app->add_option("--aug-scale-min", c.aug_scale_min, "random crop: least share of the picture's area")
      ->capture_default_str();
  app->add_option("--aug-scale-max", c.aug_scale_max, "random crop: largest share of the picture's area")
      ->capture_default_str();
  app->add_option("--hflip", c.hflip, "probability of mirroring a picture")->capture_default_str();
  app->add_option("--force-patch-dropout", c.force_patch_dropout,
                  "share of each picture's patches that a step leaves out: cheaper, and it overfits less")
      ->capture_default_str();
  app->add_option("--workers", c.workers, "threads that prepare pictures")->capture_default_str();
}

void add_optimisation_options(CLI::App* app, TrainConfig& c) {
  app->add_option("--batch-size", c.batch_size, "pairs per batch")->capture_default_str();
  app->add_option("--accum-freq", c.accum_freq,
                  "batches per step; all their pairs are contrasted with each other")
      ->capture_default_str();
  app->add_option("--epochs", c.epochs, "passes over the data; the learning rate's cosine spans them")
      ->capture_default_str();
  app->add_option("--max-steps", c.max_steps, "stop after this many optimiser steps; 0: all epochs")
      ->capture_default_str();
  app->add_option("--lr", c.lr, "peak learning rate")->capture_default_str();
  app->add_option("--beta1", c.beta1, "AdamW: decay of the running mean of gradients")->capture_default_str();
  app->add_option("--beta2", c.beta2, "AdamW: decay of the running mean of their squares")
      ->capture_default_str();
  app->add_option("--eps", c.eps, "AdamW: added to the root of that mean")->capture_default_str();
  app->add_option("--wd", c.wd, "weight decay (none on norms, biases, positions, temperature)")
      ->capture_default_str();
  app->add_option("--warmup", c.warmup, "steps of linear warm-up; -1: a tenth of the run")
      ->capture_default_str();
  app->add_option("--grad-clip-norm", c.grad_clip_norm, "clip the gradient's norm; 0: never")
      ->capture_default_str();
  one_of(app->add_option("--precision", c.precision, kPrecisionHelp), kPrecisions)->capture_default_str();
  app->add_flag("--grad-checkpointing", c.grad_checkpointing,
                "recompute activations: less memory, a third slower");
  app->add_flag("--lock-image", c.lock_image, "do not train the image encoder");
  app->add_option("--seed", c.seed, "determines initialisation, shuffling and augmentation")
      ->capture_default_str();
}

void add_run_options(CLI::App* app, TrainConfig& c) {
  app->add_option("--out", c.out, "folder of the run (required)");
  app->add_option(
      "--resume", c.resume,
      "'latest', or a checkpoint's folder: continue, bit for bit. Changed training data are refused, "
      "but a picture replaced by another of the same size in bytes goes unnoticed");
  app->add_flag("--allow-changed-data", c.allow_changed_data,
                "resume although the training data have changed: with the next epoch, and not bit for bit");
  app->add_option("--save-frequency", c.save_frequency, "epochs between checkpoints; 0: none")
      ->capture_default_str();
  app->add_option("--save-every-steps", c.save_every_steps, "steps between checkpoints; 0: none")
      ->capture_default_str();
  app->add_flag("--delete-previous-checkpoint", c.delete_previous_checkpoint,
                "keep only the newest checkpoint");
  app->add_option("--val-frequency", c.val_frequency, "epochs between evaluations; 0: none")
      ->capture_default_str();
  app->add_option("--eval-every-steps", c.eval_every_steps, "steps between evaluations; 0: none")
      ->capture_default_str();
  app->add_option("--log-every-n-steps", c.log_every_n_steps, "steps between lines of metrics.jsonl")
      ->capture_default_str();
  app->add_option("--threads", c.threads, "CPU threads; 0: what the process may use")->capture_default_str();
  one_of(app->add_option("--device", c.device, "auto, cpu or cuda"), {"auto", "cpu", "cuda"})
      ->capture_default_str();
  one_of(app->add_option("--gemm", c.gemm,
                         "matrix products on CUDA: cuclip's own kernels, or cublaslt for those that it "
                         "computes alike"),
         {"cuclip", "cublaslt"})
      ->capture_default_str();
}

constexpr const char* kNothingToSave = "interrupted before the first step: there was nothing to save";

std::string how_it_was_interrupted(const TrainOutcome& outcome) {
  if (outcome.steps == 0) return kNothingToSave;
  if (outcome.saved_step == outcome.steps)
    return fmt::format("interrupted: step {} is saved; continue with --resume latest", outcome.steps);
  return fmt::format("interrupted: step {} was skipped and is not saved; the last checkpoint is {}",
                     outcome.steps,
                     outcome.saved_step < 0 ? "none" : fmt::format("step {}", outcome.saved_step));
}

void run_training(const TrainConfig& config, const std::string& resolved) {
  announced_device(config.device);
  say_when_interrupted(kNothingToSave);
  Trainer trainer(config, resolved);
  finish_first("interrupted: finishing the step, then saving");
  const TrainOutcome outcome = trainer.run(remembered_signal);
  if (outcome.signal == 0) {
    fmt::print("{}\n", escaped_name(config.out));
    return;
  }
  warn(how_it_was_interrupted(outcome));
  throw Interrupted{outcome.signal};
}

}  // namespace

void add_train_command(CLI::App& parent) {
  auto config = std::make_shared<TrainConfig>();
  CLI::App* app = parent.add_subcommand("train", "Train a model on image-text pairs");
  add_model_options(app, *config);
  add_data_options(app, *config);
  add_optimisation_options(app, *config);
  add_run_options(app, *config);
  for (const WholeSetting& setting : whole_settings()) limit(app->get_option(setting.flag), setting.range);
  for (const RealSetting& setting : real_settings()) limit(app->get_option(setting.flag), setting.range);
  add_config_file_option(app);
  app->footer(
      "Example:\n"
      "  cuclip train --model cuclip-tiny --train-data synthetic:shapes --epochs 2 --out runs/shapes\n"
      "  cuclip train --train-data 'pairs/train-{000..003}.tar' --val-data pairs/held-out-000.tar \\\n"
      "      --precision bf16 --epochs 20 --lr 1e-3 --out runs/first\n"
      "SIGINT (Ctrl-C), SIGTERM and SIGHUP finish the step, leave out an evaluation, save,\n"
      "and exit with 130, 143 and 129; more of them change nothing. Before the first step\n"
      "they exit at once: there is nothing to save. SIGQUIT (Ctrl-\\) and SIGKILL end at\n"
      "once; the last checkpoint stays as it was.");
  app->callback([app, config] {
    apply_config_file(app);
    run_training(*config, app->config_to_str(true, false));
  });
}

}  // namespace cuclip
