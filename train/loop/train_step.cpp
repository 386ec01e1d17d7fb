#include "train/loop/train_step.h"

namespace cuclip {
namespace {

// The rows of all parts, one after the other.
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

TrainStep::TrainStep(Clip& model, Optimizer& optimizer, bool lock_image)
    : model_(model), optimizer_(optimizer), lock_image_(lock_image) {
  Context& context = model.context();
  if (context.device() == Device::cuda)
    replay_ = std::make_unique<StepReplay>(context, [this](const StepInputs& inputs) { compute(inputs); });
}

TrainStep::Features TrainStep::encode(Tape& tape, const StepInput& input) const {
  Tape silent(model_.context(), Tape::Mode::inference);
  Tape& image_tape = lock_image_ ? silent : tape;
  return {model_.encode_image(image_tape, input.images, input.kept), model_.encode_text(tape, input.text)};
}

Tensor TrainStep::whole_batch(const StepInput& input) {
  Tape tape(model_.context());
  const Features features = encode(tape, input);
  const Tensor loss = model_.loss(tape, features.image, features.text);
  tape.backward(loss);
  return loss;
}

Tensor TrainStep::accumulated(std::span<const StepInput> inputs) {
  Context& context = model_.context();
  std::vector<Tensor> images, texts;
  for (const StepInput& input : inputs) {
    Tape silent(context, Tape::Mode::inference);
    const Features features = encode(silent, input);
    images.push_back(features.image);
    texts.push_back(features.text);
  }
  Tape loss_tape(context);
  const std::array<Tensor, 2> leaves{loss_tape.leaf(concatenate(context, images)),
                                     loss_tape.leaf(concatenate(context, texts))};
  const Tensor loss = model_.loss(loss_tape, leaves[0], leaves[1]);
  const Tape::Seed seed{loss, Tensor::full(context, {1}, 1.0f)};
  const std::vector<Tensor> gradients = loss_tape.backward(std::span(&seed, 1), leaves);
  int64_t row = 0;
  for (const StepInput& input : inputs) {
    Tape tape(context);
    const Features features = encode(tape, input);
    const int64_t rows = features.image.size(0);
    const std::array<Tape::Seed, 2> seeds{Tape::Seed{features.image, gradients[0].rows(row, rows)},
                                          Tape::Seed{features.text, gradients[1].rows(row, rows)}};
    tape.backward(seeds);
    row += rows;
  }
  return loss;
}

void TrainStep::compute(const StepInputs& inputs) {
  const Tensor loss =
      inputs.batches.size() == 1 ? whole_batch(inputs.batches[0]) : accumulated(inputs.batches);
  optimizer_.step(loss, inputs.lr);
  model_.clamp_logit_scale();
}

void TrainStep::enqueue(std::span<const MicroBatch> batches, float lr) {
  CUCLIP_CHECK(!batches.empty(), "a training step needs at least one batch");
  const TraceRange range("training step");
  if (replay_) {
    replay_->run(batches, lr);
  } else {
    compute(inputs_on_host(model_.context(), batches, lr));
  }
}

StepResult TrainStep::result() const {
  const AdamWControl control = optimizer_.control();
  return {.loss = control.loss,
          .gradient_norm = control.gradient_norm,
          .logit_scale = model_.logit_scale(),
          .skipped = control.skipped_in_a_row > 0,
          .steps = control.steps,
          .skipped_steps = control.skipped,
          .skipped_in_a_row = control.skipped_in_a_row};
}

}  // namespace cuclip
