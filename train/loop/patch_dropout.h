// Patch dropout: a training step sees only some of each picture's patches, which makes it cheaper and the
// model less prone to learn its pictures by heart (Li et al. 2023, "Scaling Language-Image Pre-training via
// Masking"; open_clip's --force-patch-dropout).
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip {

/// How many tokens of each picture are left, including the class token: 1 + max(1, ⌊patches · (1 −
/// dropout)⌋).
int64_t kept_tokens(int64_t patches, double dropout);

/// Token indices i32 [pictures, kept_tokens]: 0 (the class token), then the patches that are kept, ascending,
/// every choice equally likely. Picture i's depend on (seed, first + i) alone.
std::vector<int32_t> choose_tokens(int64_t pictures, int64_t patches, double dropout, uint64_t seed,
                                   int64_t first);

}  // namespace cuclip
