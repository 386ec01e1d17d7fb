#include "train/optimizer.h"

#include <algorithm>

namespace cuclip {

bool has_weight_decay(const Parameter& parameter) {
  const std::string& name = parameter.name;
  const auto contains = [&](const char* part) { return name.find(part) != std::string::npos; };
  return parameter.shape.rank() >= 2 && !contains("bn") && !contains("ln") && !contains("bias") &&
         !contains("logit_scale") && !contains("positional_embedding");
}

Optimizer::Optimizer(Context& context, ParameterStore& store, const OptimizerOptions& options)
    : context_(context), store_(store), options_(options) {
  for (const Parameter& parameter : store.parameters()) {
    const auto& frozen = options.frozen_prefixes;
    if (std::any_of(frozen.begin(), frozen.end(),
                    [&](const auto& p) { return parameter.name.starts_with(p); })) {
      continue;
    }
    segments_.push_back({.offset = parameter.offset,
                         .size = parameter.shape.elements(),
                         .weight_decay = has_weight_decay(parameter) ? options.weight_decay : 0.0f});
  }
  exp_avg_ = Tensor::zeros(context, store.values().shape(), DType::f32);
  exp_avg_sq_ = Tensor::zeros(context, store.values().shape(), DType::f32);
  norm_ = Tensor::zeros(context, {1}, DType::f32);
}

float Optimizer::gradient_norm() {
  cuclip::gradient_norm({.gradients = store_.gradients(), .segments = segments_, .norm = norm_},
                        context_.exec());
  return norm_.item();
}

void Optimizer::step(float lr, float gradient_norm) {
  // torch.nn.utils.clip_grad_norm_: scale by max_norm / (norm + 1e-6) where that is below 1.
  const float scale =
      options_.clip_norm > 0 ? std::min(1.0f, options_.clip_norm / (gradient_norm + 1e-6f)) : 1.0f;
  steps_++;
  adamw_step({.weights = store_.values(),
              .gradients = store_.gradients(),
              .exp_avg = exp_avg_,
              .exp_avg_sq = exp_avg_sq_,
              .weights_bf16 = store_.low(),
              .segments = segments_,
              .lr = lr,
              .beta1 = options_.beta1,
              .beta2 = options_.beta2,
              .eps = options_.eps,
              .step = steps_,
              .gradient_scale = scale,
              .zero_gradients = true},
             context_.exec());
}

}  // namespace cuclip
