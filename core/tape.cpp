#include "core/tape.h"

#include <algorithm>

#include "kernels/pointwise/pointwise.h"

namespace cuclip {

void Grads::add(const Tensor& x, const Tensor& gradient) {
  if (!needs(x) || !gradient) return;
  CUCLIP_CHECK(gradient.elements() == x.elements(), "gradient of a tensor {} has shape {}",
               x.shape().to_string(), gradient.shape().to_string());
  Tensor& slot = gradients_[static_cast<size_t>(x.tape_index())];
  const Shape& shape = shapes_[static_cast<size_t>(x.tape_index())];
  if (!slot) {
    slot = gradient.reshaped(shape);
    return;
  }
  Tensor sum = Tensor::empty(context_, shape, slot.dtype());
  cuclip::add({.a = slot, .b = gradient.reshaped(shape), .out = sum}, context_.exec());
  slot = sum;
}

bool Tape::needs_record(std::initializer_list<Tensor> inputs, bool parameters) const {
  if (!recording()) return false;
  return parameters ||
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.tape_index() >= 0; });
}

void Tape::record(std::span<Tensor> outputs, Backward backward) {
  nodes_.push_back({static_cast<int>(shapes_.size()), static_cast<int>(outputs.size()), std::move(backward)});
  for (Tensor& output : outputs) {
    output.tape_index_ = static_cast<int>(shapes_.size());
    shapes_.push_back(output.shape());
  }
}

Tensor Tape::leaf(const Tensor& value) {
  Tensor result = value;
  result.tape_index_ = static_cast<int>(shapes_.size());
  shapes_.push_back(value.shape());
  return result;
}

std::vector<Tensor> Tape::backward(std::span<const Seed> seeds, std::span<const Tensor> leaves) {
  CUCLIP_CHECK(recording(), "backward on a tape that does not record");
  const TraceRange range("backward");
  Grads grads(context_, shapes_);
  for (const Seed& seed : seeds) grads.add(seed.output, seed.gradient);
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    auto first = grads.gradients_.begin() + node->first_output;
    auto last = first + node->output_count;
    if (std::any_of(first, last, [](const Tensor& t) { return static_cast<bool>(t); })) {
      grads.first_output_ = node->first_output;
      node->backward(grads);
    }
    node->backward = nullptr;
    std::fill(first, last, Tensor());
  }
  nodes_.clear();
  std::vector<Tensor> result;
  for (const Tensor& leaf : leaves)
    result.push_back(grads.gradients_[static_cast<size_t>(leaf.tape_index())]);
  return result;
}

void Tape::backward(const Tensor& loss) {
  CUCLIP_CHECK(loss.elements() == 1, "backward needs a scalar, got {}", loss.shape().to_string());
  const Seed seed{loss, Tensor::full(context_, loss.shape(), 1.0f)};
  backward(std::span(&seed, 1));
}

std::vector<Tensor> recompute(
    Tape& tape, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(Tape&, const std::vector<Tensor>&)>& function) {
  if (!tape.recording()) return function(tape, inputs);
  std::vector<Tensor> outputs;
  {
    Tape silent(tape.context(), Tape::Mode::inference);
    outputs = function(silent, inputs);
  }
  tape.record(outputs, [inputs, function](Grads& g) {
    Tape again(g.context());
    std::vector<Tensor> leaves;
    for (const Tensor& input : inputs) leaves.push_back(again.leaf(input));
    const std::vector<Tensor> recomputed = function(again, leaves);
    std::vector<Tape::Seed> seeds;
    for (size_t i = 0; i < recomputed.size(); ++i) {
      if (const Tensor gradient = g.output(static_cast<int>(i))) seeds.push_back({recomputed[i], gradient});
    }
    const std::vector<Tensor> gradients = again.backward(seeds, leaves);
    for (size_t i = 0; i < inputs.size(); ++i) g.add(inputs[i], gradients[i]);
  });
  return outputs;
}

}  // namespace cuclip
