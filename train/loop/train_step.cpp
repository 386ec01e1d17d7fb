#include "train/loop/train_step.h"

namespace cuclip {

TrainStep::TrainStep(ClipModel& model, Optimizer& optimizer, const StepLeaves& leaves)
    : model_(model), optimizer_(optimizer), computation_(model, optimizer, leaves) {
  if (model.context().device() == Device::cuda) replay_.emplace(model.context(), computation_);
}

void TrainStep::enqueue(std::span<const MicroBatch> batches, float lr) {
  CUCLIP_CHECK(!batches.empty(), "a training step needs at least one batch");
  const TraceRange range("training step");
  if (replay_) {
    replay_->run(batches, lr);
  } else {
    computation_.run(ready_for_step(model_.context(), batches, lr));
  }
}

StepResult TrainStep::result() const {
  const AdamWControl control = optimizer_.control();
  return {.loss = control.loss,
          .gradient_norm = control.gradient_norm,
          .logit_scale = model_.logit_scale(),
          .skipped = control.skipped_in_a_row > 0,
          .steps = control.steps,
          .skipped_steps = control.skipped,
          .skipped_in_a_row = control.skipped_in_a_row};
}

}  // namespace cuclip
