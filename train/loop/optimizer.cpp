#include "train/loop/optimizer.h"

#include <cstring>

namespace cuclip {

namespace {

// The segments' bytes in the context's memory.
Tensor to_tensor(Context& context, const std::vector<AdamWSegment>& segments) {
  const std::span bytes(reinterpret_cast<const uint8_t*>(segments.data()),
                        segments.size() * sizeof(AdamWSegment));
  return Tensor::from<uint8_t>(context, {std::ssize(bytes)}, bytes);
}

}  // namespace

bool has_weight_decay(const Parameter& parameter) {
  return parameter.role == ParameterRole::weight || parameter.role == ParameterRole::filters ||
         parameter.role == ParameterRole::embedding;
}

Optimizer::Optimizer(Context& context, ParameterStore& store, const OptimizerOptions& options)
    : context_(context), store_(store), options_(options) {
  std::vector<AdamWSegment> segments;
  for (const Parameter& parameter : store.parameters()) {
    if (parameter.frozen) continue;
    segments.push_back({.offset = parameter.offset,
                        .size = parameter.shape.elements(),
                        .weight_decay = has_weight_decay(parameter) ? options.weight_decay : 0.0f});
  }
  check_segments("optimizer", segments, store.values().elements());
  segments_ = to_tensor(context, segments);
  control_ = Tensor::empty(context, {sizeof(AdamWControl)}, DType::u8);
  set_steps(0);
  exp_avg_ = Tensor::zeros(context, store.values().shape(), DType::f32);
  exp_avg_sq_ = Tensor::zeros(context, store.values().shape(), DType::f32);
}

void Optimizer::step(const Tensor& loss, const Tensor& lr) {
  const std::span segments(reinterpret_cast<const AdamWSegment*>(segments_.view().data),
                           segments_.bytes() / sizeof(AdamWSegment));
  auto* const control = reinterpret_cast<AdamWControl*>(control_.view().data);
  const double beta1 = static_cast<double>(options_.beta1), beta2 = static_cast<double>(options_.beta2);
  adamw_begin({.gradients = store_.gradients(),
               .segments = segments,
               .loss = loss,
               .lr = lr,
               .control = control,
               .beta1 = beta1,
               .beta2 = beta2,
               .clip_norm = options_.clip_norm},
              context_.exec());
  adamw_step({.weights = store_.values(),
              .gradients = store_.gradients(),
              .exp_avg = exp_avg_,
              .exp_avg_sq = exp_avg_sq_,
              .weights_bf16 = store_.bf16_copies(),
              .segments = segments,
              .control = control,
              .beta1 = beta1,
              .beta2 = beta2,
              .eps = static_cast<double>(options_.eps),
              .zero_gradients = true},
             context_.exec());
}

AdamWControl Optimizer::control() const {
  AdamWControl control;
  std::memcpy(&control, control_.to(context_.host()).data<uint8_t>(), sizeof control);
  return control;
}

void Optimizer::set_steps(int64_t steps) {
  const AdamWControl control{.steps = steps};
  device_copy(context_.device(), control_.view().data, &control, sizeof control, context_.stream());
  device_synchronize(context_.device(), context_.stream());
}

}  // namespace cuclip
