// labels: threads
// The contrastive loss in parts: what merges their statistics.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/contrastive_loss_merge_problem.h"

using namespace cuclip;
using namespace cuclip::test;
using Merge = ContrastiveLossMergeProblem;

namespace {
constexpr float kLowest = -3.4028235e38f;
}

TEST_CASE("statistics of parts are merged as float64 does, and their cross-entropies added by groups") {
  for (const auto& sizes :
       {std::array<int64_t, 3>{1, 1, 1}, {2, 33, 3}, {9, 40, 40}, {40, 1500, 2}, {8, 2600, 1}}) {
    const int64_t parts = sizes[0], elements = sizes[1], groups = sizes[2];
    INFO(parts << " x " << elements << ", " << groups);
    const Merge m(parts, elements, groups);
    for_each_target([&](const ExecContext& ctx, const std::string&) {
      contrastive_loss_merge(m.params(), ctx);
      // An exponential's 2 ulp and |x| 2^-24, with x up to some 20 where it counts.
      constexpr double kError = 2e-6;
      std::vector<double> lse, losses(static_cast<size_t>(groups));
      for (int64_t j = 0; j < elements; ++j) {
        lse.push_back(m.expected_lse(j));
        losses[static_cast<size_t>(j / (elements / groups))] += lse.back() - m.positive.at(j);
      }
      expect_close("lse", m.lse, lse, {kError, 2 * roundoff(DType::f32)});
      for (size_t g = 0; g < losses.size(); ++g) {
        REQUIRE(m.losses.at(g) == Approx(losses[g]).margin(kError * elements / groups).epsilon(0));
      }
    });
  }
}

TEST_CASE("a group's cross-entropies have the same bits whatever groups are beside it") {
  const int64_t parts = 11, elements = 3000, group = 1000;
  const Merge all(parts, elements, elements / group);
  TestContext ctx;
  contrastive_loss_merge(all.params(), ctx);
  for (int64_t g = 0; g < elements / group; ++g) {
    Merge one(parts, group, 1);
    for (int64_t p = 0; p < parts; ++p) {
      for (int64_t j = 0; j < group; ++j) {
        one.max.set(p * group + j, all.max.at(p * elements + g * group + j));
        one.sum.set(p * group + j, all.sum.at(p * elements + g * group + j));
      }
    }
    for (int64_t j = 0; j < group; ++j) one.positive.set(j, all.positive.at(g * group + j));
    contrastive_loss_merge(one.params(), ctx);
    REQUIRE(one.losses.at(0) == all.losses.at(static_cast<size_t>(g)));
    for (int64_t j = 0; j < group; ++j) REQUIRE(one.lse.at(j) == all.lse.at(g * group + j));
  }
}

TEST_CASE("a merge of parts keeps a small loss's digits, and knows elements without any pair") {
  // A maximum of 100, in the second part, which is the positive; 5 e^-10 besides.
  Merge m(2, 2, 1);
  m.max = Buffer::from({2, 2}, DType::f32, {90.0, kLowest, 100.0, kLowest});
  m.sum = Buffer::from({2, 2}, DType::f32, {5.0, 0.0, 1.0, 0.0});
  m.positive = Buffer::from({2}, DType::f32, {100.0, 0.0});
  TestContext ctx;
  auto p = m.params();
  p.positive = TensorView();
  p.losses = {};
  contrastive_loss_merge(p, ctx);
  REQUIRE(m.lse.at(0) == Approx(100.0));
  REQUIRE(m.lse.at(1) == -INFINITY);

  Merge one(2, 1, 1);
  one.max = Buffer::from({2, 1}, DType::f32, {90.0, 100.0});
  one.sum = Buffer::from({2, 1}, DType::f32, {5.0, 1.0});
  one.positive = Buffer::from({1}, DType::f32, {100.0});
  contrastive_loss_merge(one.params(), ctx);
  REQUIRE(one.losses.at(0) == Approx(std::log1p(5 * std::exp(-10.0))).epsilon(1e-6));
}

TEST_CASE("terms of a loss are added in f64") {
  TestContext ctx;
  for (const size_t count : {0, 1, 5, 1000}) {
    std::vector<double> terms{1e9, -1e9};
    terms.resize(count, 1.0 / 3);
    double expected = 0;
    for (const double x : terms) expected += x;
    const OnDevice<double> on_device(terms);
    const Buffer total = Buffer::poisoned({1}, DType::f32);
    contrastive_loss_total({.terms = on_device.view(), .factor = -0.5, .total = total.view()}, ctx);
    expect_close("total", total, {-0.5 * expected}, {1e-6, 1e-7});
  }
}

TEST_CASE("a merge of parts refuses wrong arguments and says which") {
  TestContext ctx;
  const Merge m(2, 9, 2);
  REQUIRE_THROWS_WITH(
      contrastive_loss_merge(m.params(), ctx),
      "contrastive_loss_merge: 9 elements cannot be cut into 2 groups, one for each of losses");
  auto merge = m.params();
  merge.losses = {};
  REQUIRE_THROWS_AS(contrastive_loss_merge(merge, ctx), InputError);
  merge = m.params();
  merge.sum = m.lse.view();
  REQUIRE_THROWS_WITH(contrastive_loss_merge(merge, ctx),
                      "contrastive_loss_merge: sum must be [2, 9], got [9]");
  REQUIRE_THROWS_WITH(contrastive_loss_total({.terms = {}, .total = {}}, ctx),
                      "contrastive_loss_total: total is missing, expected f32 [1]");
}
