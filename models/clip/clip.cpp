#include "models/clip/clip.h"

#include <xxhash.h>

#include <cmath>

namespace cuclip {

ClipModel::Parts::Parts(const ClipConfig& config, const ClipOptions& options)
    : config(config),
      text(ParameterScope(store), config),
      vision(make_image_encoder(ParameterScope(store, "visual.", options.lock_image), config)),
      log_scale(store.add("logit_scale", {}, ParameterRole::scale,
                          Initialiser::constant(std::log(1.0f / 0.07f)))) {}

ClipModel::ClipModel(Context& context, const ClipConfig& config, const ClipOptions& options)
    : context_(context), options_(options), parts_(std::make_shared<Parts>(config, options)) {
  check_floating("clip: dtype", options.dtype);
  if (!options.unset) allocate();
}

ClipModel::ClipModel(Context& context, const ClipModel& other)
    : context_(context), options_(other.options_), fixed_weights_(true), parts_(other.parts_) {
  CUCLIP_CHECK(other.fixed_weights_, "clip: only fixed weights (fix_weights) can be run in several contexts");
  CUCLIP_CHECK(context.device() == other.context_.device(), "clip: the weights are on device {}, not on {}",
               name_of(other.context_.device()), name_of(context.device()));
}

void ClipModel::fix_weights() {
  fixed_weights_ = true;
  device_synchronize(context_.device(),
                     context_.stream());  // other contexts' streams may read them from now on
}

void ClipModel::allocate() {
  if (parts_->store.values()) return;
  parts_->store.allocate(context_, {.gradients = options_.training,
                                    .bf16_copies = options_.dtype == DType::bf16,
                                    .unset = options_.unset});
}

void ClipModel::initialise(uint64_t seed) {
  CUCLIP_CHECK(!fixed_weights_, "initialise: this model's weights have been fixed (fix_weights)");
  allocate();
  parts_->store.initialise(context_, seed);
}

Tensor ClipModel::encode_image(Tape& tape, const Tensor& images, const Tensor& kept,
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
  return ops::l2_normalize(image_tape, parts_->vision->forward(image_tape, here, pass));
}

Tensor ClipModel::image_features(Tape& tape, const Tensor& images, FeatureKind kind) const {
  if (kind == FeatureKind::unit) return encode_image(tape, images);
  const TraceRange range("encode image");
  const ImagePass pass{
      .dtype = options_.dtype, .fixed_weights = fixed_weights_, .projected = kind == FeatureKind::projected};
  return parts_->vision->forward(tape, images.to(context_), pass);
}

TextInput ClipModel::text_input(const Tensor& tokens) const {
  check_tensor("text: tokens", tokens, DType::i32, {tokens.size(0), config().text.context_length});
  const TextInput trimmed = trim_text(context_.host(), tokens);
  return {trimmed.tokens.to(context_), trimmed.end.to(context_)};
}

Tensor ClipModel::encode_text(Tape& tape, const Tensor& tokens) const {
  return encode_text(tape, text_input(tokens));
}

Tensor ClipModel::text_features(Tape& tape, const Tensor& tokens, FeatureKind kind) const {
  if (kind == FeatureKind::unit) return encode_text(tape, tokens);
  const TraceRange range("encode text");
  const TextInput text = text_input(tokens);
  return kind == FeatureKind::pooled
             ? parts_->text.pooled(tape, text, options_.dtype, options_.recomputation)
             : parts_->text.forward(tape, text, options_.dtype, options_.recomputation);
}

Tensor ClipModel::encode_text(Tape& tape, const TextInput& text) const {
  const TraceRange range("encode text");
  return ops::l2_normalize(tape, parts_->text.forward(tape, text, options_.dtype, options_.recomputation));
}

Tensor ClipModel::loss(Tape& tape, const Tensor& image_features, const Tensor& text_features,
                       const Tensor& words) const {
  const TraceRange range("loss");
  return ops::contrastive_loss(tape, image_features, text_features, parts_->log_scale, words);
}

Tensor ClipModel::text_hidden_states(Tape& tape, const Tensor& tokens,
                                     const HiddenStateOptions& options) const {
  return parts_->text.hidden_states(tape, tokens, options_.dtype, options);
}

std::string ClipModel::hash_weights() const {
  const Tensor values = parameters().values().to(context_.host());
  const std::string json = clip_config_json(config());
  const XXH64_hash_t seed = XXH3_64bits(json.data(), json.size());
  return fmt::format("{:016x}", XXH3_64bits_withSeed(values.view().data, values.bytes(), seed));
}

std::string ClipModel::fingerprint() const {
  if (!fixed_weights_) return hash_weights();
  std::call_once(parts_->hashed, [&] { parts_->fingerprint = hash_weights(); });
  return parts_->fingerprint;
}

float ClipModel::logit_scale() const { return std::exp(parts_->log_scale.value.item()); }

void ClipModel::clamp_logit_scale() {
  clamp({.x = parts_->log_scale.value, .low = 0.0f, .high = std::log(100.0f)}, context_.exec());
}

}  // namespace cuclip
