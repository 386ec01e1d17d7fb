// A CLIP model: two encoders, a temperature, and their parameters.
#pragma once

#include <memory>

#include "models/clip/clip_config.h"
#include "models/clip/image_encoder.h"
#include "models/clip/text_transformer.h"

namespace cuclip {

struct ClipOptions {
  /// Activations and matrix products; parameters' master copies, statistics and sums stay f32.
  DType dtype = DType::f32;
  /// Allocate gradients.
  bool training = false;
  /// Keep only each block's inputs and recompute the rest in the backward pass.
  bool recomputation = false;
  /// Run the image encoder, but do not train it: nothing flows back into it, and its parameters are frozen.
  bool lock_image = false;
  /// Leave the parameters unset (ParameterStore::Options), for whoever initialises or loads them at once.
  bool unset = false;
};

/// Parameters have open_clip's state-dict names. Not copyable: operations on tapes refer to the parameters.
class Clip {
 public:
  /// With parameters of zero, unless they are unset; call initialise() or load weights. The context must
  /// outlive the model.
  Clip(Context& context, const ClipConfig& config, const ClipOptions& options = {});
  Clip(const Clip&) = delete;
  Clip& operator=(const Clip&) = delete;

  /// CLIP's initialisation (open_clip's model.py; PyTorch's defaults where it has none): each parameter by
  /// its own initialiser. Depends only on the seed.
  void initialise(uint64_t seed);

  /// images u8 [B, S, S, 3] or normalised f32 [B, 3, S, S] → f32 [B, E] of unit length. `kept`: i32 [B, K],
  /// the tokens for a vision transformer to see, ascending from 0 (the class token); none: all. `statistics`:
  /// what a modified ResNet normalises by; a recorded pass needs the batch's.
  Tensor encode_image(Tape& tape, const Tensor& images, const Tensor& kept = Tensor(),
                      BatchStatistics statistics = BatchStatistics::running) const;
  /// tokens i32 [B, context_length], in the host's memory → f32 [B, E] of unit length.
  Tensor encode_text(Tape& tape, const Tensor& tokens) const;
  /// The same for text that is already trimmed and on the context's device: nothing is copied or waited for.
  Tensor encode_text(Tape& tape, const TextInput& text) const;
  /// CLIP's loss for features that belong together row by row: f32 [1]. With words, as ops::contrastive_loss
  /// takes them, pairs whose captions say the same are not contrasted.
  Tensor loss(Tape& tape, const Tensor& image_features, const Tensor& text_features,
              const Tensor& words = {}) const;
  /// tokens → [B, context_length, C] before pooling and projection.
  Tensor text_hidden_states(Tape& tape, const Tensor& tokens) const;

  /// exp(t); waits for the device.
  float logit_scale() const;
  /// Keeps t in [0, ln 100], as CLIP does after each step.
  void clamp_logit_scale();

  /// Promises that no parameter changes any more: what is prepared of them is kept from one pass to the
  /// next. A modified ResNet on the CPU then keeps its convolutions' weights once more, in oneDNN's order,
  /// and saves putting them into it, a fifth of the work for a single picture. It cannot be taken back:
  /// load_weights() and initialise() then refuse the model.
  void fix_weights() { fixed_weights_ = true; }
  bool has_fixed_weights() const { return fixed_weights_; }

  const ClipConfig& config() const { return config_; }
  const ClipOptions& options() const { return options_; }
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }
  Context& context() const { return context_; }

 private:
  Context& context_;
  ClipConfig config_;
  ClipOptions options_;
  bool fixed_weights_ = false;
  ParameterStore store_;
  TextTransformer text_;
  std::unique_ptr<const ImageEncoder> vision_;
  Parameter& log_scale_;
};

}  // namespace cuclip
