// The order in which an epoch shows its samples.
#include "train/data/permutation.h"

#include <catch2/catch.hpp>
#include <vector>

using namespace cuclip;

TEST_CASE("the shuffle is a permutation of every size, different for each epoch and seed") {
  for (int64_t size : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000}) {
    const Permutation shuffle(size, 3, 0);
    std::vector<bool> seen(static_cast<size_t>(size));
    for (int64_t i = 0; i < size; ++i) {
      const int64_t to = shuffle(i);
      REQUIRE((to >= 0 && to < size));
      CHECK_FALSE(seen[static_cast<size_t>(to)]);
      seen[static_cast<size_t>(to)] = true;
    }
  }
  auto same = [](const Permutation& a, const Permutation& b) {
    int64_t equal = 0;
    for (int64_t i = 0; i < 1000; ++i) equal += a(i) == b(i);
    return equal;
  };
  CHECK(same(Permutation(1000, 1, 0), Permutation(1000, 1, 0)) == 1000);
  // Two random permutations agree in Poisson(1) places: more than 12 has a probability below 1e-10.
  CHECK(same(Permutation(1000, 1, 0), Permutation(1000, 1, 1)) <= 12);
  CHECK(same(Permutation(1000, 1, 0), Permutation(1000, 2, 0)) <= 12);
}

TEST_CASE("the shuffle is close to uniform") {
  // Where sample 0 lands in 12 places, over 12,000 epochs: chi-squared with 11 degrees of freedom, P(> 50) ~
  // 6e-7.
  constexpr int64_t kSize = 12, kEpochs = 12000;
  for (int64_t from = 0; from < kSize; ++from) {
    std::vector<double> counts(kSize);
    for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
      ++counts[static_cast<size_t>(Permutation(kSize, 9, static_cast<uint64_t>(epoch))(from))];
    }
    double chi_squared = 0;
    for (double n : counts) chi_squared += (n - 1000) * (n - 1000) / 1000;
    CHECK(chi_squared < 50);
  }
}
