#include "train/loop/step_batches.h"

#include "train/loop/patch_dropout.h"

namespace cuclip {
namespace {

MicroBatch to_micro_batch(OpenedRun& run, const Batch& batch) {
  const int64_t n = run.config.batch_size;
  MicroBatch micro{batch.images, batch.tokens};
  const double dropout = run.config.force_patch_dropout;
  if (dropout > 0) {
    const int64_t first = (batch.epoch * run.steps_per_epoch * run.config.accum_freq + batch.index) * n;
    const std::vector<int32_t> kept = choose_tokens(n, run.clip_config.vision.patches(), dropout,
                                                    static_cast<uint64_t>(run.config.seed), first);
    micro.kept = Tensor::from<int32_t>(run.context.host(), {n, std::ssize(kept) / n}, kept);
  }
  if (run.config.mask_duplicates) micro.words = batch.words;
  return micro;
}

}  // namespace

std::vector<MicroBatch> next_step_batches(OpenedRun& run) {
  std::vector<MicroBatch> batches;
  for (int64_t i = 0; i < run.config.accum_freq; ++i) {
    Batch batch = run.loader->next();
    // An epoch that is not a multiple of --accum-freq ends with batches that fill no step: they are left out.
    while (batch.index >= run.steps_per_epoch * run.config.accum_freq) batch = run.loader->next();
    batches.push_back(to_micro_batch(run, batch));
  }
  return batches;
}

}  // namespace cuclip
