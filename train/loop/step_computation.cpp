#include "train/loop/step_computation.h"

#include <array>
#include <vector>

#include "core/rows.h"

namespace cuclip {
StepComputation::Features StepComputation::encode(Tape& tape, const MicroBatch& input,
                                                  BatchStatistics statistics) const {
  return {model_.encode_image(tape, input.images, input.kept, statistics),
          model_.encode_text(tape, TextInput{input.tokens, input.end})};
}

Tensor StepComputation::whole_batch(const MicroBatch& input) const {
  Tape tape(model_.context());
  const Features features = encode(tape, input, BatchStatistics::of_batch);
  const Tensor loss = model_.loss(tape, features.image, features.text, input.words);
  tape.backward(loss);
  return loss;
}

Tensor StepComputation::accumulated(std::span<const MicroBatch> inputs) const {
  Context& context = model_.context();
  std::vector<Tensor> images, texts, words;
  for (const MicroBatch& input : inputs) {
    Tape silent(context, Tape::Mode::inference);
    const Features features = encode(silent, input, BatchStatistics::of_batch);
    images.push_back(features.image);
    texts.push_back(features.text);
    if (input.words) words.push_back(input.words);
  }
  Tape loss_tape(context);
  const std::array<Tensor, 2> leaves{loss_tape.leaf(concatenate(context, images)),
                                     loss_tape.leaf(concatenate(context, texts))};
  const Tensor loss =
      model_.loss(loss_tape, leaves[0], leaves[1], words.empty() ? Tensor() : concatenate(context, words));
  const Tape::Seed seed{loss, Tensor::full(context, {1}, 1.0f)};
  const std::vector<Tensor> gradients = loss_tape.backward(std::span(&seed, 1), leaves);
  int64_t row = 0;
  for (const MicroBatch& input : inputs) {
    Tape tape(context);
    const Features features = encode(tape, input, BatchStatistics::of_batch_again);
    const int64_t rows = features.image.size(0);
    const std::array<Tape::Seed, 2> seeds{Tape::Seed{features.image, gradients[0].rows(row, rows)},
                                          Tape::Seed{features.text, gradients[1].rows(row, rows)}};
    tape.backward(seeds);
    row += rows;
  }
  return loss;
}

void StepComputation::run(const StepInputs& inputs) const {
  const Tensor loss =
      inputs.batches.size() == 1 ? whole_batch(inputs.batches[0]) : accumulated(inputs.batches);
  optimizer_.step(loss, inputs.lr);
  model_.clamp_logit_scale();
}

}  // namespace cuclip
