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
};
AttentionReference ref_attention(const std::vector<double>& qkv, const AttentionShape& s);

/// The gradient of sum(result * dout) with respect to qkv, [B, S, 3C]. `out` is the forward's result as it
/// was stored: delta is computed from it, so that its rounding is part of the contract and not of the error.
std::vector<double> ref_attention_backward(const std::vector<double>& qkv, const std::vector<double>& out,
                                           const std::vector<double>& dout, const AttentionShape& s);

}  // namespace cuclip::test
