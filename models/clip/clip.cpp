#include "models/clip/clip.h"

#include <cmath>

namespace cuclip {

Clip::Clip(Context& context, const ClipConfig& config, const ClipOptions& options)
    : context_(context),
      config_(config),
      options_(options),
      text_(ParameterScope(store_), config),
      vision_(make_image_encoder(ParameterScope(store_, "visual.", options.lock_image), config)),
      log_scale_(store_.add("logit_scale", {}, ParameterRole::scale,
                            Initialiser::constant(std::log(1.0f / 0.07f)))) {
  check_floating("clip: dtype", options.dtype);
  store_.allocate(
      context,
      {.gradients = options.training, .bf16_copies = options.dtype == DType::bf16, .unset = options.unset});
}

void Clip::initialise(uint64_t seed) {
  CUCLIP_CHECK(!fixed_weights_, "initialise: this model's weights have been fixed (fix_weights)");
  store_.initialise(context_, seed);
}

Tensor Clip::encode_image(Tape& tape, const Tensor& images, const Tensor& kept,
                          BatchStatistics statistics) const {
  const TraceRange range("encode image");
  const Tensor here = images.to(context_), kept_here = kept.to(context_);
  Tape silent(context_, Tape::Mode::inference);
  Tape& image_tape = options_.lock_image ? silent : tape;
  const ImagePass pass{.dtype = options_.dtype,
                       .recomputation = options_.recomputation,
                       .statistics = options_.lock_image ? BatchStatistics::running : statistics,
                       .fixed_weights = fixed_weights_,
                       .kept = kept_here};
  return ops::l2_normalize(image_tape, vision_->forward(image_tape, here, pass));
}

Tensor Clip::encode_text(Tape& tape, const Tensor& tokens) const {
  check_tensor("text: tokens", tokens, DType::i32, {tokens.size(0), config_.text.context_length});
  const TextInput trimmed = trim_text(context_.host(), tokens);
  return encode_text(tape, TextInput{trimmed.tokens.to(context_), trimmed.end.to(context_)});
}

Tensor Clip::encode_text(Tape& tape, const TextInput& text) const {
  const TraceRange range("encode text");
  return ops::l2_normalize(tape, text_.forward(tape, text, options_.dtype, options_.recomputation));
}

Tensor Clip::loss(Tape& tape, const Tensor& image_features, const Tensor& text_features,
                  const Tensor& words) const {
  const TraceRange range("loss");
  return ops::contrastive_loss(tape, image_features, text_features, log_scale_, words);
}

Tensor Clip::text_hidden_states(Tape& tape, const Tensor& tokens) const {
  return text_.hidden_states(tape, tokens, options_.dtype);
}

float Clip::logit_scale() const { return std::exp(log_scale_.value.item()); }

void Clip::clamp_logit_scale() {
  clamp({.x = log_scale_.value, .low = 0.0f, .high = std::log(100.0f)}, context_.exec());
}

}  // namespace cuclip
