#include "train/loop/step_types.h"

#include <utility>

namespace cuclip {

StepInputs ready_for_step(Context& host, std::span<const MicroBatch> batches, float lr,
                          int64_t text_multiple) {
  StepInputs inputs{.batches = {}, .lr = Tensor::full(host, {1}, lr)};
  for (const MicroBatch& batch : batches) {
    TextInput text = trim_text(host, batch.tokens, text_multiple);
    inputs.batches.push_back(
        {batch.images, std::move(text.tokens), batch.kept, batch.words, std::move(text.end)});
  }
  return inputs;
}

}  // namespace cuclip
