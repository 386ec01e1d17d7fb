#include "train/loop/step_batches.h"

#include "train/loop/patch_dropout.h"

namespace cuclip {
namespace {

MicroBatch to_micro_batch(OpenedRun& run, const Batch& batch) {
  const TrainConfig& config = run.config;
  const int64_t n = batch.images.size(0);
  MicroBatch micro{batch.images, batch.tokens};
  const double dropout = config.force_patch_dropout;
  if (dropout > 0) {
    const int64_t batches = batch.epoch * run.steps_per_epoch * config.batches_per_step() + batch.index;
    const int64_t first = batches * config.pairs_per_batch() + run.first_place();
    const std::vector<int32_t> kept = choose_tokens(n, run.clip_config.vision.patches(), dropout,
                                                    static_cast<uint64_t>(config.seed), first);
    micro.kept = Tensor::from<int32_t>(run.context.host(), {n, std::ssize(kept) / n}, kept);
  }
  if (config.mask_duplicates) micro.words = batch.words;
  return micro;
}

std::vector<MicroBatch> cut_into(int64_t parts, const MicroBatch& whole) {
  const int64_t rows = whole.images.size(0) / parts;
  std::vector<MicroBatch> leaves;
  for (int64_t i = 0; i < parts; ++i) {
    const auto part = [&](const Tensor& x) { return x ? x.rows(i * rows, rows) : Tensor(); };
    leaves.push_back({part(whole.images), part(whole.tokens), part(whole.kept), part(whole.words)});
  }
  return leaves;
}

}  // namespace

std::vector<MicroBatch> next_step_batches(OpenedRun& run) {
  const int64_t count = run.config.batches_per_step();
  std::vector<MicroBatch> batches;
  for (int64_t i = 0; i < count; ++i) {
    Batch batch = run.loader->next();
    // An epoch that is not a multiple of --accum-freq ends with batches that fill no step: they are left out.
    while (batch.index >= run.steps_per_epoch * count) batch = run.loader->next();
    batches.push_back(to_micro_batch(run, batch));
  }
  if (run.config.leaves == 1) return batches;
  return cut_into(run.config.leaves / run.config.ranks, batches[0]);
}

}  // namespace cuclip
