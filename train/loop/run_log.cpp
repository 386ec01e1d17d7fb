#include "train/loop/run_log.h"

#include <utility>

#include "core/clock.h"
#include "core/counted.h"
#include "core/together.h"

namespace cuclip {
namespace {

// A run that meets this many non-finite losses or gradients in a row does not recover by itself.
constexpr int64_t kMaxSkippedInARow = 10;

}  // namespace

RunLog::RunLog(const RunFolder* folder, int64_t first, int64_t last)
    : folder_(folder), progress_(first, last), window_{.start = seconds_now()} {}

void RunLog::count_samples(int64_t samples, double waited) {
  window_.samples += samples;
  window_.waited += waited;
}

void RunLog::step(const Place& place, const StepResult& result) {
  if (folder_ == nullptr) return;
  const double seconds = seconds_now() - window_.start;
  const double samples_per_second = static_cast<double>(window_.samples) / seconds;
  const double wait_share = window_.waited / seconds;
  folder_->append("metrics.jsonl", {{"step", place.step},
                                    {"loss", finite_or_null(static_cast<double>(result.loss))},
                                    {"lr", place.lr},
                                    {"grad_norm", finite_or_null(static_cast<double>(result.gradient_norm))},
                                    {"logit_scale", finite_or_null(static_cast<double>(result.logit_scale))},
                                    {"samples_per_second", samples_per_second},
                                    {"data_wait_share", wait_share}});
  progress_.show({.step = place.step,
                  .epoch = place.epoch,
                  .loss = static_cast<double>(result.loss),
                  .lr = place.lr,
                  .samples_per_second = samples_per_second,
                  .data_wait_share = wait_share});
  window_ = {.start = seconds_now()};
}

void RunLog::evaluation(int64_t step, const RetrievalMetrics& metrics) {
  nlohmann::ordered_json line{{"step", step}};
  line.update(to_json(metrics));
  folder_->append("eval.jsonl", line);
  note(fmt::format("step {}: R@10 image to text {:.3f}, text to image {:.3f} (chance {:.3f})", step,
                   metrics.image_to_text.recall[2], metrics.text_to_image.recall[2],
                   metrics.image_to_text.chance[2]));
  window_ = {.start = seconds_now()};
}

void RunLog::count_skipped(const StepResult& result, TrainState& state,
                           const std::filesystem::path& last_checkpoint) {
  const int64_t skipped = result.skipped_steps - std::exchange(skipped_steps_, result.skipped_steps);
  skipped_in_a_row_ = result.skipped_in_a_row;
  if (skipped == 0) return;
  state.skipped_steps += skipped;
  const std::string which = skipped == 1 && result.skipped
                                ? "the loss or a gradient is not finite; the step is skipped"
                                : fmt::format(
                                      "{} since the last check {} skipped because the loss or a gradient "
                                      "was not finite",
                                      counted(skipped, "step"), skipped == 1 ? "was" : "were");
  note(fmt::format("step {}: {} ({} so far)", state.step, which, state.skipped_steps));
  if (skipped_in_a_row_ < kMaxSkippedInARow) return;
  if (folder_ == nullptr) throw OtherRankFailed(0, false);  // which says it for all
  fail(
      "{} steps in a row had a loss or gradient that is not finite: stopped at step {}. None of these steps "
      "was saved; the last checkpoint is {}. {}",
      kMaxSkippedInARow, state.step, last_checkpoint.empty() ? "none" : last_checkpoint.string(),
      kUnstableAdvice);
}

}  // namespace cuclip
