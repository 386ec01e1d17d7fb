#include "train/loop/trainer.h"

#include <utility>

#include "core/clock.h"
#include "core/together.h"
#include "models/clip/clip_size.h"
#include "models/inference/retrieval.h"
#include "train/loop/step_batches.h"

namespace cuclip {

Trainer::Trainer(const TrainConfig& config, const std::string& resolved_config,
                 std::shared_ptr<Communicator> ranks)
    : run_(open_run(config, resolved_config, std::move(ranks))),
      step_(*run_->model, *run_->optimizer,
            {.count = run_->config.leaves,
             .recompute = run_->config.accum_freq > 1,
             .ranks = run_->ranks.get()}) {}

void Trainer::take_step() {
  const TrainConfig& config = run_->config;
  TrainState& state = run_->state;
  const double start = seconds_now(), waited_before = run_->loader->wait_seconds();
  const std::vector<MicroBatch> batches = next_step_batches(*run_);
  const double waited = run_->loader->wait_seconds() - waited_before;
  step_.enqueue(batches, static_cast<float>(run_->schedule.at(state.step)));
  const LoaderPosition position = run_->loader->position();
  const int64_t samples = config.pairs_per_step();
  state.step++;
  state.samples_seen += samples;
  state.epoch = position.epoch;
  state.batch_in_epoch = position.batch;
  state.train_seconds += seconds_now() - start;
  state.wait_seconds += waited;
  for (const MicroBatch& batch : batches) {  // the other ranks' are taken to be like these
    const int64_t patches = batch.kept ? batch.kept.size(1) - 1 : run_->clip_config.vision.patches();
    state.model_flops +=
        static_cast<double>(config.ranks) *
        training_step_flops(run_->clip_config, batch.images.size(0), used_length(batch.tokens), patches);
  }
  log_->count_samples(samples, waited);
  // To read a result is to wait for the device, so there it is read where it is to be seen. (The CPU is done
  // with the step here.)
  if (run_->context.device() == Device::cpu || log_due()) read_result();
  const RecordedWork* replayed = step_.replayed();
  if (replayed && !std::exchange(said_kernels_, true)) {
    log_->note(fmt::format("each step replays {} kernels in a single launch, at most {} of them in a row",
                           replayed->kernels(), replayed->longest_chain()));
  }
}

bool Trainer::log_due() const {
  const int64_t step = run_->state.step;
  return step % run_->config.log_every_n_steps == 0 || step == 1 || step == run_->last_step();
}

void Trainer::read_result() {
  TrainState& state = run_->state;
  if (std::exchange(read_step_, state.step) == state.step) return;
  const StepResult result = step_.result();
  state.optimizer_steps = result.steps;
  if (log_due() || result.skipped) {
    log_->step({.step = state.step, .epoch = run_->epochs_done(), .lr = run_->schedule.at(state.step - 1)},
               result);
  }
  log_->count_skipped(result, state, run_->newest.folder);
}

// Whether weights are broken, or a batch was, only the steps after a skipped one tell. On the way the next
// save is waited for; at the end the weights, which skipped steps have not changed, are saved, and older
// checkpoints stay.
void Trainer::save(Save when) {
  const TrainState& state = run_->state;
  if (run_->newest.step == state.step || state.step == 0) return;  // before the first step there is nothing
  read_result();
  const bool skipped = log_->skipped_in_a_row() > 0;
  if (skipped && when == Save::on_the_way) {
    log_->note(fmt::format("step {}: not saved, because the last step was skipped", state.step));
    return;
  }
  at_(state.step, "saving");
  Communicator& ranks = *run_->ranks;
  run_->check_same_weights();
  on_first_rank(ranks, [&] { write_checkpoint(run_->config.delete_previous_checkpoint && !skipped); });
  run_->newest = {.folder = first_ranks(ranks, run_->newest.folder.string()), .step = state.step};
}

void Trainer::write_checkpoint(bool only_newest) {
  const std::filesystem::path& run = run_->folder->path();
  run_->newest.folder = save_checkpoint(run, *run_->model, *run_->optimizer, *run_->tokenizer, run_->state,
                                        identity(run_->config));
  if (only_newest) remove_older_checkpoints(run, run_->newest.folder);
}

// Gives the signal that ended the evaluation early, or 0.
int Trainer::evaluate(const std::function<int()>& interrupted) {
  const int64_t step = run_->state.step;
  if (!run_->eval_data || evaluated_step_ == step) return 0;
  at_(step, "evaluating");
  struct Stopped {
    int signal;
  };
  try {
    log_->evaluation(step, evaluate_retrieval(*run_->model, *run_->tokenizer, *run_->eval_data, [&] {
                       if (const int signal = interrupted()) throw Stopped{signal};
                     }));
  } catch (const Stopped& stopped) {
    log_->note(fmt::format("step {}: the evaluation was interrupted", step));
    return stopped.signal;
  }
  evaluated_step_ = step;
  return 0;
}

void Trainer::after_step(const std::function<int()>& interrupted) {
  const TrainConfig& config = run_->config;
  const TrainState& state = run_->state;
  const auto every = [](int64_t n, int64_t step) { return n > 0 && step % n == 0; };
  const auto every_epochs = [&](int64_t n) {
    return every(n * run_->steps_per_epoch, state.step - state.data_step);
  };
  if (every(config.eval_every_steps, state.step) || every_epochs(config.val_frequency)) evaluate(interrupted);
  if (every(config.save_every_steps, state.step) || every_epochs(config.save_frequency))
    save(Save::on_the_way);
}

TrainOutcome Trainer::run(const std::function<int()>& interrupted, const At& at) {
  TrainState& state = run_->state;
  at_ = at;
  log_.emplace(run_->folder ? &*run_->folder : nullptr, state.step, run_->last_step());
  read_step_ = state.step;
  int signal = 0;
  while (state.step < run_->last_step() && (signal = largest(*run_->ranks, interrupted())) == 0) {
    at_(state.step + 1, "training");
    take_step();
    after_step(interrupted);
  }
  if (signal == 0) signal = largest(*run_->ranks, evaluate(interrupted));
  save(Save::at_the_end);
  const BadSamples bad = run_->loader->bad();
  if (bad.count > 0) log_->note("samples that could not be used: " + bad.summary());
  if (bad.damaged > 0) log_->note("damaged pictures used: " + bad.damage_summary());
  return {.steps = state.step,
          .skipped_at_end = log_->skipped_in_a_row(),
          .saved_step = run_->newest.step,
          .signal = signal};
}

}  // namespace cuclip
