#include "models/inference/query_ranking.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "models/inference/score_rows.h"

namespace cuclip {
namespace {

void check_right(std::span<const std::vector<int64_t>> right, int64_t queries, int64_t candidates) {
  CUCLIP_CHECK(std::ssize(right) == queries, "ranking: right answers of {} queries, there are features of {}",
               right.size(), queries);
  for (size_t q = 0; q < right.size(); ++q) {
    CUCLIP_CHECK(!right[q].empty(), "ranking: query {} has no right answer", q);
    CUCLIP_CHECK(
        right[q].front() >= 0 && right[q].back() < candidates &&
            std::adjacent_find(right[q].begin(), right[q].end(), std::greater_equal<>()) == right[q].end(),
        "ranking: the right answers of query {} must ascend from 0 to at most {}", q, candidates - 1);
  }
}

// The right answers' similarities, the highest first, NaN last.
std::vector<float> similarities_of(std::span<const float> scores, std::span<const int64_t> right) {
  std::vector<float> best;
  for (const int64_t r : right) best.push_back(scores[static_cast<size_t>(r)]);
  std::sort(best.begin(), best.end(),
            [](float a, float b) { return a > b || (!std::isnan(a) && std::isnan(b)); });
  return best;
}

QueryRanking ranking_of(std::span<const float> scores, std::span<const int64_t> right, int64_t top) {
  const std::vector<float> best = similarities_of(scores, right);
  // Wrong answers, counted at the first right one that each comes before. NaN is never "below".
  std::vector<int64_t> before(best.size() + 1, 0);
  auto next_right = right.begin();
  for (size_t j = 0; j < scores.size(); ++j) {
    if (next_right != right.end() && *next_right == static_cast<int64_t>(j)) {
      ++next_right;
      continue;
    }
    const auto at = std::partition_point(best.begin(), best.end(), [&](float b) { return scores[j] < b; });
    before[static_cast<size_t>(at - best.begin())]++;
  }
  const int64_t n = std::ssize(best), depth = std::min(top, n);
  QueryRanking ranking;
  int64_t wrong = 0, hits = 0;
  for (int64_t i = 0; i < n; ++i) {
    wrong += before[static_cast<size_t>(i)];
    const int64_t found = i + 1, place = found + wrong;
    hits += place <= depth;
    ranking.average_precision += static_cast<double>(found) / static_cast<double>(place);
  }
  ranking.precision = static_cast<double>(hits) / static_cast<double>(depth);
  ranking.average_precision /= static_cast<double>(n);
  return ranking;
}

}  // namespace

std::vector<QueryRanking> rank_queries(Context& context, const Tensor& queries, const Tensor& candidates,
                                       std::span<const std::vector<int64_t>> right, int64_t top) {
  CUCLIP_CHECK(queries.size(0) > 0 && candidates.size(0) > 0, "ranking: {} queries of {} candidates",
               queries.size(0), candidates.size(0));
  CUCLIP_CHECK(top >= 1, "ranking: top must be at least 1, got {}", top);
  check_right(right, queries.size(0), candidates.size(0));
  std::vector<QueryRanking> rankings(right.size());
  for_each_score_row(context, queries, candidates, [&](int64_t query, std::span<const float> scores) {
    const auto q = static_cast<size_t>(query);
    rankings[q] = ranking_of(scores, right[q], top);
  });
  return rankings;
}

// A candidate at place p is right with probability n/N; given that, each of the p - 1 before it is right with
// (n - 1)/(N - 1). So the average precision is the mean over p of (1 + (p - 1)(n - 1)/(N - 1)) / p.
QueryRanking ranking_by_chance(int64_t right, int64_t candidates) {
  CUCLIP_CHECK(right >= 1 && right <= candidates, "ranking: {} right answers among {} candidates", right,
               candidates);
  const auto n = static_cast<double>(right), all = static_cast<double>(candidates);
  const double others = candidates > 1 ? (n - 1) / (all - 1) : 0.0;
  double sum = 0;
  for (int64_t place = 1; place <= candidates; ++place) {
    const auto p = static_cast<double>(place);
    sum += (1 + (p - 1) * others) / p;
  }
  return {.precision = n / all, .average_precision = sum / all};
}

QueryRanking mean_ranking(std::span<const QueryRanking> rankings) {
  CUCLIP_CHECK(!rankings.empty(), "ranking: there is no query to take the mean of");
  QueryRanking mean;
  for (const QueryRanking& ranking : rankings) {
    mean.precision += ranking.precision;
    mean.average_precision += ranking.average_precision;
  }
  mean.precision /= static_cast<double>(rankings.size());
  mean.average_precision /= static_cast<double>(rankings.size());
  return mean;
}

}  // namespace cuclip
