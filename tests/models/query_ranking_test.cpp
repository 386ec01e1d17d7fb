#include "models/inference/query_ranking.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numeric>

#include "tests/support/buffer.h"

namespace cuclip::test {
namespace {

constexpr size_t kColumns = 64;

// ±1 in 64 columns: norms are 8 and similarities multiples of 1/64, exact in f32 and bf16, so ties are many
// and real.
std::vector<float> random_signs(size_t rows) {
  std::vector<float> result(rows * kColumns);
  for (float& x : result) x = rng()() % 2 ? 1.0f : -1.0f;
  return result;
}

Tensor tensor_of(Context& context, const std::vector<float>& flat) {
  return Tensor::from<float>(context, {static_cast<int64_t>(flat.size() / kColumns), int64_t{kColumns}},
                             std::span<const float>(flat));
}

// `count` of the numbers below `below`, ascending.
std::vector<int64_t> some_of(size_t below, size_t count) {
  std::vector<int64_t> all(below);
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), rng());
  all.resize(count);
  std::sort(all.begin(), all.end());
  return all;
}

// By the definitions, in f64: order[i] says whether the candidate at place i is right.
QueryRanking by_definition(const std::vector<bool>& order, int64_t top) {
  const auto n = std::count(order.begin(), order.end(), true);
  const auto depth = std::min<int64_t>(top, n);
  const auto precision_at = [&](int64_t k) {
    return static_cast<double>(std::count(order.begin(), order.begin() + k, true)) / static_cast<double>(k);
  };
  QueryRanking ranking{.precision = precision_at(depth)};
  for (int64_t place = 1; place <= std::ssize(order); ++place)
    if (order[static_cast<size_t>(place - 1)])
      ranking.average_precision += precision_at(place) / static_cast<double>(n);
  return ranking;
}

// The candidates sorted by cosine similarity in f64, the wrong ones first among equals.
std::vector<bool> sorted_order(const float* query, const std::vector<float>& candidates,
                               const std::vector<int64_t>& right) {
  std::vector<std::pair<double, bool>> order;  // negative similarity, right
  for (size_t j = 0; j < candidates.size() / kColumns; ++j) {
    const double dot = std::inner_product(query, query + kColumns, candidates.data() + j * kColumns, 0.0,
                                          std::plus<>(), [](double a, double b) { return a * b; });
    order.emplace_back(-dot / 64, std::binary_search(right.begin(), right.end(), static_cast<int64_t>(j)));
  }
  std::sort(order.begin(), order.end());
  std::vector<bool> result;
  for (const auto& [score, is_right] : order) result.push_back(is_right);
  return result;
}

void check_near(const QueryRanking& actual, const QueryRanking& expected) {
  // Sums of at most some thousands of terms in 0…1, in f64: 1e4 · 2^-53.
  CHECK(actual.precision == Approx(expected.precision).margin(1e-12));
  CHECK(actual.average_precision == Approx(expected.average_precision).margin(1e-12));
}

