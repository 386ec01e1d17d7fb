// What a training step computes: forward, backward, clipping, update. Scheduling and replay are the caller's
// job.
#pragma once

#include <span>

#include "core/branch.h"
#include "models/clip/clip.h"
#include "train/loop/optimizer.h"
#include "train/loop/step_types.h"

namespace cuclip {

class StepComputation {
 public:
  /// Model and optimiser must outlive it.
  StepComputation(ClipModel& model, Optimizer& optimizer) : model_(model), optimizer_(optimizer) {}

  /// Puts a step's work on the context's stream, without waiting for it; where there is a branch, the text
  /// encoder's forward and backward run there, beside the image encoder's. For inputs of the same shapes it
  /// does the same.
  void run(const StepInputs& inputs, Branch* branch = nullptr) const;

 private:
  struct Encoding;
  void encode(Encoding& to, const MicroBatch& input, BatchStatistics statistics, Branch* branch) const;
  static void backward(Encoding& from, const Tensor& image_gradient, const Tensor& text_gradient,
                       Branch* branch);
  Tensor whole_batch(const MicroBatch& input, Branch* branch) const;
  Tensor accumulated(std::span<const MicroBatch> inputs, Branch* branch) const;

  ClipModel& model_;
  Optimizer& optimizer_;
};

}  // namespace cuclip
