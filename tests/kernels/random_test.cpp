// labels: threads
#include "kernels/random/random.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <numeric>
#include <set>

#include "kernels/random/philox.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr uint64_t kSeed = 0x0123456789abcdef;

// n standard normal values of a stream.
std::vector<double> normal_values(int64_t n, uint64_t stream) {
  TestContext ctx;
  Buffer out = Buffer::poisoned({n}, DType::f32);
  fill_normal({.out = out.view(), .seed = kSeed, .stream = stream}, ctx);
  out.check_guards();
  return out.to_doubles();
}

double moment(const std::vector<double>& x, int order) {
  return std::accumulate(x.begin(), x.end(), 0.0,
                         [&](double sum, double v) { return sum + std::pow(v, order); }) /
         static_cast<double>(x.size());
}

}  // namespace

TEST_CASE("philox4x32 gives the published vectors of Random123") {
  REQUIRE(philox4x32({0, 0, 0, 0}, {0, 0}) == PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  REQUIRE(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
          PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  REQUIRE(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox_block puts index and stream into the counter and the seed into the key") {
  REQUIRE(philox_block(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88) ==
          PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("fill_normal has the moments and the distribution of a normal") {
  const int64_t n = 400000;
  const auto x = normal_values(n, 1);
  // Five standard errors of each moment: √(variance of x^k / n) with variances 1, 2, 15, 96.
  const auto five_errors = [&](double variance) { return 5 * std::sqrt(variance / n); };
  CHECK(std::abs(moment(x, 1)) < five_errors(1));
  CHECK(std::abs(moment(x, 2) - 1) < five_errors(2));
  CHECK(std::abs(moment(x, 3)) < five_errors(15));
  CHECK(std::abs(moment(x, 4) - 3) < five_errors(96));
  // Kolmogorov and Smirnov: the largest distance between the distributions exceeds 2.5 / √n once in 130,000.
  auto sorted = x;
  std::sort(sorted.begin(), sorted.end());
  double distance = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const double cdf = 0.5 * std::erfc(-sorted[i] / std::sqrt(2.0));
    distance = std::max(distance, std::abs(cdf - (static_cast<double>(i) + 0.5) / n));
  }
  CHECK(distance < 2.5 / std::sqrt(n));
  // Neighbours come from one pair of words, and must not be correlated; nor may streams.
  const auto y = normal_values(n, 2);
  double neighbours = 0, streams = 0;
  for (size_t i = 0; i + 1 < x.size(); i += 2) neighbours += x[i] * x[i + 1];
  for (size_t i = 0; i < x.size(); ++i) streams += x[i] * y[i];
  CHECK(std::abs(neighbours) < 5 * std::sqrt(n / 2.0));
  CHECK(std::abs(streams) < 5 * std::sqrt(n));
  // The tails are there: 4 standard deviations are exceeded 25 times.
  CHECK(sorted.front() < -4);
  CHECK(sorted.back() > 4);
}

TEST_CASE("fill_normal follows its documented formula") {
  const auto x = normal_values(7, 5);
  for (uint64_t i = 0; i < 7; ++i) {
    const PhiloxBlock words = philox_block(kSeed, 5, i / 4);
    const double u = (words[i % 4 / 2 * 2] + 0.5) / 4294967296.0,
                 angle = 2 * std::numbers::pi * words[i % 4 / 2 * 2 + 1] / 4294967296.0;
    const double expected = std::sqrt(-2 * std::log(u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
    REQUIRE(x[i] == Approx(expected).epsilon(1e-7));
  }
}

TEST_CASE("fill_normal applies mean and stddev") {
  TestContext ctx;
  Buffer out = Buffer::poisoned({3, 5}, DType::f32);
  fill_normal({.out = out.view(), .mean = 2.0f, .stddev = 0.5f, .seed = kSeed, .stream = 9}, ctx);
  const auto standard = normal_values(15, 9);
  for (int64_t i = 0; i < 15; ++i)
    REQUIRE(out.at(i) == Approx(2 + 0.5 * standard[static_cast<size_t>(i)]).epsilon(1e-6));
  fill_normal({.out = out.view(), .mean = 2.0f, .stddev = 0.0f}, ctx);
  for (int64_t i = 0; i < 15; ++i) REQUIRE(out.at(i) == 2.0);
}

TEST_CASE("fill_uniform covers [low, high) evenly and never gives high") {
  TestContext ctx;
  const int64_t n = 200000;
  Buffer out = Buffer::poisoned({n}, DType::f32);
  fill_uniform({.out = out.view(), .low = -3, .high = 5, .seed = kSeed}, ctx);
  std::vector<int> counts(16);
  for (int64_t i = 0; i < n; ++i) counts.at(static_cast<size_t>((out.at(i) + 3) * 2))++;
  for (int count : counts) REQUIRE(std::abs(count - n / 16) < 5 * std::sqrt(n / 16.0));
  // Between 1 and its successor only the lower bound is left.
  const float next = std::nextafter(1.0f, 2.0f);
  fill_uniform({.out = out.view(), .low = 1.0f, .high = next, .seed = kSeed}, ctx);
  for (int64_t i = 0; i < n; ++i) REQUIRE(out.at(i) == 1.0);
}

TEST_CASE("random tensors have the same bits for any number of threads and any split") {
  const int64_t n = 200003;  // more than one task, not a multiple of a block
  const auto fill_both = [](const Buffer& out, int64_t begin, int64_t size, uint64_t offset,
                            const ExecContext& ctx) {
    const TensorView piece = out.view_as({size}, begin);
    if (out.shape().rank() == 1) {
      fill_normal({.out = piece, .seed = kSeed, .stream = 1, .offset = offset}, ctx);
    } else {
      fill_uniform({.out = piece, .seed = kSeed, .stream = 1, .offset = offset}, ctx);
    }
  };
  for (const Shape& shape : {Shape{n}, Shape{n, 1}}) {
    Buffer whole = Buffer::poisoned(shape, DType::f32);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      whole = Buffer::poisoned(shape, DType::f32);
      fill_both(whole, 0, n, 17, ctx);
      return std::vector<Buffer>{whole};
    }));
    TestContext ctx(2);
    Buffer pieces = Buffer::poisoned(shape, DType::f32);
    for (const auto& [begin, size] :
         {std::pair<int64_t, int64_t>{0, 1}, {1, 2}, {3, 100000}, {100003, 100000}}) {
      fill_both(pieces, begin, size, 17 + static_cast<uint64_t>(begin), ctx);
    }
    REQUIRE(pieces.same_bits(whole));
  }
}

TEST_CASE("random tensors of an offset beyond 32 bits do not repeat the first ones") {
  TestContext ctx;
  Buffer near = Buffer::poisoned({8}, DType::f32), far = near;
  fill_uniform({.out = near.view(), .seed = kSeed}, ctx);
  fill_uniform({.out = far.view(), .seed = kSeed, .offset = uint64_t{1} << 34}, ctx);
  const auto a = near.to_doubles(), b = far.to_doubles();
  std::set<double> distinct(a.begin(), a.end());
  distinct.insert(b.begin(), b.end());
  REQUIRE(distinct.size() == 16);
}

TEST_CASE("random tensors accept empty outputs and refuse wrong arguments") {
  TestContext ctx;
  Buffer empty = Buffer::zeros({0}, DType::f32);
  fill_normal({.out = empty.view()}, ctx);
  fill_uniform({.out = empty.view()}, ctx);
  Buffer narrow = Buffer::zeros({4}, DType::bf16);
  REQUIRE_THROWS_WITH(fill_normal({.out = narrow.view()}, ctx), "fill_normal: out must be f32, got bf16");
  Buffer out = Buffer::zeros({4}, DType::f32);
  REQUIRE_THROWS_AS(fill_normal({.out = out.view(), .stddev = -1}, ctx), InputError);
  REQUIRE_THROWS_WITH(fill_uniform({.out = out.view(), .low = 1, .high = 1}, ctx),
                      "fill_uniform: low must be below high, got 1 and 1");
}
