// float64 reference of multi-head attention over packed [B, S, 3C] projections.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::test {

struct AttentionShape {
  int64_t batch, length, heads, head_dim;
  bool causal;
  int64_t width() const { return heads * head_dim; }
};

struct AttentionReference {
  std::vector<double> out;  // [B, S, C]
  std::vector<double> lse;  // [B, H, S]
  /// sum_t P[s, t] |v[t, d]|, shaped as out: how far a relative error of every P may move it.
  std::vector<double> out_terms;
};
AttentionReference ref_attention(const std::vector<double>& qkv, const AttentionShape& s);

struct AttentionGradient {
  std::vector<double> dqkv;
  /// The sums of the terms' magnitudes: how far a relative error of every P and dS may move dqkv.
  std::vector<double> terms;
};
/// The gradient of sum(result * dout) with respect to qkv, [B, S, 3C]. `out` is the forward's result as it
/// was stored: delta is computed from it, so that its rounding is part of the contract and not of the error.
AttentionGradient ref_attention_backward(const std::vector<double>& qkv, const std::vector<double>& out,
                                         const std::vector<double>& dout, const AttentionShape& s);

}  // namespace cuclip::test
