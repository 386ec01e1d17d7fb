// float64 references of attention pooling's core and of the mean token.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::test {

struct AttentionPoolShape {
  int64_t batch, length, heads, head_dim;
  int64_t width() const { return heads * head_dim; }
};

struct AttentionPoolReference {
  std::vector<double> out;      // [N, C]
  std::vector<double> weights;  // [N, H, S]
};
AttentionPoolReference ref_attention_pool(const std::vector<double>& q, const std::vector<double>& kv,
                                          const AttentionPoolShape& s);

struct AttentionPoolGradients {
  std::vector<double> dq, dkv;
};
/// The gradient of sum(out * dout).
AttentionPoolGradients ref_attention_pool_backward(const std::vector<double>& dout,
                                                   const std::vector<double>& q,
                                                   const std::vector<double>& kv,
                                                   const AttentionPoolShape& s);

/// x [N, S, C] and positions [S + 1, C] → [N, S + 1, C].
std::vector<double> ref_mean_token(const std::vector<double>& x, const std::vector<double>& positions,
                                   int64_t length, int64_t width);

struct MeanTokenGradients {
  std::vector<double> dx, dpositions;
};
MeanTokenGradients ref_mean_token_backward(const std::vector<double>& dy, int64_t length, int64_t width);

}  // namespace cuclip::test
