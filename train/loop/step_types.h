// What a training step reads.
//
// There are two types of batch. The loader's `Batch` (train/data/loader.h) is what its threads fill: it has
// the captions and knows its place in the run. A `MicroBatch` is what a step reads of it: the caller makes it
// of the batch's tensors, in the host's memory and with whole texts; ready_for_step() cuts the texts and sets
// `end`.
#pragma once

#include <span>
#include <vector>

#include "models/clip/text_transformer.h"

namespace cuclip {

/// Pairs that go through the encoders together.
struct MicroBatch {
  Tensor images;  // u8 [B, S, S, 3]
  Tensor tokens;  // i32 [B, context_length]; ready for a step: [B, L], cut by trim_text
  Tensor kept{};  // i32 [B, K]: the tokens that patch dropout leaves of each picture; none: all
  Tensor
      words{};  // i32 [B, 4]: word_set of each caption, by which duplicates are left out; none: the plain loss
  Tensor end{};  // i32 [B]: where each text ends; none before the batch is ready for a step
};

/// All that a step reads and that changes from one to the next, where it computes.
struct StepInputs {
  std::vector<MicroBatch> batches;  // ready
  Tensor lr;                        // f32 [1]
};

/// The inputs of a step in the host's memory: the batches with their texts trimmed (trim_text). `host`: a
/// context of the CPU.
StepInputs ready_for_step(Context& host, std::span<const MicroBatch> batches, float lr,
                          int64_t text_multiple = 1);

}  // namespace cuclip
