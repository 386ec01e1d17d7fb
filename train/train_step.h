// One optimiser step: forward, backward, clipping, update.
#pragma once

#include <span>

#include "models/clip.h"
#include "train/optimizer.h"

namespace cuclip {

/// Pairs that go through the encoders together.
struct MicroBatch {
  Tensor images;  // u8 [B, S, S, 3]
  Tensor tokens;  // i32 [B, context_length]
  Tensor kept{};  // i32 [B, K]: the tokens that patch dropout leaves of each picture; none: all
};

struct StepResult {
  float loss = 0;
  float gradient_norm = 0;  // before clipping
  float logit_scale = 0;    // exp(t), after the step
  bool skipped = false;     // loss or gradient was not finite: weights and optimiser are as before
};

class TrainStep {
 public:
  /// lock_image: the image encoder is run but not trained (its parameters must be frozen in the optimiser).
  TrainStep(Clip& model, Optimizer& optimizer, bool lock_image = false)
      : model_(model), optimizer_(optimizer), lock_image_(lock_image) {}

  /// One step over all micro-batches. The loss contrasts every image with every text of all of them: with
  /// more than one, features are computed first without recording, the loss is differentiated with respect to
  /// the features, and a second, recorded forward pass carries that into the parameters (Gao et al. 2021,
  /// "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"; open_clip's --accum-freq).
  StepResult run(std::span<const MicroBatch> batches, float lr);

 private:
  struct Features {
    Tensor image, text;
  };
  Features encode(Tape& tape, const MicroBatch& batch) const;
  float whole_batch(const MicroBatch& batch);
  float accumulated(std::span<const MicroBatch> batches);

  Clip& model_;
  Optimizer& optimizer_;
  bool lock_image_;
};

}  // namespace cuclip
