// What a training step computes: forward, backward, clipping, update. Scheduling and replay are the caller's
// job.
#pragma once

#include <span>

#include "models/clip/clip.h"
#include "train/loop/optimizer.h"
#include "train/loop/step_types.h"

namespace cuclip {

class StepComputation {
 public:
  /// Model and optimiser must outlive it.
  StepComputation(Clip& model, Optimizer& optimizer) : model_(model), optimizer_(optimizer) {}

  /// Puts a step's work on the context's stream, without waiting for it. For inputs of the same shapes it
  /// does the same.
  void run(const StepInputs& inputs) const;

 private:
  struct Features {
    Tensor image, text;
  };
  Features encode(Tape& tape, const MicroBatch& input, BatchStatistics statistics) const;
  Tensor whole_batch(const MicroBatch& input) const;
  Tensor accumulated(std::span<const MicroBatch> inputs) const;

  Clip& model_;
  Optimizer& optimizer_;
};

}  // namespace cuclip
