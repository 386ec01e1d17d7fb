#include "train/loop/open_run.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/counted.h"
#include "core/device_choice.h"
#include "core/file_io.h"
#include "core/together.h"
#include "kernels/tiles/tile_product.h"
#include "models/clip/clip_size.h"
#include "models/clip/weights.h"
#include "models/files/names.h"
#include "models/files/weight_files.h"
#include "models/inference/checkpoint_folders.h"
#include "models/inference/model_source.h"
#include "models/text/bpe_trainer.h"
#include "train/loop/leaves.h"
#include "train/loop/patch_dropout.h"

namespace cuclip {
namespace {

// What there is to say is the same on all ranks.
template <typename... Args>
void say(const OpenedRun& run, fmt::format_string<Args...> format, Args&&... args) {
  if (run.first_rank()) fmt::print(stderr, "{}\n", fmt::vformat(format, fmt::make_format_args(args...)));
}

void print_lines(const OpenedRun& run, const std::vector<std::string>& notes) {
  for (const std::string& note : notes) say(run, "{}", escaped_text(note));
}

// Throws where a checkpoint is good enough to use but not to continue from.
void read_what_resumes(const std::filesystem::path& checkpoint) {
  read_train_state(checkpoint);
  check_saved_file(checkpoint, "optimizer.safetensors");
}

// The checkpoint that --resume names; empty: the run starts from step 0. For rank 0, which has the folder.
std::filesystem::path checkpoint_to_resume(const OpenedRun& run) {
  const TrainConfig& config = run.config;
  CUCLIP_CHECK(!config.resume.empty() || !run.folder->has_checkpoints(),
               "{} already has checkpoints: continue with --resume latest, or choose another --out",
               config.out);
  if (config.resume != "latest") return config.resume;
  std::vector<std::string> notes;
  std::filesystem::path checkpoint =
      latest_checkpoint(run.folder->path(), notes, read_what_resumes).value_or("");
  print_lines(run, notes);
  if (checkpoint.empty())
    say(run, "{} has no checkpoint yet: starting from step 0", escaped_text(config.out));
  return checkpoint;
}

void open_data(OpenedRun& run) {
  const TrainConfig& config = run.config;
  const DatasetOptions options{.csv_image_key = config.csv_image_key,
                               .csv_caption_key = config.csv_caption_key,
                               .csv_separator = config.csv_separator};
  run.train_data = open_dataset(config.train_data, options);
  if (!config.val_data.empty()) run.val_data = open_dataset(config.val_data, options);
  const int64_t pairs_per_step = config.pairs_per_step();
  run.steps_per_epoch = run.train_data->size() / pairs_per_step;
  const std::string ranks = config.ranks == 1 ? "" : fmt::format(" x {} ranks", config.ranks);
  CUCLIP_CHECK(
      run.steps_per_epoch >= 1,
      "{} has {}, a step needs --batch-size {} x --accum-freq {}{} = {}; reduce one of them or add data",
      config.train_data, counted(run.train_data->size(), "usable pair"), config.batch_size, config.accum_freq,
      ranks, pairs_per_step);
  run.state.data = run.train_data->fingerprint(static_cast<int>(config.threads));
  for (const Dataset* data : {run.train_data.get(), run.val_data.get()}) {
    if (data != nullptr) print_lines(run, data->notes());
  }
}

// How the data differs from what the checkpoint was made with, whose state the run now has; empty: it does
// not.
std::string changed_data(const OpenedRun& run, const std::optional<DatasetFingerprint>& then) {
  const TrainState& state = run.state;
  if (then) {
    if (std::string changed = difference(*then, *state.data); !changed.empty()) return changed;
  }
  // Where the run would stand now after as many steps: without a fingerprint nothing else can be compared.
  const int64_t steps = state.data_step + (state.epoch - state.data_epoch) * run.steps_per_epoch +
                        state.batch_in_epoch / run.config.batches_per_step();
  if (steps == state.step && state.batch_in_epoch < run.train_data->size() / run.config.pairs_per_batch()) {
    return "";
  }
  return fmt::format("the number of steps per epoch has changed; it is now {}", run.steps_per_epoch);
}

// Takes up the checkpoint's state if the data is what it was made with; refuses other data, or starts the
// next epoch on it.
void resume_data(OpenedRun& run, const std::filesystem::path& checkpoint) {
  TrainState& state = run.state;
  const std::optional<DatasetFingerprint> now = std::exchange(state, read_train_state(checkpoint)).data;
  const std::optional<DatasetFingerprint> then = std::exchange(state.data, now);
  const std::string changed = changed_data(run, then);
  if (!then) {
    say(run, "{} does not record its training data, so cuclip cannot check whether the data has changed",
        escaped_text(checkpoint.string()));
  }
  if (changed.empty()) return;
  CUCLIP_CHECK(
      run.config.allow_changed_data,
      "{}: the training data has changed since {} was saved: {}. Resume with the original data, or give "
      "--allow-changed-data to continue with the new data from the next epoch",
      run.config.train_data, checkpoint.string(), changed);
  if (state.batch_in_epoch > 0) ++state.epoch;
  state.batch_in_epoch = 0;
  state.data_step = state.step;
  state.data_epoch = state.epoch;
  say(run,
      "the training data has changed: {}; continuing with epoch {} of {} on the new data; the result will "
      "not "
      "match an uninterrupted run bit for bit",
      changed, state.epoch + 1, run.config.epochs);
}

// The setting is the file's name, and the file may have changed since.
void check_same_config(const OpenedRun& run, const std::filesystem::path& checkpoint) {
  if (!path_exists(run.config.model)) return;
  ClipConfig now = load_clip_config(run.config.model);
  now.text.vocab_size = run.clip_config.text.vocab_size;  // follows the vocabulary
  CUCLIP_CHECK(
      now == run.clip_config,
      "{} has changed since {} was saved, which has the configuration as it was: give that one to --model, "
      "{}, or start a new run",
      run.config.model, checkpoint.string(), (checkpoint / "open_clip_config.json").string());
}

LrSchedule schedule_of(const OpenedRun& run) {
  const int64_t epochs_left = std::max<int64_t>(run.config.epochs - run.state.data_epoch, 0);
  LrSchedule schedule{.peak = run.config.lr,
                      .total_steps = run.state.data_step + epochs_left * run.steps_per_epoch};
  schedule.warmup_steps = run.config.warmup >= 0 ? run.config.warmup : schedule.total_steps / 10;
  return schedule;
}

Tokenizer learn_vocabulary(const OpenedRun& run) {
  const int vocab_size = run.clip_config.text.vocab_size;
  say(run, "learning a vocabulary of {} from the training captions", vocab_size);
  std::vector<std::string> captions;
  BadSamples bad;
  for (int64_t i = 0; i < run.train_data->size(); ++i) {
    try {
      for (std::string& caption : run.train_data->captions(i)) captions.push_back(std::move(caption));
    } catch (const SampleError& error) {  // the loader counts it when its turn comes
      bad.add(error.reason(), error.what());
    }
  }
  CUCLIP_CHECK(!captions.empty(), "{}: no caption can be read: {}", run.config.train_data, bad.summary());
  return train_bpe(captions, vocab_size);
}

// A file, or a folder as --model takes it.
std::filesystem::path pretrained_weights(const OpenedRun& run) {
  const TrainConfig& config = run.config;
  if (!is_folder(config.pretrained)) return config.pretrained;
  std::vector<std::string> notes;
  const std::filesystem::path weights = find_weights(config.pretrained, notes);
  print_lines(run, notes);
  return weights;
}

void make_tokenizer(OpenedRun& run, const std::filesystem::path& checkpoint,
                    const std::filesystem::path& pretrained) {
  if (!checkpoint.empty()) {
    run.tokenizer = Tokenizer::load(checkpoint / "tokenizer.txt.gz");
  } else if (!run.config.tokenizer.empty()) {
    run.tokenizer = load_tokenizer(run.config.tokenizer);
  } else if (!pretrained.empty()) {
    const std::filesystem::path merges = merges_in(pretrained.parent_path());
    if (merges.empty()) WeightFiles{pretrained};  // what is no weights is refused for that
    CUCLIP_CHECK(
        !merges.empty(),
        "--pretrained {}: there are no merges beside it, and with a vocabulary learned from the captions its "
        "token embeddings would stand for other tokens; give --tokenizer FILE",
        run.config.pretrained);
    say(run, "vocabulary of the pretrained weights: {}", escaped_text(merges.string()));
    run.tokenizer = load_tokenizer(merges);
  } else {
    run.tokenizer = learn_vocabulary(run);
  }
  // Too few captions give fewer merges than were asked for.
  int& vocab_size = run.clip_config.text.vocab_size;
  if (run.tokenizer->vocab_size() == vocab_size) return;
  say(run, "the vocabulary has {} tokens: the model is built with that vocabulary size instead of {}",
      run.tokenizer->vocab_size(), vocab_size);
  vocab_size = static_cast<int>(run.tokenizer->vocab_size());
}

void make_model(OpenedRun& run, const std::filesystem::path& checkpoint,
                const std::filesystem::path& pretrained) {
  const TrainConfig& config = run.config;
  CUCLIP_CHECK(config.force_patch_dropout == 0 || !run.clip_config.vision.is_resnet(),
               "--force-patch-dropout {}: a modified ResNet has no patches to leave out",
               config.force_patch_dropout);
  run.model = std::make_unique<ClipModel>(run.context, run.clip_config,
                                          ClipOptions{.dtype = activation_dtype(config.precision),
                                                      .training = true,
                                                      .recomputation = config.grad_checkpointing,
                                                      .lock_image = config.lock_image,
                                                      .unset = true});
  if (pretrained.empty()) {
    run.model->allocate();
  } else {  // what does not fit is told before there is memory for it
    print_lines(run, load_weights(*run.model, pretrained, config.model));
  }
  OptimizerOptions options{.beta1 = static_cast<float>(config.beta1),
                           .beta2 = static_cast<float>(config.beta2),
                           .eps = static_cast<float>(config.eps),
                           .weight_decay = static_cast<float>(config.wd),
                           .clip_norm = static_cast<float>(config.grad_clip_norm)};
  run.optimizer = std::make_unique<Optimizer>(run.context, run.model->parameters(), options);
  if (!checkpoint.empty()) {
    load_checkpoint(checkpoint, run.state, *run.model, *run.optimizer);
    if (run.folder) run.folder->rewind(run.state.step);
    run.newest = {.folder = checkpoint, .step = run.state.step};
    say(run, "resuming from {} (step {})", escaped_text(checkpoint.string()), run.state.step);
  } else if (pretrained.empty()) {
    run.model->initialise(static_cast<uint64_t>(config.seed));
  }
}

void tidy(const OpenedRun& run, const std::filesystem::path& checkpoint) {
  if (checkpoint.empty()) run.folder->rewind(0);  // the log of a run that was killed before it saved
  if (!checkpoint.empty() && run.config.delete_previous_checkpoint)
    remove_older_checkpoints(run.folder->path(), checkpoint);
  // A checkpoint holds three f32 values for each parameter; one is written before another is let go.
  const int64_t checkpoints = run.folder->has_checkpoints() ? 1 : 2;
  run.folder->require_space(checkpoints * 3 * 4 * run.model->parameters().count());
}

void make_loader(OpenedRun& run) {
  const TrainConfig& config = run.config;
  // With leaves a batch is a whole step: as many batches as this are in one.
  const int64_t batches = config.accum_freq / config.batches_per_step();
  const auto prefetch = static_cast<int>(std::max<int64_t>(1, LoaderOptions{}.prefetch / batches));
  run.loader = std::make_unique<Loader>(*run.train_data,
                                        LoaderOptions{.batch_size = config.pairs_per_batch(),
                                                      .first_place = run.first_place(),
                                                      .places = config.pairs_per_batch() / config.ranks,
                                                      .image_size = run.clip_config.vision.image_size,
                                                      .seed = static_cast<uint64_t>(config.seed),
                                                      .workers = static_cast<int>(config.workers),
                                                      .prefetch = prefetch,
                                                      .max_bad_fraction = config.max_bad_fraction,
                                                      .tokenizer = &*run.tokenizer,
                                                      .context_length = run.clip_config.text.context_length,
                                                      .scale_min = config.aug_scale_min,
                                                      .scale_max = config.aug_scale_max,
                                                      .flip_probability = config.hflip,
                                                      .caption_augment = config.caption_augment});
  run.loader->restore({.epoch = run.state.epoch, .batch = run.state.batch_in_epoch});
}

// Of training, for each pair, with texts of full length.
double flops_per_pair(const OpenedRun& run) {
  const ClipConfig& clip = run.clip_config;
  const int64_t pairs = run.config.pairs_per_step();
  const int64_t patches = kept_tokens(clip.vision.patches(), run.config.force_patch_dropout) - 1;
  return training_step_flops(clip, pairs, clip.text.context_length, patches) / static_cast<double>(pairs);
}

void print_summary(OpenedRun& run) {
  const TrainConfig& config = run.config;
  const DType dtype = run.model->options().dtype;
  const std::string widening = run.context.device() == Device::cpu ? widening_note(dtype) : "";
  if (!widening.empty()) say(run, "{}", widening);
  const std::string threads = counted(run.context.exec().pool->size(), "thread");
  const std::string ranks =
      config.ranks == 1 ? threads : fmt::format("{} of {}", counted(config.ranks, "rank"), threads);
  const std::string leaves =
      config.leaves == 1 ? "" : fmt::format(" in {}", counted(config.leaves, "leaf", "leaves"));
  say(run, "{}\nmodel {}: {:.2f} M parameters, {:.2f} GFLOP per trained pair, {}, {}\n{} of {}{} in {}",
      run.loader->describe(), config.model, static_cast<double>(run.model->parameters().count()) / 1e6,
      flops_per_pair(run) / 1e9, word(config.precision), ranks, counted(run.schedule.total_steps, "step"),
      counted(config.pairs_per_step(), "pair"), leaves, counted(config.epochs, "epoch"));
  if (config.max_steps > 0 && config.max_steps <= run.schedule.warmup_steps) {
    say(run, "--max-steps {} ends within the warm-up of {}: a lower --warmup reaches --lr", config.max_steps,
        counted(run.schedule.warmup_steps, "step"));
  }
}

// What can be compared line by line.
std::string to_lines(const DatasetFingerprint& data) {
  return fmt::format("{} pairs\nnames {:016x}\ncaptions {:016x}\nsizes of pictures {:016x}\n", data.pairs,
                     data.names, data.captions, data.sizes);
}

// What the checkpoint decides, and whether the settings agree with it: before the data, which take long.
void choose_settings(OpenedRun& run, const std::filesystem::path& checkpoint) {
  TrainConfig& config = run.config;
  run.clip_config =
      load_clip_config(checkpoint.empty() ? config.model : (checkpoint / "open_clip_config.json").string());
  choose_by_encoder(config, run.clip_config.vision.is_resnet());
  choose_leaves(config, checkpoint);
  if (checkpoint.empty()) return;
  check_settings(checkpoint, identity(config));
  check_same_config(run, checkpoint);
}

void open_parts(OpenedRun& run, const std::filesystem::path& checkpoint) {
  open_data(run);
  if (!checkpoint.empty()) resume_data(run, checkpoint);
  run.schedule = schedule_of(run);
  const std::filesystem::path pretrained = checkpoint.empty() ? pretrained_weights(run) : "";
  make_tokenizer(run, checkpoint, pretrained);
  make_model(run, checkpoint, pretrained);
  make_loader(run);
  if (run.val_data && run.first_rank()) {
    run.eval_data = load_eval_data(*run.val_data, run.clip_config.evaluation_transform(),
                                   run.context.exec().pool->size(), 0, run.config.max_bad_fraction);
  }
}

}  // namespace

OpenedRun::OpenedRun(const TrainConfig& settings, std::shared_ptr<Communicator> ranks)
    : config(settings),
      ranks(std::move(ranks)),
      context(static_cast<int>(settings.threads), choose_device(settings.device)) {
  if (config.gemm == MatrixProducts::cublaslt) context.use_cublaslt();
  use_precision(context, config.precision);
}

int64_t OpenedRun::last_step() const {
  return config.max_steps > 0 ? std::min(config.max_steps, schedule.total_steps) : schedule.total_steps;
}

void OpenedRun::check_same_weights() const {
  if (ranks->size() > 1) check_same(*ranks, "weights", model->fingerprint());
}

double OpenedRun::epochs_done() const {
  return static_cast<double>(state.data_epoch) +
         static_cast<double>(state.step - state.data_step) / static_cast<double>(steps_per_epoch);
}

std::unique_ptr<OpenedRun> open_run(const TrainConfig& config, const std::string& resolved_config,
                                    std::shared_ptr<Communicator> shared) {
  Communicator& ranks = *shared;
  std::unique_ptr<OpenedRun> opened;
  together(ranks, [&] {
    validate(config);
    opened = std::make_unique<OpenedRun>(config, shared);
    opened->config.ranks = ranks.size();
    CUCLIP_CHECK(
        ranks.size() == 1 || opened->context.device() == Device::cpu,
        "--device {}: several ranks train on the CPU only so far: give --device cpu, or start one process",
        to_text(config.device));
  });
  OpenedRun& run = *opened;
  check_same(ranks, "settings", resolved_config);
  std::filesystem::path checkpoint;
  on_first_rank(ranks, [&] {
    run.folder.emplace(config.out);
    checkpoint = checkpoint_to_resume(run);
  });
  checkpoint = first_ranks(ranks, checkpoint.string());
  together(ranks, [&] { choose_settings(run, checkpoint); });
  together(ranks, [&] { open_parts(run, checkpoint); });
  check_same(ranks, "training data", to_lines(*run.state.data));
  run.check_same_weights();
  on_first_rank(ranks, [&] {
    tidy(run, checkpoint);
    write_file_atomic(run.folder->path() / "config.toml", resolved_config);
    print_summary(run);
  });
  return opened;
}

}  // namespace cuclip
