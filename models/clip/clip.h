// A CLIP model: two encoders, a temperature, and their parameters.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/words.h"
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
  /// Leave the parameters unset and without memory until initialise() or load_weights() sets them all.
  bool unset = false;
  /// What encodes many (models/inference/encode.h) gives each picture and each text a batch of its own: the
  /// same bits whatever comes with it.
  bool batch_invariant = false;
};

/// What a picture or a text is encoded to.
enum class FeatureKind : uint8_t {
  unit,       // f32 [B, E] of unit length: pictures and texts can be compared
  projected,  // f32 [B, E], the same before it is normalised (transformers' get_text_features)
  pooled,     // before the projection: transformers' pooler_output
};
template <>
inline constexpr std::array<std::string_view, 3> kWords<FeatureKind>{"unit", "projected", "pooled"};

/// Parameters have open_clip's state-dict names. Not copyable: operations on tapes refer to the parameters.
/// One thread at a time; several threads run the same weights by a model and a context of their own each.
class ClipModel {
 public:
  /// With parameters of zero, unless they are unset; call initialise() or load weights. The context must
  /// outlive the model.
  ClipModel(Context& context, const ClipConfig& config, const ClipOptions& options = {});
  /// The same parameters, not copied, run in another context of the same device. The weights of `other` must
  /// have been fixed (fix_weights), or InputError; it need not outlive this one.
  ClipModel(Context& context, const ClipModel& other);
  ClipModel(const ClipModel&) = delete;
  ClipModel& operator=(const ClipModel&) = delete;

  /// Takes the memory of parameters that were left unset; nothing to do where they have it.
  void allocate();

  /// CLIP's initialisation (open_clip's model.py; PyTorch's defaults where it has none): each parameter by
  /// its own initialiser. Depends only on the seed.
  void initialise(uint64_t seed);

  /// images u8 [B, S, S, 3] or normalised f32 [B, 3, S, S] → f32 [B, E] of unit length. `kept`: i32 [B, K],
  /// the tokens for a vision transformer to see, ascending from 0 (the class token); none: all. `statistics`:
  /// what a modified ResNet normalises by; a recorded pass needs the batch's.
  Tensor encode_image(Tape& tape, const Tensor& images, const Tensor& kept = Tensor(),
                      BatchStatistics statistics = BatchStatistics::running) const;
  /// The same images as another kind of feature. Pooled is what linear probes learn from (Radford et al.
  /// 2021, appendix A.3), [B, representation_width]: a vision transformer's pooled token after ln_post, of
  /// the model's dtype; a modified ResNet's attention pool, which has the projection in it, f32.
  Tensor image_features(Tape& tape, const Tensor& images, FeatureKind kind) const;
  /// tokens i32 [B, context_length], in the host's memory → f32 [B, E] of unit length.
  Tensor encode_text(Tape& tape, const Tensor& tokens) const;
  /// The same for text that is already trimmed and on the context's device: nothing is copied or waited for.
  Tensor encode_text(Tape& tape, const TextInput& text) const;
  /// The same tokens as another kind of feature. Pooled is the token at the end of the text after ln_final,
  /// [B, text width], of the model's dtype.
  Tensor text_features(Tape& tape, const Tensor& tokens, FeatureKind kind) const;
  /// CLIP's loss for features that belong together row by row: f32 [1]. With words, as ops::contrastive_loss
  /// takes them, pairs whose captions say the same are not contrasted.
  Tensor loss(Tape& tape, const Tensor& image_features, const Tensor& text_features,
              const Tensor& words = {}) const;
  /// tokens → [B, context_length, C] before pooling and projection.
  Tensor text_hidden_states(Tape& tape, const Tensor& tokens, const HiddenStateOptions& options = {}) const;

  /// t, by whose exponential similarities are multiplied.
  Parameter& log_scale() const { return parts_->log_scale; }
  /// exp(t); waits for the device.
  float logit_scale() const;
  /// Keeps t in [0, ln 100], as CLIP does after each step.
  void clamp_logit_scale();

  /// Promises that no parameter changes any more: what is prepared of them is kept from one pass to the
  /// next. A modified ResNet on the CPU then keeps its convolutions' weights once more, in oneDNN's order,
  /// and saves putting them into it, a fifth of the work for a single picture. It cannot be taken back:
  /// load_weights() and initialise() then refuse the model.
  void fix_weights();
  bool has_fixed_weights() const { return fixed_weights_; }

  /// A hash of all weights and of the configuration, 16 hexadecimal digits: the same for two models that
  /// encode alike. Reads all weights; of fixed ones only once, for all models that share them. Thread-safe.
  std::string fingerprint() const;

  const ClipConfig& config() const { return parts_->config; }
  const ClipOptions& options() const { return options_; }
  ParameterStore& parameters() { return parts_->store; }
  const ParameterStore& parameters() const { return parts_->store; }
  Context& context() const { return context_; }

 private:
  // What does not depend on the context.
  struct Parts {
    Parts(const ClipConfig& config, const ClipOptions& options);
    ClipConfig config;
    ParameterStore store;
    TextTransformer text;
    std::unique_ptr<const ImageEncoder> vision;
    Parameter& log_scale;
    std::once_flag hashed;
    std::string fingerprint;  // of fixed weights, once `hashed`
  };
  std::string hash_weights() const;
  TextInput text_input(const Tensor& tokens) const;  // trimmed, and on the context's device

  Context& context_;
  ClipOptions options_;
  bool fixed_weights_ = false;
  std::shared_ptr<Parts> parts_;
};

}  // namespace cuclip
