#include "models/inference/score_rows.h"

#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/similarity/similarity.h"

namespace cuclip {
namespace {

constexpr int64_t kBlockScores = 1 << 20;  // held at a time
constexpr int64_t kTaskScores = 1 << 17;   // handed to work by one task

}  // namespace

void for_each_score_row(Context& context, const Tensor& queries, const Tensor& candidates,
                        const std::function<void(int64_t, std::span<const float>)>& work,
                        const std::function<void()>& poll) {
  const int64_t n = queries.size(0), m = candidates.size(0);
  const int64_t block = std::clamp<int64_t>(kBlockScores / m, 1, n);
  const Tensor scores = Tensor::empty(context, {block, m}, DType::f32);
  for (int64_t first = 0; first < n; first += block) {
    if (poll) poll();
    const int64_t rows = std::min(block, n - first);
    cosine_similarity({.a = queries.rows(first, rows), .b = candidates, .out = scores.rows(0, rows)},
                      context.exec());
    const Tensor on_host = scores.to(context.host());
    const float* s = on_host.data<float>();
    const int64_t task_rows = std::max<int64_t>(1, kTaskScores / m);
    parallel_for(context.exec(), ceil_div(rows, task_rows), [&](int64_t task, int) {
      for (int64_t row = task * task_rows; row < std::min(rows, (task + 1) * task_rows); ++row)
        work(first + row, {s + row * m, static_cast<size_t>(m)});
    });
  }
}

}  // namespace cuclip
