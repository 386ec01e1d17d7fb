// How well queries with several right answers rank them: precision among the first, average precision.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/context.h"
#include "core/tensor.h"

namespace cuclip {

/// One query over a collection, all candidates ranked by similarity. Of equally similar candidates the wrong
/// ones come first: ties count against the model, as in retrieval.h, so that a model whose features have
/// collapsed to a point gets the worst order and not the best. Features that are not finite rank last where
/// they are right, and first where they are wrong.
struct QueryRanking {
  /// Share of right ones among the first min(top, n), n being the number of right ones: 1 is always possible.
  double precision = 0;
  /// Mean, over the n right ones, of the share of right ones among all candidates down to it.
  double average_precision = 0;
};

/// queries [Q, E], candidates [N, E] of one dtype; right[q] has the candidates that are right for query q,
/// ascending, each once, at least one; top >= 1, or InputError. The Q×N similarities are never all held, only
/// some rows (for_each_score_row); besides, O(n) for each query under way. O(N log n) for each query.
std::vector<QueryRanking> rank_queries(Context& context, const Tensor& queries, const Tensor& candidates,
                                       std::span<const std::vector<int64_t>> right, int64_t top);

/// What is expected of a random order of `candidates`, `right` of which are right: 1 <= right <= candidates.
QueryRanking ranking_by_chance(int64_t right, int64_t candidates);

/// The mean of each figure; there is at least one ranking.
QueryRanking mean_ranking(std::span<const QueryRanking> rankings);

}  // namespace cuclip
