// What a training step computes: forward, backward, clipping, update. It knows neither when nor how often.
#pragma once

#include <span>

#include "models/clip/clip.h"
#include "train/loop/optimizer.h"
#include "train/loop/step_types.h"

namespace cuclip {

class StepComputation {
 public:
  /// lock_image: the image encoder is run but not trained (its parameters must be frozen in the optimiser).
  /// Model and optimiser must outlive it.
  StepComputation(Clip& model, Optimizer& optimizer, bool lock_image)
      : model_(model), optimizer_(optimizer), lock_image_(lock_image) {}

  /// Puts a step's work on the context's stream, without waiting for it. For inputs of the same shapes it does
  /// the same.
  void run(const StepInputs& inputs) const;

 private:
  struct Features {
    Tensor image, text;
  };
  Features encode(Tape& tape, const MicroBatch& input) const;
  Tensor whole_batch(const MicroBatch& input) const;
  Tensor accumulated(std::span<const MicroBatch> inputs) const;

  Clip& model_;
  Optimizer& optimizer_;
  bool lock_image_;
};

}  // namespace cuclip
