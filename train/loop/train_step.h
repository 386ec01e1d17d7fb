// One optimiser step: forward, backward, clipping, update.
#pragma once

#include <optional>
#include <span>

#include "models/clip/clip.h"
#include "train/loop/optimizer.h"
#include "train/loop/step_computation.h"
#include "train/loop/step_replay.h"

namespace cuclip {

/// A skipped step leaves weights and optimiser as they were. A modified ResNet's running statistics have
/// counted its pictures all the same, those of channels that were finite, as PyTorch's would.
struct StepResult {
  float loss = 0;
  float gradient_norm = 0;       // before clipping
  float logit_scale = 0;         // exp(t), after the step
  bool skipped = false;          // loss or gradient was not finite: nothing learned has changed
  int64_t steps = 0;             // steps of the run that changed the weights
  int64_t skipped_steps = 0;     // steps since the process started that did not
  int64_t skipped_in_a_row = 0;  // skipped steps since the last one that changed the weights
};

class TrainStep {
 public:
  /// Model, optimiser and the leaves' communicator must outlive it.
  TrainStep(ClipModel& model, Optimizer& optimizer, const StepLeaves& leaves = {});
  TrainStep(const TrainStep&) = delete;
  TrainStep& operator=(const TrainStep&) = delete;

  /// One step over all micro-batches. The loss contrasts every image with every text of all of them. With
  /// more than one leaf, each of these batches is a leaf, and with ranks, each rank has its leaves: the loss
  /// contrasts all pairs of all ranks, whose weights stay the same. With one leaf and more batches, features
  /// are computed first without recording, the loss is differentiated with respect to the features, and a
  /// second, recorded forward pass carries that into the parameters (Gao et al. 2021, "Scaling Deep
  /// Contrastive Learning Batch Size under Memory Limited Setup"; open_clip's --accum-freq).
  ///
  /// On Device::cuda it returns when the step is on the stream, at most three steps ahead of the device, and
  /// steps of the same shapes are recorded and replayed (step_replay.h).
  void enqueue(std::span<const MicroBatch> batches, float lr);
  /// How the latest step went; waits for it.
  StepResult result() const;
  StepResult run(std::span<const MicroBatch> batches, float lr) {
    enqueue(batches, lr);
    return result();
  }

  /// What the latest step replayed in a single launch; null if it was computed directly.
  const RecordedWork* replayed() const { return replay_ ? replay_->latest() : nullptr; }
  /// The memory that replayed steps keep for themselves: none on the CPU, whose steps take the context's.
  CachingAllocator::Statistics memory() const {
    return replay_ ? replay_->memory() : CachingAllocator::Statistics{};
  }

 private:
  ClipModel& model_;
  Optimizer& optimizer_;
  StepComputation computation_;
  std::optional<StepReplay> replay_;  // on Device::cuda; of computation_
};

}  // namespace cuclip
