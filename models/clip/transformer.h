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

/// ln_1 → attention → (+) → ln_2 → mlp → (+).
class TransformerBlock {
 public:
  TransformerBlock(ParameterStore& store, const std::string& prefix, int64_t width, int64_t heads,
                   int64_t mlp_width, Activation activation, bool causal);

  /// x, delta [B, S, C] → the same.
  Residual forward(Tape& tape, const Residual& in) const;

  /// The last block of an encoder that reads one row of each sequence: everything after the attention is
  /// computed for that row alone. Row index[b], or row 0 where index is none. Returns x, delta [B, C].
  Residual forward_pooled(Tape& tape, const Residual& in, const Tensor& index) const;

 private:
  Residual finish(Tape& tape, const Tensor& x, const Tensor& attended) const;

  int64_t heads_;
  Activation activation_;
  bool causal_;
  Parameter &ln_1_weight_, &ln_1_bias_, &in_weight_, &in_bias_, &out_weight_, &out_bias_, &ln_2_weight_,
      &ln_2_bias_;
  ops::MlpParameters mlp_;
};

class Transformer {
 public:
  Transformer(ParameterStore& store, const std::string& prefix, int64_t width, int64_t layers, int64_t heads,
              int64_t mlp_width, Activation activation, bool causal);

  /// x [B, S, C] → the last block's output at one row of each sequence, [B, C].
  Residual forward_pooled(Tape& tape, const Tensor& x, const Tensor& index, bool recomputation) const;

  /// x [B, S, C] → the whole sequence's output.
  Residual forward(Tape& tape, const Tensor& x, bool recomputation) const;

 private:
  Residual run(Tape& tape, const Tensor& x, size_t blocks, bool recomputation) const;
  std::vector<TransformerBlock> blocks_;
};

}  // namespace cuclip
