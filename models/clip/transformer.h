// The pre-norm transformer that both encoders are made of (Radford et al. 2021, "Learning Transferable Visual
// Models From Natural Language Supervision", 2.4; names and shapes as open_clip's ResidualAttentionBlock).
#pragma once

#include <string>
#include <vector>

#include "core/ops.h"

namespace cuclip {

/// The residual stream between two additions: its value is x + delta. Keeping the two apart lets the addition
/// run inside the layer norm that follows. delta may be none.
struct Residual {
  Tensor x;
  Tensor delta;
};

/// One of the equal blocks of an encoder.
struct BlockShape {
  int64_t width;
  int64_t heads;
  int64_t mlp_width;
  Activation activation;
  bool causal;
  /// Of the weights of the four products. (Biases of the attention start at 0, norms at 1 and 0, biases of
  /// the feed-forward layer as PyTorch's.)
  struct Initialisers {
    Initialiser attention_in, attention_out, mlp_fc, mlp_proj;
  } initialisers;
};

/// A layer norm's parameters: 1 and 0 at first.
struct NormParameters {
  /// `prefix`.weight and `prefix`.bias, [width] each.
  NormParameters(const ParameterScope& scope, const std::string& prefix, int64_t width);
  Parameter &weight, &bias;
};

/// ln_1 → attention → (+) → ln_2 → mlp → (+).
class TransformerBlock {
 public:
  TransformerBlock(const ParameterScope& scope, const BlockShape& shape);

  /// x, delta [B, S, C] → the same.
  Residual forward(Tape& tape, const Residual& in) const;

  /// The last block of an encoder that reads one row of each sequence: everything after the attention is
  /// computed only for that row. Row index[b], or row 0 where index is none. Returns x, delta [B, C].
  Residual forward_pooled(Tape& tape, const Residual& in, const Tensor& index) const;

 private:
  Residual finish(Tape& tape, const Tensor& x, const Tensor& attended) const;

  int64_t heads_;
  Activation activation_;
  bool causal_;
  NormParameters ln_1_;
  Parameter &in_weight_, &in_bias_, &out_weight_, &out_bias_;
  NormParameters ln_2_;
  ops::MlpParameters mlp_;
};

class Transformer {
 public:
  /// Parameters are called resblocks.0.ln_1.weight and so on.
  Transformer(const ParameterScope& scope, int64_t layers, const BlockShape& shape);

  /// x [B, S, C] → the last block's output at one row of each sequence, [B, C].
  Residual forward_pooled(Tape& tape, const Tensor& x, const Tensor& index, bool recomputation) const;

  /// x [B, S, C] → the whole sequence's output, after all blocks but the last `left_out`.
  Residual forward(Tape& tape, const Tensor& x, bool recomputation, size_t left_out = 0) const;

 private:
  Residual run(Tape& tape, const Tensor& x, size_t blocks, bool recomputation) const;
  std::vector<TransformerBlock> blocks_;
};

}  // namespace cuclip
