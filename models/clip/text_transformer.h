// CLIP's text encoder: a causal transformer read at the end-of-text token.
#pragma once

#include <array>
#include <string_view>

#include "core/words.h"
#include "models/clip/clip_config.h"
#include "models/clip/transformer.h"

namespace cuclip {

/// 1 + the last end-of-text position of any row: how many columns of tokens i32 [B, context_length] are
/// computed.
int64_t used_length(const Tensor& tokens);

/// Captions for the text encoder.
struct TextInput {
  Tensor tokens;  // i32 [B, L], L <= context_length
  Tensor end;     // i32 [B]: where each row's end-of-text token is
};

/// tokens i32 [B, context_length], in the host's memory, without the columns that lie after every row's
/// end-of-text token (the one with the largest id): the mask is causal, so they would change nothing. The
/// columns that are used stay, rounded up to a multiple of `multiple`. `context` is a context on the CPU.
TextInput trim_text(Context& context, const Tensor& tokens, int64_t multiple = 1);

/// Which of the blocks' outputs a text-to-image model is conditioned on.
enum class TextLayer : uint8_t { last, penultimate };
template <>
inline constexpr std::array<std::string_view, 2> kWords<TextLayer>{"last", "penultimate"};

/// Stable Diffusion 1 takes the last layer and 2 the last but one, both through the final layer norm; SDXL
/// the last but one as it is.
struct HiddenStateOptions {
  TextLayer layer = TextLayer::last;
  bool final_norm = true;
};

class TextTransformer {
 public:
  /// Fresh parameters are open_clip's TextTransformer.init_parameters.
  TextTransformer(const ParameterScope& scope, const ClipConfig& config);

  /// The token at each row's end after the final layer norm, [B, C] of `dtype`. The input is in the memory of
  /// the tape's context.
  Tensor pooled(Tape& tape, const TextInput& text, DType dtype, bool recomputation) const;

  /// It projected: features f32 [B, embed_dim] at each row's end, not normalised. The input is in the memory
  /// of the tape's context.
  Tensor forward(Tape& tape, const TextInput& text, DType dtype, bool recomputation) const;

  /// The hidden states of all positions, [B, context_length, C].
  Tensor hidden_states(Tape& tape, const Tensor& tokens, DType dtype,
                       const HiddenStateOptions& options = {}) const;

 private:
  Transformer transformer_;
  Parameter &token_embedding_, &position_;
  NormParameters ln_final_;
  Parameter& projection_;
};

}  // namespace cuclip
