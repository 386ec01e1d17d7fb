// The tape: what was computed, so that it can be differentiated backwards (reverse-mode automatic
// differentiation; Griewank and Walther, Evaluating Derivatives, chapter 3).
//
// An operation computes its output, then records how gradients flow back through it:
//
//   Tensor y = ...forward of x...;
//   tape.record(y, [x](Grads& g) {
//     Tensor dx = ...from x and g.output()...;
//     g.add(x, dx);
//   });
//
// Exactly what the closure captures is saved for the backward pass. Gradients of parameters
// are accumulated into the parameters by the closure itself (+=); gradients of activations go through Grads.
#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace cuclip {

class Tape;

/// The gradients of activations during a backward pass.
class Grads {
 public:
  /// The gradient of the i-th output of the operation that is being differentiated, in the shape that the
  /// output was recorded with. None (a Tensor that is false) if nothing downstream used that output; at least
  /// one output has a gradient.
  Tensor output(int i = 0) const { return gradients_[static_cast<size_t>(first_output_ + i)]; }
  /// True when `x` was computed from something that needs a gradient; if not, add() ignores what it is given.
  bool needs(const Tensor& x) const { return x.tape_index() >= 0; }
  /// Adds to the gradient of `x`. The first contribution is kept without a copy, so it may be shared with
  /// other tensors' gradients: nobody writes into a gradient once it is here.
  void add(const Tensor& x, const Tensor& gradient);
  Context& context() const { return context_; }

 private:
  friend class Tape;
  Grads(Context& context, const std::vector<Shape>& shapes)
      : context_(context), shapes_(shapes), gradients_(shapes.size()) {}
  Context& context_;
  const std::vector<Shape>& shapes_;  // by tape index
  std::vector<Tensor> gradients_;     // by tape index
  int first_output_ = 0;
};

class Tape {
 public:
  using Backward = std::function<void(Grads&)>;

  enum class Mode { record, inference };

  explicit Tape(Context& context, Mode mode = Mode::record) : context_(context), mode_(mode) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Context& context() const { return context_; }
  bool recording() const { return mode_ == Mode::record; }

  /// True when an operation on these inputs has to be recorded: some input (or, with `parameters`, some
  /// trainable parameter) needs a gradient.
  bool needs_record(std::initializer_list<Tensor> inputs, bool parameters = false) const;

  /// Gives the outputs their place on the tape and keeps `backward` for later.
  void record(std::span<Tensor> outputs, Backward backward);
  void record(Tensor& output, Backward backward) { record(std::span(&output, 1), std::move(backward)); }

  /// A tensor from outside whose gradient is wanted; backward() returns it.
  Tensor leaf(const Tensor& value);

  struct Seed {
    Tensor output;
    Tensor gradient;
  };
  /// Runs backwards from the outputs with these gradients. Each operation's saved tensors are released as the
  /// pass leaves it. May be called once. Returns the gradients of `leaves`, in order (a false Tensor where
  /// nothing arrived).
  std::vector<Tensor> backward(std::span<const Seed> seeds, std::span<const Tensor> leaves = {});
  /// From a scalar, with gradient 1.
  void backward(const Tensor& loss);

  /// Number of recorded operations.
  size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    int first_output;
    int output_count;
    Backward backward;
  };
  Context& context_;
  Mode mode_;
  std::vector<Node> nodes_;
  std::vector<Shape> shapes_;  // by tape index
};

/// Recomputes instead of remembering (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"):
/// runs `function` without recording, keeps only its inputs, and runs it again, this time recorded, in the
/// backward pass.
std::vector<Tensor> recompute(
    Tape& tape, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(Tape&, const std::vector<Tensor>&)>& function);

}  // namespace cuclip
