// Shapes for tests and benchmarks of attention pooling and the mean token.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct AttentionPoolCase {
  int64_t batch, length, heads, head_dim;
};

/// One element; one key; odd; narrower and wider than vectors; more keys than threads of a block; a
/// ResNet-50's (some of its heads).
inline std::vector<AttentionPoolCase> attention_pool_cases() {
  return {{1, 1, 1, 1},   {2, 1, 3, 5},    {3, 7, 2, 9},    {2, 50, 4, 64}, {1, 33, 3, 16},
          {5, 17, 1, 24}, {1, 10, 2, 200}, {1, 300, 1, 32}, {2, 50, 8, 64}};
}

struct MeanTokenCase {
  int64_t batch, length, width;
};

/// One element; one token; odd; whole vectors; several pictures; a ResNet-50's (some of its channels).
inline std::vector<MeanTokenCase> mean_token_cases() {
  return {{1, 1, 1}, {3, 1, 5}, {2, 7, 17}, {5, 4, 64}, {67, 9, 32}, {3, 49, 256}};
}

}  // namespace cuclip::cases
