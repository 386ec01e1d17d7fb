// CLIP's text encoder: a causal transformer read at the end-of-text token.
#pragma once

#include "models/clip_config.h"
#include "models/transformer.h"

namespace cuclip {

/// 1 + the last end-of-text position of any row: how many columns of tokens i32 [B, context_length] are computed.
int64_t used_length(const Tensor& tokens);

class TextTransformer {
 public:
  TextTransformer(ParameterStore& store, const ClipConfig& config);

  /// tokens i32 [B, context_length] → features f32 [B, embed_dim], not normalised. The features are those at
  /// the largest token id of each row (the end-of-text token). Columns that lie behind every row's
  /// end-of-text are not computed: the mask is causal, so that they change nothing.
  Tensor forward(Tape& tape, const Tensor& tokens, DType dtype, bool checkpointing) const;

  /// The hidden states of all positions after ln_final, [B, context_length, C]: what text-to-image models
  /// condition on.
  Tensor hidden_states(Tape& tape, const Tensor& tokens, DType dtype) const;

 private:
  Transformer transformer_;
  Parameter &token_embedding_, &position_, &ln_final_weight_, &ln_final_bias_, &projection_;
};

}  // namespace cuclip
