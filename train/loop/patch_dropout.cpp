#include "train/loop/patch_dropout.h"

#include <algorithm>

#include "core/rng.h"

namespace cuclip {
namespace {

constexpr uint64_t kPatchDropout = 0x70617463;  // sets these choices apart from other uses of the seed

}  // namespace

int64_t kept_tokens(int64_t patches, double dropout) {
  return 1 + std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(patches) * (1.0 - dropout)));
}

std::vector<int32_t> choose_tokens(int64_t pictures, int64_t patches, double dropout, uint64_t seed,
                                   int64_t first) {
  std::vector<int32_t> tokens;
  for (int64_t picture = 0; picture < pictures; ++picture) {
    SplitMix64 rng = sample_rng(seed ^ kPatchDropout, 0, static_cast<uint64_t>(first + picture));
    tokens.push_back(0);
    // Selection sampling (Knuth, The Art of Computer Programming, 3.4.2, algorithm S).
    int64_t wanted = kept_tokens(patches, dropout) - 1;
    for (int64_t patch = 0; wanted > 0; ++patch) {
      if (static_cast<int64_t>(rng.below(static_cast<uint64_t>(patches - patch))) >= wanted) continue;
      tokens.push_back(static_cast<int32_t>(1 + patch));
      --wanted;
    }
  }
  return tokens;
}

}  // namespace cuclip
