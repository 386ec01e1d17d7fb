#include "train/loop/step_computation.h"

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "core/gradient_tree.h"
#include "core/ring_loss.h"
#include "core/rows.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip {
namespace {

struct Loss {
  Tensor value;
  Tensor text_gradient, image_gradient;  // of the features; none for an image encoder that does not learn
};

Loss differentiate_loss(const ClipModel& model, const Tensor& images, const Tensor& texts,
                        const Tensor& words) {
  Tape tape(model.context());
  std::vector<Tensor> features{tape.leaf(texts)};
  if (!model.options().lock_image) features.push_back(tape.leaf(images));
  const Tensor loss = model.loss(tape, model.options().lock_image ? images : features[1], features[0], words);
  const Tape::Seed seed{loss, Tensor::full(model.context(), {1}, 1.0f)};
  std::vector<Tensor> gradients = tape.backward(std::span(&seed, 1), features);
  gradients.resize(2);
  return {loss, gradients[0], gradients[1]};
}

// Those of a batch's rows.
Tensor rows_of(const Tensor& gradient, int64_t first, int64_t count) {
  return gradient ? gradient.rows(first, count) : Tensor();
}

void side_by_side(Branch* branch, const std::function<void()>& text, const std::function<void()>& image) {
  if (branch) {
    branch->run(text, image);
  } else {
    text();
    image();
  }
}

}  // namespace

// A batch's features and how they came about: on two tapes, since the encoders may run side by side.
struct StepComputation::Encoding {
  Encoding(Context& context, Tape::Mode mode) : image_tape(context, mode), text_tape(context, mode) {}
  Tape image_tape, text_tape;
  Tensor image, text;
};

void StepComputation::encode(Encoding& to, const MicroBatch& input, BatchStatistics statistics,
                             Branch* branch) const {
  side_by_side(
      branch,
      [&] {
        to.text = model_.encode_text(to.text_tape, TextInput{input.tokens, input.end});
      },
      [&] { to.image = model_.encode_image(to.image_tape, input.images, input.kept, statistics); });
}

void StepComputation::backward(Encoding& from, const Tensor& image_gradient, const Tensor& text_gradient,
                               Branch* branch) {
  const Tape::Seed image{from.image, image_gradient}, text{from.text, text_gradient};
  side_by_side(
      branch, [&] { from.text_tape.backward(std::span(&text, 1)); },
      [&] { from.image_tape.backward(std::span(&image, 1)); });
}

Tensor StepComputation::whole_batch(const MicroBatch& input, Branch* branch) const {
  Encoding encoding(model_.context(), Tape::Mode::record);
  encode(encoding, input, BatchStatistics::of_batch, branch);
  const Loss loss = differentiate_loss(model_, encoding.image, encoding.text, input.words);
  backward(encoding, loss.image_gradient, loss.text_gradient, branch);
  return loss.value;
}

Tensor StepComputation::accumulated(std::span<const MicroBatch> inputs, Branch* branch) const {
  Context& context = model_.context();
  std::vector<Tensor> images, texts, words;
  for (const MicroBatch& input : inputs) {
    Encoding silent(context, Tape::Mode::inference);
    encode(silent, input, BatchStatistics::of_batch, branch);
    images.push_back(silent.image);
    texts.push_back(silent.text);
    if (input.words) words.push_back(input.words);
  }
  const Loss loss = differentiate_loss(model_, concatenate(context, images), concatenate(context, texts),
                                       words.empty() ? Tensor() : concatenate(context, words));
  int64_t row = 0;
  for (const MicroBatch& input : inputs) {
    Encoding again(context, Tape::Mode::record);
    encode(again, input, BatchStatistics::of_batch_again, branch);
    const int64_t rows = again.image.size(0);
    backward(again, rows_of(loss.image_gradient, row, rows), rows_of(loss.text_gradient, row, rows), branch);
    row += rows;
  }
  return loss.value;
}

Tensor StepComputation::by_leaves(std::span<const MicroBatch> inputs, Branch* branch) const {
  Context& context = model_.context();
  CUCLIP_CHECK(std::ssize(inputs) * leaves_.ranks->size() == leaves_.count,
               "a step of {} leaves on {} ranks got {} of them on this one", leaves_.count,
               leaves_.ranks->size(), inputs.size());
  std::deque<Encoding> kept;  // each leaf's, unless it is computed again
  std::vector<Tensor> images, texts, words;
  for (const MicroBatch& input : inputs) {
    kept.emplace_back(context, leaves_.recompute ? Tape::Mode::inference : Tape::Mode::record);
    encode(kept.back(), input, BatchStatistics::of_batch, branch);
    images.push_back(kept.back().image);
    texts.push_back(kept.back().text);
    if (input.words) words.push_back(input.words);
    if (leaves_.recompute) kept.pop_back();
  }
  Parameter& log_scale = model_.log_scale();
  const RingLossResult loss = ring_loss(*leaves_.ranks, context,
                                        {.image = concatenate(context, std::exchange(images, {})),
                                         .text = concatenate(context, std::exchange(texts, {})),
                                         .words = words.empty() ? Tensor() : concatenate(context, words),
                                         .log_scale = log_scale.value.reshaped({1}),
                                         .leaves = leaves_.count,
                                         .image_gradient = !model_.options().lock_image});
  const Tensor& arena = model_.parameters().gradients();
  GradientTree tree(context, arena);
  int64_t row = 0;
  for (const MicroBatch& input : inputs) {
    if (leaves_.recompute) {
      kept.emplace_back(context, Tape::Mode::record);
      encode(kept.front(), input, BatchStatistics::of_batch_again, branch);
    }
    const int64_t rows = kept.front().image.size(0);
    backward(kept.front(), rows_of(loss.image_gradient, row, rows), rows_of(loss.text_gradient, row, rows),
             branch);
    kept.pop_front();
    tree.add_leaf(&input == &inputs.back());
    row += rows;
  }
  sum_over_ranks(*leaves_.ranks, context, arena);
  // Every rank has the whole of it already.
  const Tensor scale_gradient = log_scale.gradient.reshaped({1});
  add({.a = scale_gradient, .b = loss.log_scale_gradient, .out = scale_gradient}, context.exec());
  return loss.loss;
}

void StepComputation::run(const StepInputs& inputs, Branch* branch) const {
  const Tensor loss = leaves_.count > 1            ? by_leaves(inputs.batches, branch)
                      : inputs.batches.size() == 1 ? whole_batch(inputs.batches[0], branch)
                                                   : accumulated(inputs.batches, branch);
  optimizer_.step(loss, inputs.lr);
  model_.clamp_logit_scale();
}

}  // namespace cuclip
