// labels: threads
#include "core/gradient_tree.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/common/error.h"
#include "tests/support/thread_ranks.h"

using namespace cuclip;

namespace {

using Values = std::vector<float>;

// Of magnitudes so different that the order of a sum shows in its bits.
std::vector<Values> random_leaves(int64_t leaves, int64_t elements) {
  std::mt19937 random(std::random_device{}());
  std::normal_distribution<float> mantissa;
  std::uniform_real_distribution<float> exponent(-6, 6);
  std::vector<Values> all(static_cast<size_t>(leaves), Values(static_cast<size_t>(elements)));
  for (Values& leaf : all) {
    for (float& x : leaf) x = mantissa(random) * std::exp2(exponent(random));
  }
  return all;
}

// As the header says it.
float tree_sum(const std::vector<Values>& leaves, size_t element) {
  Values nodes;
  for (const Values& leaf : leaves) nodes.push_back(leaf[element]);
  while (nodes.size() > 1) {
    Values parents;
    for (size_t i = 0; i < nodes.size(); i += 2) {
      parents.push_back(i + 1 < nodes.size() ? nodes[i] + nodes[i + 1] : nodes[i]);
    }
    nodes = parents;
  }
  return nodes[0];
}

// What a rank ends with that has its share of the leaves.
Values sum_on(Communicator& ranks, const std::vector<Values>& leaves) {
  Context context(1);
  const int64_t elements = std::ssize(leaves[0]), own = std::ssize(leaves) / ranks.size();
  const Tensor arena = Tensor::zeros(context, {elements}, DType::f32);
  GradientTree tree(context, arena);
  for (int64_t i = 0; i < own; ++i) {
    for (const float x : arena.to_floats()) {
      if (x != 0) throw Error("the arena is not zero when a leaf begins");
    }
    arena.assign(leaves[static_cast<size_t>(ranks.rank() * own + i)]);
    tree.add_leaf(i + 1 == own);
  }
  const int64_t before = ranks.bytes_sent();
  sum_over_ranks(ranks, context, arena);
  const int64_t sent = ranks.bytes_sent() - before, slice = (elements / ranks.size() + 16) * 4;
  if (sent > 2 * (ranks.size() - 1) * slice) throw Error("more was sent than was promised");
  return arena.to_floats();
}

}  // namespace

TEST_CASE("gradients have the same bits for any number of ranks") {
  struct Case {
    int64_t leaves;
    std::vector<int> ranks;
  };
  for (const Case& c : {Case{8, {1, 2, 4, 8}}, Case{6, {1, 3, 6}}, Case{1, {1}}, Case{16, {1, 2, 8}}}) {
    for (const int64_t elements : {1, 17, 100, 1021}) {
      const std::vector<Values> leaves = random_leaves(c.leaves, elements);
      Values expected;
      for (size_t i = 0; i < static_cast<size_t>(elements); ++i) expected.push_back(tree_sum(leaves, i));
      for (const int size : c.ranks) {
        CAPTURE(c.leaves, elements, size);
        std::vector<Values> sums(static_cast<size_t>(size));
        test::run_ranks(size, [&](Communicator& ranks) {
          sums[static_cast<size_t>(ranks.rank())] = sum_on(ranks, leaves);
        });
        for (const Values& sum : sums) REQUIRE(sum == expected);
      }
    }
  }
}

TEST_CASE("the order of the sum shows in the bits, so that the test above can fail") {
  const std::vector<Values> leaves = random_leaves(8, 1021);
  int different = 0;
  for (size_t i = 0; i < leaves[0].size(); ++i) {
    float in_sequence = 0;
    for (const Values& leaf : leaves) in_sequence += leaf[i];
    different += in_sequence != tree_sum(leaves, i);
  }
  CHECK(different > 100);
}

TEST_CASE("a sum over ranks sends what its formula says") {
  constexpr int64_t kElements = 16 * 4 * 10;
  test::run_ranks(4, [&](Communicator& ranks) {
    Context context(1);
    sum_over_ranks(ranks, context, Tensor::full(context, {kElements}, 1.0f));
    if (ranks.bytes_sent() != 2 * 3 * kElements / 4 * 4) throw Error("bytes sent");
  });
}
