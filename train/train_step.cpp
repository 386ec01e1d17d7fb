#include "train/train_step.h"

#include <cmath>

namespace cuclip {
namespace {

// Rows of all parts, one after the other.
Tensor concatenate(Context& context, const std::vector<Tensor>& parts) {
  int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.size(0);
  Tensor all = Tensor::empty(context, {rows, parts.front().size(1)}, parts.front().dtype());
  int64_t row = 0;
  for (const Tensor& part : parts) {
    const Tensor to = all.rows(row, part.size(0));
    device_copy(context.device(), to.view().data, part.view().data, part.bytes(), context.exec().stream);
    row += part.size(0);
  }
  return all;
}

}  // namespace

TrainStep::Features TrainStep::encode(Tape& tape, const MicroBatch& batch) const {
  Tape silent(model_.context(), Tape::Mode::inference);
  Tape& image_tape = lock_image_ ? silent : tape;
  return {model_.encode_image(image_tape, batch.images, batch.kept), model_.encode_text(tape, batch.tokens)};
}

float TrainStep::whole_batch(const MicroBatch& batch) {
  Tape tape(model_.context());
  const Features features = encode(tape, batch);
  const Tensor loss = model_.loss(tape, features.image, features.text);
  const float value = loss.item();
  tape.backward(loss);
  return value;
}

float TrainStep::accumulated(std::span<const MicroBatch> batches) {
  Context& context = model_.context();
  std::vector<Tensor> images, texts;
  for (const MicroBatch& batch : batches) {
    Tape silent(context, Tape::Mode::inference);
    const Features features = encode(silent, batch);
    images.push_back(features.image);
    texts.push_back(features.text);
  }
  Tape loss_tape(context);
  const std::array<Tensor, 2> leaves{loss_tape.leaf(concatenate(context, images)),
                                     loss_tape.leaf(concatenate(context, texts))};
  const Tensor loss = model_.loss(loss_tape, leaves[0], leaves[1]);
  const float value = loss.item(), one = 1.0f;
  const Tape::Seed seed{loss, Tensor::from<float>(context, {1}, std::span(&one, 1))};
  const std::vector<Tensor> gradients = loss_tape.backward(std::span(&seed, 1), leaves);
  int64_t row = 0;
  for (const MicroBatch& batch : batches) {
    Tape tape(context);
    const Features features = encode(tape, batch);
    const int64_t rows = features.image.size(0);
    const std::array<Tape::Seed, 2> seeds{Tape::Seed{features.image, gradients[0].rows(row, rows)},
                                          Tape::Seed{features.text, gradients[1].rows(row, rows)}};
    tape.backward(seeds);
    row += rows;
  }
  return value;
}

StepResult TrainStep::run(std::span<const MicroBatch> batches, float lr) {
  CUCLIP_CHECK(!batches.empty(), "a training step needs at least one batch");
  const TraceRange range("training step");
  StepResult result;
  result.loss = batches.size() == 1 ? whole_batch(batches[0]) : accumulated(batches);
  result.gradient_norm = optimizer_.gradient_norm();
  if (std::isfinite(result.loss) && std::isfinite(result.gradient_norm)) {
    optimizer_.step(lr, result.gradient_norm);
    model_.clamp_logit_scale();
  } else {
    model_.parameters().zero_gradients();
    result.skipped = true;
  }
  result.logit_scale = model_.logit_scale();
  return result;
}

}  // namespace cuclip