TEST_CASE("rankings equal those of sorting in float64, with many ties") {
  Context context(2);
  struct Case {
    size_t queries, candidates, most_right;
    int64_t top;
  };
  // The last does not fit into one block of similarities.
  for (const Case& c : {Case{1, 1, 1, 1},
                        {1, 1, 1, 12},
                        {3, 7, 7, 2},
                        {5, 40, 3, 12},
                        {29, 1303, 200, 12},
                        {4, 300, 300, 1000},
                        {29, 40'000, 20, 12}}) {
    const std::vector<float> queries = random_signs(c.queries);
    std::vector<float> candidates = random_signs(c.candidates);
    std::vector<std::vector<int64_t>> right;
    for (size_t q = 0; q < c.queries; ++q) {
      right.push_back(some_of(c.candidates, 1 + rng()() % c.most_right));
      // Some right ones are made like their query, so that rankings are of all kinds.
      for (const int64_t r : right[q])
        std::copy_n(queries.begin() + static_cast<int64_t>(q * kColumns), rng()() % 64,
                    candidates.begin() + r * int64_t{kColumns});
    }
    const auto actual =
        rank_queries(context, tensor_of(context, queries), tensor_of(context, candidates), right, c.top);
    REQUIRE(actual.size() == c.queries);
    for (size_t q = 0; q < c.queries; ++q) {
      INFO(c.candidates << " candidates, top " << c.top << ", query " << q);
      check_near(actual[q],
                 by_definition(sorted_order(queries.data() + q * kColumns, candidates, right[q]), c.top));
    }
  }
}

TEST_CASE("a ranking by hand: right, wrong, right, wrong, wrong, right") {
  Context context(1);
  // Candidate j agrees with the query in 64 - j columns.
  const std::vector<float> query(kColumns, 1.0f);
  std::vector<float> candidates(6 * kColumns, 1.0f);
  for (size_t j = 0; j < 6; ++j)
    std::fill_n(candidates.begin() + static_cast<int64_t>(j * kColumns), j, -1.0f);
  const std::vector<std::vector<int64_t>> right = {{0, 2, 5}};
  const Tensor q = tensor_of(context, query), c = tensor_of(context, candidates);
  check_near(rank_queries(context, q, c, right, 12)[0],
             {.precision = 2.0 / 3, .average_precision = (1.0 + 2.0 / 3 + 3.0 / 6) / 3});
  check_near(rank_queries(context, q, c, right, 2)[0],
             {.precision = 1.0 / 2, .average_precision = (1.0 + 2.0 / 3 + 3.0 / 6) / 3});
}

TEST_CASE("features that collapsed to a point give the worst order") {
  Context context(1);
  const std::vector<float> query = random_signs(1);
  std::vector<float> same;
  for (int j = 0; j < 20; ++j) same.insert(same.end(), query.begin(), query.end());
  const std::vector<std::vector<int64_t>> right = {{3, 8}};
  check_near(rank_queries(context, tensor_of(context, query), tensor_of(context, same), right, 12)[0],
             {.precision = 0, .average_precision = (1.0 / 19 + 2.0 / 20) / 2});
}

TEST_CASE("what is not finite counts against the model, whichever side it is on") {
  Context context(1);
  const std::vector<float> query = random_signs(1);
  std::vector<float> candidates = random_signs(5);
  std::copy(query.begin(), query.end(), candidates.begin() + 2 * int64_t{kColumns});
  const auto ranking = [&](const std::vector<int64_t>& right, const std::vector<float>& of_query) {
    const std::vector<std::vector<int64_t>> only = {right};
    return rank_queries(context, tensor_of(context, of_query), tensor_of(context, candidates), only, 12)[0];
  };
  check_near(ranking({2}, query), {.precision = 1, .average_precision = 1});
  candidates[0] = std::nanf("");  // a wrong one: ahead of the right one
  check_near(ranking({2}, query), {.precision = 0, .average_precision = 1.0 / 2});
  // The same one as a right one: the last.
  check_near(ranking({0, 2}, query), {.precision = 1.0 / 2, .average_precision = (1.0 + 2.0 / 5) / 2});
  std::vector<float> broken = query;
  broken[7] = std::nanf("");
  check_near(ranking({2}, broken), {.precision = 0, .average_precision = 1.0 / 5});
}

TEST_CASE("chance is the mean over all orders") {
  for (int64_t all = 1; all <= 7; ++all) {
    for (int64_t right = 1; right <= all; ++right) {
      std::vector<bool> order(static_cast<size_t>(all), false);
      std::fill(order.end() - right, order.end(), true);
      std::vector<QueryRanking> rankings;
      do {
        rankings.push_back(by_definition(order, 3));
      } while (std::next_permutation(order.begin(), order.end()));
      INFO(right << " of " << all);
      check_near(ranking_by_chance(right, all), mean_ranking(rankings));
    }
  }
  CHECK_THROWS_AS(ranking_by_chance(0, 3), InputError);
  CHECK_THROWS_AS(ranking_by_chance(4, 3), InputError);
  CHECK_THROWS_AS(mean_ranking({}), InputError);
}

TEST_CASE("right answers that do not fit the features are refused") {
  Context context(1);
  const Tensor query = tensor_of(context, random_signs(1)), two = tensor_of(context, random_signs(2));
  using Lists = std::vector<std::vector<int64_t>>;
  for (const Lists& wrong :
       {Lists{}, Lists{{}}, Lists{{2}}, Lists{{-1}}, Lists{{1, 0}}, Lists{{1, 1}}, Lists{{0}, {1}}}) {
    CHECK_THROWS_AS(rank_queries(context, query, two, wrong, 12), InputError);
  }
  CHECK_THROWS_AS(rank_queries(context, query, two, Lists{{0}}, 0), InputError);
  CHECK(rank_queries(context, query, two, Lists{{0, 1}}, 12).size() == 1);
}

}  // namespace
}  // namespace cuclip::test
