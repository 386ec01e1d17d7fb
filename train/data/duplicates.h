// Finding pictures that show the same thing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "models/image/image.h"

namespace cuclip {

/// What is compared: a difference hash (one bit for each of 8 x 8 cells: is it brighter than its right
/// neighbour?) and the mean colours of 8 x 8 cells. Both are of the picture squeezed into a square.
struct PictureFingerprint {
  uint64_t difference_hash = 0;
  std::array<uint8_t, 8 * 8 * 3> colours{};
};

PictureFingerprint fingerprint_of(const ImageView& picture);

/// How much two pictures may differ to count as the same.
struct DuplicateLimits {
  int hash_bits = 6;         // of the 64
  double colour_mean = 4.0;  // mean absolute difference of the cells' channels, of 255
  double colour_max = 40.0;  // greatest difference of a cell's channel
};

/// A drawing and the same drawing in other colours: the hash alone decides.
inline constexpr DuplicateLimits kSameStructure{.hash_bits = 4, .colour_mean = 255, .colour_max = 255};

/// The group of each picture: the smallest index of those that are, directly or through others, the same.
/// Candidates come from parts of the hash that agree, so that it is fast for hundreds of thousands of
/// pictures.
std::vector<int64_t> group_duplicates(std::span<const PictureFingerprint> pictures,
                                      const DuplicateLimits& limits);

/// Sets of indices that grow together.
class DisjointSets {
 public:
  explicit DisjointSets(int64_t size);
  int64_t find(int64_t index);
  void join(int64_t a, int64_t b);  // the smaller representative remains

 private:
  std::vector<int64_t> parent_;
};

}  // namespace cuclip
