#include "train/loop/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "core/device_choice.h"
#include "core/file_io.h"
#include "models/clip/clip_size.h"
#include "models/clip/weights.h"
#include "models/files/names.h"
#include "models/inference/checkpoint_folders.h"
#include "models/inference/retrieval.h"
#include "models/text/bpe_trainer.h"
#include "train/loop/patch_dropout.h"

namespace cuclip {
namespace {

// A run that meets this many non-finite losses or gradients in a row does not recover by itself.
constexpr int64_t kMaxSkippedInARow = 10;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Trainer::Trainer(const TrainConfig& config, const std::string& resolved_config)
    : config_((validate(config), config)),
      folder_(config.out),
      context_(static_cast<int>(config.threads), choose_device(config.device)) {
  if (config_.gemm == "cublaslt") context_.use_cublaslt();
  if (config_.precision == "tf32") context_.use_tf32();
  CUCLIP_CHECK(!config_.resume.empty() || !folder_.has_checkpoints(),
               "{} already has checkpoints: continue with --resume latest, or choose another --out",
               config_.out);
  std::filesystem::path checkpoint;
  if (config_.resume == "latest") {
    std::vector<std::string> notes;
    checkpoint = latest_checkpoint(folder_.path(), notes).value_or("");
    for (const std::string& note : notes) fmt::print(stderr, "{}\n", escaped_text(note));
    if (checkpoint.empty())
      fmt::print(stderr, "{} has no checkpoint yet: starting from step 0\n", escaped_text(config_.out));
  } else {
    checkpoint = config_.resume;
  }
  if (!checkpoint.empty()) check_settings(checkpoint, identity(config_));  // before the data, which take long
  clip_config_ =
      load_clip_config(checkpoint.empty() ? config_.model : (checkpoint / "open_clip_config.json").string());
  open_data();
  if (!checkpoint.empty()) resume_data(checkpoint);
  make_schedule();
  make_tokenizer(checkpoint);
  make_model(checkpoint);
  tidy(checkpoint);
  make_loader();
  write_file_atomic(folder_.path() / "config.toml", resolved_config);
}

void Trainer::tidy(const std::filesystem::path& checkpoint) {
  if (checkpoint.empty()) folder_.rewind(0);  // the log of a run that was killed before it saved
  if (!checkpoint.empty() && config_.delete_previous_checkpoint)
    remove_older_checkpoints(folder_.path(), checkpoint);
  // A checkpoint holds three f32 values for each parameter; one is written before another is let go.
  const int64_t checkpoints = folder_.has_checkpoints() ? 1 : 2;
  folder_.require_space(checkpoints * 3 * 4 * model_->parameters().count());
}

void Trainer::open_data() {
  const DatasetOptions options{.csv_image_key = config_.csv_image_key,
                               .csv_caption_key = config_.csv_caption_key,
                               .csv_separator = config_.csv_separator};
  train_data_ = open_dataset(config_.train_data, options);
  if (!config_.val_data.empty()) val_data_ = open_dataset(config_.val_data, options);
  const int64_t pairs_per_step = config_.batch_size * config_.accum_freq;
  steps_per_epoch_ = train_data_->size() / pairs_per_step;
  CUCLIP_CHECK(steps_per_epoch_ >= 1,
               "{} has {}, a step needs --batch-size {} x --accum-freq {} = {}; use smaller ones",
               config_.train_data, counted(train_data_->size(), "usable pair"), config_.batch_size,
               config_.accum_freq, pairs_per_step);
  state_.data = train_data_->fingerprint(static_cast<int>(config_.threads));
  for (const Dataset* data : {train_data_.get(), val_data_.get()}) {
    if (data == nullptr) continue;
    for (const std::string& note : data->notes()) fmt::print(stderr, "{}\n", escaped_text(note));
  }
}

// Takes up the checkpoint's state where the data are those that it was made with; refuses others, or starts
// the next epoch on them.
void Trainer::resume_data(const std::filesystem::path& checkpoint) {
  const std::optional<DatasetFingerprint> now = std::exchange(state_, read_train_state(checkpoint)).data;
  const std::optional<DatasetFingerprint> then = std::exchange(state_.data, now);
  std::string changed = then ? difference(*then, *now) : "";
  // Where it would stand now after as many steps: all that is known of a data set without a fingerprint.
  const int64_t steps = state_.data_step + (state_.epoch - state_.data_epoch) * steps_per_epoch_ +
                        state_.batch_in_epoch / config_.accum_freq;
  if (changed.empty() &&
      (steps != state_.step || state_.batch_in_epoch >= train_data_->size() / config_.batch_size)) {
    changed =
        fmt::format("an epoch had another number of steps than the {} that it has now", steps_per_epoch_);
  }
  if (!then) {
    fmt::print(stderr, "{} does not say what data it was trained on: that they are the same is not checked\n",
               escaped_text(checkpoint.string()));
  }
  if (changed.empty()) return;
  CUCLIP_CHECK(
      config_.allow_changed_data,
      "{}: the training data have changed since {} was saved: {}. Resume with the data as they were, or "
      "give --allow-changed-data to go on with the next epoch on these",
      config_.train_data, checkpoint.string(), changed);
  if (state_.batch_in_epoch > 0) ++state_.epoch;
  state_.batch_in_epoch = 0;
  state_.data_step = state_.step;
  state_.data_epoch = state_.epoch;
  fmt::print(
      stderr,
      "the training data have changed: {}; going on with epoch {} of {} on the new ones, which is not bit "
      "for bit what one run would give\n",
      changed, state_.epoch + 1, config_.epochs);
}

void Trainer::make_schedule() {
  const int64_t epochs_left = std::max<int64_t>(config_.epochs - state_.data_epoch, 0);
  schedule_ = {.peak = config_.lr, .total_steps = state_.data_step + epochs_left * steps_per_epoch_};
  schedule_.warmup_steps = config_.warmup >= 0 ? config_.warmup : schedule_.total_steps / 10;
}

double Trainer::epochs_done() const {
  return static_cast<double>(state_.data_epoch) +
         static_cast<double>(state_.step - state_.data_step) / static_cast<double>(steps_per_epoch_);
}

void Trainer::make_tokenizer(const std::filesystem::path& checkpoint) {
  if (!checkpoint.empty()) {
    tokenizer_ = Tokenizer::load(checkpoint / "tokenizer.txt.gz");
  } else if (!config_.tokenizer.empty()) {
    tokenizer_ = Tokenizer::load(config_.tokenizer);
  } else {
    fmt::print(stderr, "learning a vocabulary of {} from the training captions\n",
               clip_config_.text.vocab_size);
    std::vector<std::string> captions;
    BadSamples bad;
    for (int64_t i = 0; i < train_data_->size(); ++i) {
      try {
        for (std::string& caption : train_data_->captions(i)) captions.push_back(std::move(caption));
      } catch (const SampleError& error) {  // the loader counts it when its turn comes
        bad.add(error.reason(), error.what());
      }
    }
    CUCLIP_CHECK(!captions.empty(), "{}: no caption can be read: {}", config_.train_data, bad.summary());
    tokenizer_ = train_bpe(captions, clip_config_.text.vocab_size);
  }
  // Few captions hold fewer merges than were asked for.
  if (tokenizer_->vocab_size() != clip_config_.text.vocab_size) {
    fmt::print(stderr, "the vocabulary has {} tokens: the model is made for as many, not for {}\n",
               tokenizer_->vocab_size(), clip_config_.text.vocab_size);
    clip_config_.text.vocab_size = static_cast<int>(tokenizer_->vocab_size());
  }
}

void Trainer::make_model(const std::filesystem::path& checkpoint) {
  model_ = std::make_unique<Clip>(context_, clip_config_,
                                  ClipOptions{.dtype = config_.precision == "bf16" ? DType::bf16 : DType::f32,
                                              .training = true,
                                              .recomputation = config_.grad_checkpointing,
                                              .lock_image = config_.lock_image});
  OptimizerOptions options{.beta1 = static_cast<float>(config_.beta1),
                           .beta2 = static_cast<float>(config_.beta2),
                           .eps = static_cast<float>(config_.eps),
                           .weight_decay = static_cast<float>(config_.wd),
                           .clip_norm = static_cast<float>(config_.grad_clip_norm)};
  optimizer_ = std::make_unique<Optimizer>(context_, model_->parameters(), options);
  step_ = std::make_unique<TrainStep>(*model_, *optimizer_);
  if (!checkpoint.empty()) {
    load_checkpoint(checkpoint, state_, *model_, *optimizer_);
    folder_.rewind(state_.step);
    saved_step_ = state_.step;
    previous_checkpoint_ = checkpoint;
    fmt::print(stderr, "resuming from {} (step {})\n", escaped_text(checkpoint.string()), state_.step);
    return;
  }
  model_->initialise(static_cast<uint64_t>(config_.seed));
  if (!config_.pretrained.empty()) load_weights(*model_, config_.pretrained);
}

void Trainer::make_loader() {
  loader_ = std::make_unique<Loader>(*train_data_, LoaderOptions{.batch_size = config_.batch_size,
                                                                 .image_size = clip_config_.vision.image_size,
                                                                 .seed = static_cast<uint64_t>(config_.seed),
                                                                 .workers = static_cast<int>(config_.workers),
                                                                 .max_bad_fraction = config_.max_bad_fraction,
                                                                 .scale_min = config_.aug_scale_min,
                                                                 .scale_max = config_.aug_scale_max,
                                                                 .flip_probability = config_.hflip});
  loader_->restore({.epoch = state_.epoch, .batch = state_.batch_in_epoch});
  if (val_data_) {
    eval_data_ = load_eval_data(*val_data_, clip_config_.evaluation_transform(), context_.exec().pool->size(),
                                0, config_.max_bad_fraction);
  }
  fmt::print(stderr, "{}\nmodel {}: {:.2f} M parameters, {}, {}\n{} of {} in {}\n", loader_->describe(),
             config_.model, static_cast<double>(model_->parameters().count()) / 1e6, config_.precision,
             counted(context_.exec().pool->size(), "thread"), counted(schedule_.total_steps, "step"),
             counted(config_.batch_size * config_.accum_freq, "pair"), counted(config_.epochs, "epoch"));
}

int64_t Trainer::last_step() const {
  return config_.max_steps > 0 ? std::min(config_.max_steps, schedule_.total_steps) : schedule_.total_steps;
}

MicroBatch Trainer::to_tensors(const Batch& batch) {
  const int64_t n = config_.batch_size, size = clip_config_.vision.image_size;
  const int64_t length = clip_config_.text.context_length;
  const std::vector<int32_t> tokens = tokenizer_->encode_padded(batch.captions, length);
  Context& host = context_.host();
  MicroBatch micro{Tensor::from<uint8_t>(host, {n, size, size, 3}, batch.images),
                   Tensor::from<int32_t>(host, {n, length}, tokens)};
  if (config_.force_patch_dropout > 0) {
    const int64_t patches = clip_config_.vision.patches();
    const int64_t first = (batch.epoch * steps_per_epoch_ * config_.accum_freq + batch.index) * n;
    const std::vector<int32_t> kept =
        choose_tokens(n, patches, config_.force_patch_dropout, static_cast<uint64_t>(config_.seed), first);
    micro.kept = Tensor::from<int32_t>(host, {n, std::ssize(kept) / n}, kept);
  }
  return micro;
}

std::vector<MicroBatch> Trainer::next_batches() {
  std::vector<MicroBatch> batches;
  for (int64_t i = 0; i < config_.accum_freq; ++i) {
    Batch batch = loader_->next();
    // An epoch that is not a multiple of --accum-freq ends with batches that fill no step: they are left out.
    while (batch.index >= steps_per_epoch_ * config_.accum_freq) batch = loader_->next();
    batches.push_back(to_tensors(batch));
  }
  return batches;
}

void Trainer::take_step() {
  const double start = now(), waited_before = loader_->wait_seconds();
  const std::vector<MicroBatch> batches = next_batches();
  const double waited = loader_->wait_seconds() - waited_before;
  window_.waited += waited;
  step_->enqueue(batches, static_cast<float>(schedule_.at(state_.step)));
  const LoaderPosition position = loader_->position();
  state_.step++;
  state_.samples_seen += config_.batch_size * config_.accum_freq;
  state_.epoch = position.epoch;
  state_.batch_in_epoch = position.batch;
  state_.train_seconds += now() - start;
  state_.wait_seconds += waited;
  for (const MicroBatch& batch : batches) {
    const int64_t patches = batch.kept ? batch.kept.size(1) - 1 : clip_config_.vision.patches();
    state_.model_flops +=
        training_step_flops(clip_config_, config_.batch_size, used_length(batch.tokens), patches);
  }
  window_.samples += config_.batch_size * config_.accum_freq;
  // To read a result is to wait for the device, so there it is read where it is to be seen. (The CPU is done
  // with the step here.)
  if (context_.device() == Device::cpu || log_due()) read_result();
  if (step_->replayed_kernels() > 0 && !std::exchange(said_kernels_, true))
    progress_->note(fmt::format("a step is {} kernels, launched with one call", step_->replayed_kernels()));
}

bool Trainer::log_due() const {
  return state_.step % config_.log_every_n_steps == 0 || state_.step == 1 || state_.step == last_step();
}

void Trainer::read_result() {
  if (std::exchange(read_step_, state_.step) == state_.step) return;
  const StepResult result = step_->result();
  state_.optimizer_steps = result.steps;
  if (log_due() || result.skipped) log_step(result);
  refuse_endless_skipping(result);
}

void Trainer::log_step(const StepResult& result) {
  const double lr = schedule_.at(state_.step - 1);
  const double seconds = now() - window_.start;
  const double samples_per_second = static_cast<double>(window_.samples) / seconds;
  const double wait_share = window_.waited / seconds;
  folder_.append("metrics.jsonl", {{"step", state_.step},
                                   {"loss", finite_or_null(static_cast<double>(result.loss))},
                                   {"lr", lr},
                                   {"grad_norm", finite_or_null(static_cast<double>(result.gradient_norm))},
                                   {"logit_scale", finite_or_null(static_cast<double>(result.logit_scale))},
                                   {"samples_per_second", samples_per_second},
                                   {"data_wait_share", wait_share}});
  progress_->show({.step = state_.step,
                   .epoch = epochs_done(),
                   .loss = static_cast<double>(result.loss),
                   .lr = lr,
                   .samples_per_second = samples_per_second,
                   .data_wait_share = wait_share});
  window_ = {.start = now()};
}

void Trainer::refuse_endless_skipping(const StepResult& result) {
  const int64_t skipped = result.skipped_steps - std::exchange(skipped_steps_, result.skipped_steps);
  skipped_in_a_row_ = result.skipped_in_a_row;
  if (skipped == 0) return;
  state_.skipped_steps += skipped;
  const std::string which = skipped == 1 && result.skipped
                                ? "the loss or a gradient is not finite; the step is skipped"
                                : fmt::format(
                                      "{} steps before it were skipped, because the loss or a gradient "
                                      "was not finite",
                                      skipped);
  progress_->note(fmt::format("step {}: {} ({} so far)", state_.step, which, state_.skipped_steps));
  if (skipped_in_a_row_ < kMaxSkippedInARow) return;
  fail(
      "{} steps in a row had a loss or gradient that is not finite: stopped at step {}. Nothing of them was "
      "saved; the "
      "last checkpoint is {}. Try a smaller --lr, --grad-clip-norm 1 or a longer --warmup",
      kMaxSkippedInARow, state_.step, previous_checkpoint_.empty() ? "none" : previous_checkpoint_.string());
}

void Trainer::save() {
  if (saved_step_ == state_.step || state_.step == 0) return;  // before the first step there is nothing
  read_result();
  if (skipped_in_a_row_ > 0) {
    progress_->note(fmt::format("step {}: not saved, because the last step was skipped", state_.step));
    return;
  }
  const std::filesystem::path folder =
      save_checkpoint(folder_.path(), *model_, *optimizer_, *tokenizer_, state_, identity(config_));
  if (config_.delete_previous_checkpoint) remove_older_checkpoints(folder_.path(), folder);
  previous_checkpoint_ = folder;
  saved_step_ = state_.step;
}

// Gives the signal that ended the evaluation early, or 0.
int Trainer::evaluate(const std::function<int()>& interrupted) {
  if (!eval_data_ || evaluated_step_ == state_.step) return 0;
  struct Stopped {
    int signal;
  };
  RetrievalMetrics metrics;
  try {
    metrics = evaluate_retrieval(*model_, *tokenizer_, *eval_data_, [&] {
      if (const int signal = interrupted()) throw Stopped{signal};
    });
  } catch (const Stopped& stopped) {
    progress_->note(fmt::format("step {}: the evaluation was interrupted", state_.step));
    return stopped.signal;
  }
  nlohmann::ordered_json line{{"step", state_.step}};
  line.update(to_json(metrics));
  folder_.append("eval.jsonl", line);
  progress_->note(fmt::format("step {}: R@10 image to text {:.3f}, text to image {:.3f} (chance {:.3f})",
                              state_.step, metrics.image_to_text.recall[2], metrics.text_to_image.recall[2],
                              metrics.image_to_text.chance[2]));
  evaluated_step_ = state_.step;
  window_ = {.start = now()};  // throughput is that of training
  return 0;
}

void Trainer::after_step(const std::function<int()>& interrupted) {
  const auto every = [](int64_t n, int64_t step) { return n > 0 && step % n == 0; };
  const auto every_epochs = [&](int64_t n) {
    return every(n * steps_per_epoch_, state_.step - state_.data_step);
  };
  if (every(config_.eval_every_steps, state_.step) || every_epochs(config_.val_frequency))
    evaluate(interrupted);
  if (every(config_.save_every_steps, state_.step) || every_epochs(config_.save_frequency)) save();
}

TrainOutcome Trainer::run(const std::function<int()>& interrupted) {
  progress_ = std::make_unique<Progress>(state_.step, last_step());
  read_step_ = state_.step;
  window_ = {.start = now()};
  int signal = 0;
  while (state_.step < last_step() && (signal = interrupted()) == 0) {
    take_step();
    after_step(interrupted);
  }
  if (signal == 0) signal = evaluate(interrupted);
  save();
  const BadSamples bad = loader_->bad();
  if (bad.count > 0) progress_->note("samples that could not be used: " + bad.summary());
  if (bad.damaged > 0) progress_->note("damaged pictures used: " + bad.damage_summary());
  return {.steps = state_.step, .saved_step = saved_step_, .signal = signal};
}

}  // namespace cuclip
