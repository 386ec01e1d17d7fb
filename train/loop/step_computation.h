// What a training step computes: forward, backward, clipping, update. Scheduling and replay are the caller's
// job.
#pragma once

#include <span>

#include "core/branch.h"
#include "core/communicator.h"
#include "models/clip/clip.h"
#include "train/loop/optimizer.h"
#include "train/loop/step_types.h"

namespace cuclip {

/// How a step's pairs are cut and shared. One leaf: as a whole, with one batch or with several whose
/// gradients are accumulated.
struct StepLeaves {
  /// Parts of all ranks' pairs by index, a multiple of the ranks. With more than one, gradients are summed in
  /// a tree over the leaves and the loss in their order, so that the ranks' number changes no bit.
  int64_t count = 1;
  /// Features are computed first and activations a second time, leaf by leaf: a leaf's memory instead of all.
  bool recompute = false;
  Communicator* ranks = nullptr;  // not needed for one leaf
};

class StepComputation {
 public:
  /// Model, optimiser and communicator must outlive it.
  StepComputation(ClipModel& model, Optimizer& optimizer, const StepLeaves& leaves = {})
      : model_(model), optimizer_(optimizer), leaves_(leaves) {
    CUCLIP_CHECK(leaves.count == 1 || leaves.ranks != nullptr, "a step in leaves needs a communicator");
  }

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
  Tensor by_leaves(std::span<const MicroBatch> inputs, Branch* branch) const;

  ClipModel& model_;
  Optimizer& optimizer_;
  StepLeaves leaves_;
};

}  // namespace cuclip
