// The training step on CUDA: its inputs are copied to the device during the step before, and its kernels are
// recorded once for each shape and place of the inputs and from then on launched with a single call.
//
// A step of ten blocks is some 200 kernels, most of them shorter than the host takes to launch one; a
// replayed step costs it one call. Everything that changes between steps is therefore memory of the device:
// pictures, texts, the learning rate (here), the step's number and what is skipped (AdamWControl).
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "train/loop/step_computation.h"

namespace cuclip {

class StepReplay {
 public:
  /// `context` and `computation` must outlive it.
  StepReplay(Context& context, const StepComputation& computation);
  ~StepReplay();

  /// Puts one step on the stream. The first step of a shape is computed directly, which loads the kernels and
  /// shows how much memory it takes; the next ones are recorded, once for each of the two places where inputs
  /// lie. Texts are cut to a multiple of 16 tokens, so that there are few shapes.
  void run(std::span<const MicroBatch> batches, float lr);

  /// What the latest step replayed; null if it was computed directly.
  const RecordedWork* latest() const { return latest_; }
  /// The memory that steps use for themselves.
  CachingAllocator::Statistics memory() const;

 private:
  // One of the places where inputs lie: the host fills one while the device computes with the other.
  struct Slot {
    Slot(Context& context, size_t bytes);
    HostStaging host;
    Tensor device;                 // u8: what the slot's steps read
    DeviceEvent copied, computed;  // what is in `host` is on the device; the slot's latest step is done
  };
  using RecordedInSlots = std::array<std::optional<RecordedWork>, 2>;
  StepInputs upload(std::span<const MicroBatch> batches, float lr);
  void make_room(size_t bytes);
  void compute_first(const StepInputs& inputs);

  Context& context_;
  const StepComputation& computation_;
  Workspace workspace_;
  Branch branch_;  // the text encoder's work
  DeviceStream copies_;
  std::array<std::optional<Slot>, 2> slots_;
  size_t slot_ = 0;                                           // the latest step's
  std::map<std::vector<int64_t>, RecordedInSlots> recorded_;  // by shapes; none: computed once
  const RecordedWork* latest_ = nullptr;
};

}  // namespace cuclip
