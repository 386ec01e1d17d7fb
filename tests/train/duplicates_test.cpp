#include "train/data/duplicates.h"

#include <catch2/catch.hpp>

#include "models/image/resample.h"
#include "tests/support/buffer.h"

using namespace cuclip;
using cuclip::test::rng;

namespace {

// A white page with `boxes` rectangles of random colours.
Image random_drawing(int size, int boxes = 6) {
  Image image{.width = size, .height = size, .rgb = {}};
  image.rgb.assign(static_cast<size_t>(size * size * 3), 255);
  auto below = [&](int n) { return static_cast<int>(rng()() % static_cast<uint64_t>(n)); };
  for (int box = 0; box < boxes; ++box) {
    const int left = below(size), top = below(size), width = 1 + below(size), height = 1 + below(size);
    const uint8_t colour[] = {static_cast<uint8_t>(below(256)), static_cast<uint8_t>(below(256)),
                              static_cast<uint8_t>(below(256))};
    for (int y = top; y < std::min(size, top + height); ++y) {
      for (int x = left; x < std::min(size, left + width); ++x) {
        for (int c = 0; c < 3; ++c) image.rgb[static_cast<size_t>((y * size + x) * 3 + c)] = colour[c];
      }
    }
  }
  return image;
}

std::vector<int64_t> groups_of(const std::vector<Image>& images, const DuplicateLimits& limits = {}) {
  std::vector<PictureFingerprint> fingerprints;
  for (const Image& image : images) fingerprints.push_back(fingerprint_of(image));
  return group_duplicates(fingerprints, limits);
}

}  // namespace

TEST_CASE("a picture and its copies at other sizes are one group, others are not") {
  std::vector<Image> images;
  for (int i = 0; i < 40; ++i) images.push_back(random_drawing(96));
  for (int i = 0; i < 10; ++i) images.push_back(resize(images[static_cast<size_t>(i)], 64 + i, 64 + i));
  const std::vector<int64_t> groups = groups_of(images);
  int64_t chance = 0;  // two random drawings can be alike
  for (int64_t i = 0; i < 40; ++i) chance += groups[static_cast<size_t>(i)] != i;
  CHECK(chance <= 1);
  for (size_t i = 0; i < 10; ++i) CHECK(groups[40 + i] == groups[i]);
}

TEST_CASE("a recoloured drawing is another picture with the same structure") {
  Image red = random_drawing(80, 0), blue = red;
  for (int y = 20; y < 60; ++y) {
    for (int x = 20; x < 60; ++x) {
      uint8_t* r = &red.rgb[static_cast<size_t>(y * 80 + x) * 3];
      uint8_t* b = &blue.rgb[static_cast<size_t>(y * 80 + x) * 3];
      r[1] = r[2] = 20;
      b[0] = b[1] = 40;
    }
  }
  CHECK(groups_of({red, blue}) == std::vector<int64_t>{0, 1});
  CHECK(groups_of({red, blue}, kSameStructure) == std::vector<int64_t>{0, 0});
}

TEST_CASE("groups grow through pictures in between and are named by their first") {
  PictureFingerprint a, b, c, far;
  b.difference_hash = 0b111111;
  c.difference_hash = 0b111111111111;
  far.difference_hash = ~uint64_t{0};
  const std::vector<PictureFingerprint> all = {far, c, a, b};
  CHECK(group_duplicates(all, {}) == std::vector<int64_t>{0, 1, 1, 1});
  CHECK(group_duplicates({}, {}).empty());
}

TEST_CASE("every pair within the hash's limit is found") {
  DuplicateLimits limits;
  for (int round = 0; round < 200; ++round) {
    PictureFingerprint a, b;
    a.difference_hash = rng()();
    b.difference_hash = a.difference_hash;
    const int bits = static_cast<int>(rng()() % 10);
    uint64_t flipped = 0;
    while (std::popcount(flipped) < bits) flipped |= uint64_t{1} << (rng()() % 64);
    b.difference_hash ^= flipped;
    const std::vector<PictureFingerprint> both = {a, b};
    CHECK((group_duplicates(both, limits)[1] == 0) == (bits <= limits.hash_bits));
  }
}
