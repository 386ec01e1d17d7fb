// Shapes for tests and benchmarks of the token embedding.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct TokenEmbedCase {
  int64_t batch, length, positions, vocabulary, width;
};

/// One element; odd; more positions than tokens, and a width beyond one backward task; a small text model.
inline std::vector<TokenEmbedCase> token_embed_cases() {
  return {{1, 1, 1, 1, 1}, {3, 5, 5, 7, 13}, {4, 9, 12, 31, 131}, {16, 77, 77, 1000, 256}};
}

}  // namespace cuclip::cases
