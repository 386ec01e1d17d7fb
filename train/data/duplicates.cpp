#include "train/data/duplicates.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>
#include <tuple>

#include "models/image/resample.h"

namespace cuclip {
namespace {

constexpr int kCells = 8;

int luma(const uint8_t* rgb) { return 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2]; }

bool same_colours(const PictureFingerprint& a, const PictureFingerprint& b, const DuplicateLimits& limits) {
  int sum = 0, greatest = 0;
  for (size_t i = 0; i < a.colours.size(); ++i) {
    const int difference = std::abs(int{a.colours[i]} - int{b.colours[i]});
    sum += difference;
    greatest = std::max(greatest, difference);
  }
  return sum <= limits.colour_mean * static_cast<double>(a.colours.size()) && greatest <= limits.colour_max;
}

// Pictures whose hashes agree in one part of it; a bucket that is too large is a common structure (a white
// page), of which only neighbours in the order of the whole hash are compared.
void join_bucket(std::span<const int64_t> bucket, std::span<const PictureFingerprint> pictures,
                 const DuplicateLimits& limits, DisjointSets& sets) {
  constexpr size_t kWindow = 2000;
  for (size_t i = 0; i < bucket.size(); ++i) {
    const PictureFingerprint& a = pictures[static_cast<size_t>(bucket[i])];
    for (size_t j = i + 1; j < std::min(bucket.size(), i + 1 + kWindow); ++j) {
      const PictureFingerprint& b = pictures[static_cast<size_t>(bucket[j])];
      if (std::popcount(a.difference_hash ^ b.difference_hash) > limits.hash_bits) continue;
      if (sets.find(bucket[i]) == sets.find(bucket[j])) continue;
      if (same_colours(a, b, limits)) sets.join(bucket[i], bucket[j]);
    }
  }
}

}  // namespace

DisjointSets::DisjointSets(int64_t size) : parent_(static_cast<size_t>(size)) {
  std::iota(parent_.begin(), parent_.end(), 0);
}

int64_t DisjointSets::find(int64_t index) {
  while (parent_[static_cast<size_t>(index)] != index) {
    int64_t& parent = parent_[static_cast<size_t>(index)];
    parent = parent_[static_cast<size_t>(parent)];
    index = parent;
  }
  return index;
}

void DisjointSets::join(int64_t a, int64_t b) {
  a = find(a);
  b = find(b);
  parent_[static_cast<size_t>(std::max(a, b))] = std::min(a, b);
}

PictureFingerprint fingerprint_of(const ImageView& picture) {
  PictureFingerprint fingerprint;
  const Image wide = resize(picture, kCells + 1, kCells, ResampleFilter::bilinear);
  const Image cells = resize(picture, kCells, kCells, ResampleFilter::box);
  // A difference below this is the noise of resampling and compression on a plain ground.
  constexpr int kNoise = 2 * 1000;
  for (int y = 0; y < kCells; ++y) {
    for (int x = 0; x < kCells; ++x) {
      const uint8_t* here = wide.rgb.data() + (y * (kCells + 1) + x) * 3;
      const bool brighter = luma(here) > luma(here + 3) + kNoise;
      fingerprint.difference_hash = fingerprint.difference_hash << 1 | static_cast<uint64_t>(brighter);
    }
  }
  std::copy(cells.rgb.begin(), cells.rgb.end(), fingerprint.colours.begin());
  return fingerprint;
}

std::vector<int64_t> group_duplicates(std::span<const PictureFingerprint> pictures,
                                      const DuplicateLimits& limits) {
  const auto count = static_cast<int64_t>(pictures.size());
  DisjointSets sets(count);
  // Of hash_bits + 1 parts, at least one is the same in two hashes that differ in at most hash_bits bits.
  const int parts = limits.hash_bits + 1;
  std::vector<int64_t> order(pictures.size());
  for (int part = 0; part < parts; ++part) {
    const int first = 64 * part / parts, last = 64 * (part + 1) / parts;
    const uint64_t mask = last - first == 64 ? ~uint64_t{0} : ((uint64_t{1} << (last - first)) - 1) << first;
    auto bits = [&](int64_t i) { return pictures[static_cast<size_t>(i)].difference_hash & mask; };
    auto whole = [&](int64_t i) { return pictures[static_cast<size_t>(i)].difference_hash; };
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return std::tuple(bits(a), whole(a), a) < std::tuple(bits(b), whole(b), b);
    });
    for (size_t start = 0, end; start < order.size(); start = end) {
      for (end = start; end < order.size() && bits(order[end]) == bits(order[start]);) ++end;
      join_bucket(std::span(order).subspan(start, end - start), pictures, limits, sets);
    }
  }
  std::vector<int64_t> groups(pictures.size());
  for (int64_t i = 0; i < count; ++i) groups[static_cast<size_t>(i)] = sets.find(i);
  return groups;
}

}  // namespace cuclip
