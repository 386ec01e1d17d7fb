#include "train/loop/train_settings.h"

#include "train/data/dataset.h"

#include <limits>
#include <type_traits>

namespace cuclip {
namespace {

using C = TrainConfig;

constexpr int64_t kMostPairs = 1'000'000, kMostEpochs = 1'000'000, kMostSteps = 1'000'000'000;
constexpr double kMostF32 = 1e38;  // it is one on the device
constexpr RealRange kShare{.low = 0, .high = 1};
constexpr RealRange kPositiveShare{.low = 0, .high = 1, .low_open = true};
constexpr RealRange kBelowOne{.low = 0, .high = 1, .high_open = true};

template <auto value>
ChoiceSetting choice() {
  using Choice = std::remove_cvref_t<decltype(std::declval<C>().*value)>;
  return {kWords<Choice>, [](const C& config) { return std::string(word(config.*value)); },
          [](C& config, std::string_view flag, std::string_view text) {
            config.*value = parse_word<Choice>(flag, text);
          }};
}

const ChoiceSetting kDevice = {kWords<DeviceChoice::Kind>,
                               [](const C& config) { return to_text(config.device); },
                               [](C& config, std::string_view flag, std::string_view text) {
                                 config.device = parse_device(flag, text);
                               }};

}  // namespace

const std::vector<Setting>& model_settings() {
  static const std::vector<Setting> settings = {
      {"--model", TextSetting{&C::model},
       "built-in name (see cuclip info) or a JSON file in open_clip's format", "model"},
      {"--pretrained", TextSetting{&C::pretrained},
       "weights to start from: a safetensors file, the index of several, or a folder as --model takes it "
       "elsewhere",
       "pretrained"},
      {"--tokenizer", TextSetting{&C::tokenizer},
       "merges file, or a folder with one; without it, those beside --pretrained, or merges learned from the "
       "training captions",
       "tokenizer"}};
  return settings;
}

const std::vector<Setting>& data_settings() {
  static const std::vector<Setting> settings = {
      {"--train-data", TextSetting{&C::train_data},
       "pairs to train on: shards-{000..012}.tar, a .csv or .tsv, a folder, or synthetic:shapes (required)"},
      {"--val-data", TextSetting{&C::val_data}, "held-out pairs to evaluate on, given the same way"},
      {"--csv-img-key", TextSetting{&C::csv_image_key}, kCsvImageHelp},
      {"--csv-caption-key", TextSetting{&C::csv_caption_key}, kCsvCaptionHelp},
      {"--csv-separator", TextSetting{&C::csv_separator}, kCsvSeparatorHelp},
      {"--max-bad-fraction", RealSetting{&C::max_bad_fraction, kShare},
       "stop if a larger fraction of samples is unusable"},
      {"--aug-scale-min", RealSetting{&C::aug_scale_min, kPositiveShare},
       "random crop: least share of the picture's area", "aug-scale"},
      {"--aug-scale-max", RealSetting{&C::aug_scale_max, kPositiveShare},
       "random crop: largest share of the picture's area", "aug-scale"},
      {"--hflip", RealSetting{&C::hflip, kShare}, "probability of mirroring a picture", "hflip"},
      {"--caption-augment", RealSetting{&C::caption_augment, kShare},
       "probability of training on a part of a caption as people search for it: of 'red bicycle, vehicle', "
       "say, 'a bicycle'",
       "caption-augment"},
      {"--force-patch-dropout", RealSetting{&C::force_patch_dropout, kBelowOne},
       "share of each picture's patches that a step leaves out: faster, with less overfitting",
       "force-patch-dropout"},
      {"--workers", WholeSetting{&C::workers, thread_range()}, "threads that prepare pictures"}};
  return settings;
}

const std::vector<Setting>& optimisation_settings() {
  static const std::vector<Setting> settings = {
      {"--batch-size", WholeSetting{&C::batch_size, {2, kMostPairs, "a pair needs negatives"}},
       "pairs per batch", "batch-size"},
      {"--accum-freq", WholeSetting{&C::accum_freq, {1, kMostPairs}},
       "batches per step; all their pairs are contrasted with each other", "accum-freq"},
      {"--leaves", WholeSetting{&C::leaves, {0, kMostPairs}},
       "cut a step's pairs into so many leaves, whose gradients are summed in a fixed order: any number of "
       "ranks, and of batches per step, that divides them gives the same weights, bit for bit. Many small "
       "ones are slow. 0: those of the checkpoint, 1 for one rank, 8 for more",
       "leaves"},
      {"--epochs", WholeSetting{&C::epochs, {1, kMostEpochs}},
       "passes over the data; the learning rate's cosine spans them", "epochs"},
      {"--max-steps", WholeSetting{&C::max_steps, {0, kMostSteps}},
       "stop after this many optimiser steps; 0: all epochs"},
      {"--lr", RealSetting{&C::lr, {.low = 0, .high = kMostF32, .low_open = true}}, "peak learning rate",
       "lr"},
      {"--beta1", RealSetting{&C::beta1, kBelowOne}, "AdamW: decay of the running mean of gradients",
       "beta1"},
      {"--beta2", RealSetting{&C::beta2, kBelowOne},
       "AdamW: decay of the running mean of their squares; 0: .98 for a vision transformer, .999 for a "
       "ResNet",
       "beta2"},
      {"--eps", RealSetting{&C::eps, kShare},
       "AdamW: added to the root of that mean; 0: 1e-6 for a vision transformer, 1e-8 for a ResNet", "eps"},
      {"--wd", RealSetting{&C::wd, {.low = 0, .high = 1000}},
       "weight decay (none on norms, biases, positions, temperature)", "wd"},
      {"--warmup", WholeSetting{&C::warmup, {-1, kMostSteps}},
       "steps of linear warm-up; -1: a tenth of those of all epochs, whatever --max-steps says", "warmup"},
      {"--grad-clip-norm", RealSetting{&C::grad_clip_norm, {.low = 0, .high = 1e9}},
       "clip the gradient's norm; 0: never", "grad-clip-norm"},
      {"--mask-duplicates", SwitchSetting{&C::mask_duplicates},
       "do not contrast two pairs of a batch if one's caption has all the words of the other's",
       "mask-duplicates"},
      {"--precision", choice<&C::precision>(), kPrecisionHelp, "precision"},
      {"--grad-checkpointing", SwitchSetting{&C::grad_checkpointing},
       "recompute activations: less memory, a third slower"},
      {"--lock-image", SwitchSetting{&C::lock_image}, "do not train the image encoder", "lock-image"},
      {"--seed", WholeSetting{&C::seed, {0, std::numeric_limits<int64_t>::max()}},
       "determines initialisation, shuffling and augmentation", "seed"}};
  return settings;
}

const std::vector<Setting>& run_settings() {
  static const std::vector<Setting> settings = {
      {"--out", TextSetting{&C::out}, "folder of the run (required)"},
      {"--resume", TextSetting{&C::resume},
       "'latest', or a checkpoint's folder: continue, bit for bit. Changed training data is refused, but "
       "replacing a picture with another of the same size in bytes is not detected"},
      {"--allow-changed-data", SwitchSetting{&C::allow_changed_data},
       "resume even though the training data has changed; starts at the next epoch and is not bit-exact"},
      {"--save-frequency", WholeSetting{&C::save_frequency, {0, kMostEpochs}},
       "epochs between checkpoints; 0: none"},
      {"--save-every-steps", WholeSetting{&C::save_every_steps, {0, kMostSteps}},
       "steps between checkpoints; 0: none"},
      {"--delete-previous-checkpoint", SwitchSetting{&C::delete_previous_checkpoint},
       "keep only the newest checkpoint"},
      {"--val-frequency", WholeSetting{&C::val_frequency, {0, kMostEpochs}},
       "epochs between evaluations; 0: none"},
      {"--eval-every-steps", WholeSetting{&C::eval_every_steps, {0, kMostSteps}},
       "steps between evaluations; 0: none"},
      {"--log-every-n-steps", WholeSetting{&C::log_every_n_steps, {1, kMostSteps}},
       "steps between lines of metrics.jsonl"},
      {"--threads", WholeSetting{&C::threads, thread_range()}, kThreadsHelp},
      {"--device", kDevice, kDeviceHelp},
      {"--gemm", choice<&C::gemm>(),
       "matrix products on CUDA: cuclip's own kernels, or cublaslt where it computes the same operation"}};
  return settings;
}

const std::vector<Setting>& train_settings() {
  static const std::vector<Setting> settings = [] {
    std::vector<Setting> all;
    for (const auto* part : {&model_settings(), &data_settings(), &optimisation_settings(), &run_settings()})
      all.insert(all.end(), part->begin(), part->end());
    return all;
  }();
  return settings;
}

}  // namespace cuclip
