// AdamW over a model's parameters, with CLIP's exclusions from weight decay.
#pragma once

#include <vector>

#include "core/parameter.h"
#include "kernels/adamw/adamw.h"

namespace cuclip {

struct OptimizerOptions {
  float beta1 = 0.9f;
  float beta2 = 0.98f;
  float eps = 1e-6f;
  float weight_decay = 0.2f;
  /// Largest gradient norm; 0: no clipping.
  float clip_norm = 0.0f;
};

/// True where open_clip decays weights: those of products and the token embeddings; not norms, biases, the
/// temperature, the class token and the position embeddings.
bool has_weight_decay(const Parameter& parameter);

class Optimizer {
 public:
  /// For the parameters that are not frozen.
  Optimizer(Context& context, ParameterStore& store, const OptimizerOptions& options);

  /// Takes one step with the gradients, which are then zeroed; writes the bf16 copies too. If the loss (f32
  /// [1]) or a gradient of what is trained is not finite, it only zeroes. lr: f32 [1]. Does not wait for the
  /// device.
  void step(const Tensor& loss, const Tensor& lr);

  /// How the steps went; waits for those that are under way.
  AdamWControl control() const;

  /// The optimiser steps taken so far, and the moments' arenas (laid out like the parameters'): what a
  /// checkpoint keeps.
  int64_t steps() const { return control().steps; }
  void set_steps(int64_t steps);
  const Tensor& exp_avg() const { return exp_avg_; }
  const Tensor& exp_avg_sq() const { return exp_avg_sq_; }

 private:
  Context& context_;
  ParameterStore& store_;
  OptimizerOptions options_;
  Tensor segments_, control_;  // u8: AdamWSegment[], AdamWControl
  Tensor exp_avg_, exp_avg_sq_;
};

}  // namespace cuclip
