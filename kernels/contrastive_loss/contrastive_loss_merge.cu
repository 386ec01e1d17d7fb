// What parts of the similarity matrix have in common, on CUDA: their statistics merged, and sums of f64.
//
// A block of eight warps merges the statistics of 32 elements, one for each lane: each warp those of every
// eighth part, first the maxima, then the sums. The statistics are read twice, 16 bytes for each part and
// element, the second time from the cache. Cross-entropies lie in scratch, 8 bytes each, until a block for
// each group adds them up. No atomics; the order follows from the numbers of parts and elements.
#include <algorithm>

#include "kernels/common/exponential.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/rounding.h"
#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"

namespace cuclip {
namespace {

constexpr int kMergeWarps = 8;
constexpr int kMergeThreads = kMergeWarps * kWarp;
constexpr int kSumThreads = 256;

struct MergeArguments {
  const float* max;  // [parts, count]
  const float* sum;  // [parts, count]
  int64_t parts;
  int64_t count;
  const float* positive;  // optional, and losses with it
  float* lse;
  double* losses;  // [count]
};

__global__ void __launch_bounds__(kMergeThreads) merge_parts_kernel(const MergeArguments p) {
  __shared__ float maxima[kMergeWarps][kWarp];
  __shared__ double sums[kMergeWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t element = int64_t{blockIdx.x} * kWarp + lane;
  const bool inside = element < p.count;
  float max = kLowestLogit;
  for (int64_t part = warp; inside && part < p.parts; part += kMergeWarps) {
    max = fmaxf(max, p.max[part * p.count + element]);
  }
  maxima[warp][lane] = max;
  __syncthreads();
  for (int other = 0; other < kMergeWarps; ++other) max = fmaxf(max, maxima[other][lane]);
  double sum = 0;
  for (int64_t part = warp; inside && part < p.parts; part += kMergeWarps) {
    const int64_t at = part * p.count + element;
    sum += static_cast<double>(p.sum[at] * exp_fast(p.max[at] - max));
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || !inside) return;
  for (int other = 1; other < kMergeWarps; ++other) sum += sums[other][lane];
  // The maximum and the positive logit cancel before the logarithm is added: a small loss keeps its digits at
  // large scales.
  const double log_sum = log(sum);
  p.lse[element] = static_cast<float>(max + log_sum);
  if (p.positive) p.losses[element] = (static_cast<double>(max) - p.positive[element]) + log_sum;
}

// Each block adds up `count` terms.
__global__ void __launch_bounds__(kSumThreads)
    add_groups_kernel(const double* terms, int64_t count, double* sums) {
  __shared__ double shared[kWarp];
  const double sum = block_sum_of(terms + blockIdx.x * count, count, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kSumThreads)
    total_kernel(const double* terms, int64_t count, double factor, float* total) {
  __shared__ double shared[kWarp];
  const double sum = block_sum_of(terms, count, shared);
  if (threadIdx.x == 0) *total = static_cast<float>(factor * sum);
}

}  // namespace

void contrastive_loss_merge_cuda(const ContrastiveLossMerge& p, const ExecContext& ctx) {
  const int64_t elements = p.max.size(1), groups = std::ssize(p.losses);
  ScratchPlan plan;
  const auto losses = plan.add<double>(p.positive ? elements : 0);
  plan.reserve(ctx);
  const MergeArguments a{.max = p.max.as<float>(),
                         .sum = p.sum.as<float>(),
                         .parts = p.max.size(0),
                         .count = elements,
                         .positive = p.positive.as<float>(),
                         .lse = p.lse.as<float>(),
                         .losses = plan[losses]};
  launch({.kernel = "merge_parts_kernel", .grid = {ceil_div(elements, kWarp)}, .threads = kMergeThreads},
         merge_parts_kernel, ctx, a);
  launch({.kernel = "add_groups_kernel", .grid = {groups}, .threads = kSumThreads}, add_groups_kernel, ctx,
         plan[losses], elements / std::max<int64_t>(groups, 1), p.losses.data());
}

void contrastive_loss_total_cuda(const ContrastiveLossTotal& p, const ExecContext& ctx) {
  launch({.kernel = "total_kernel", .grid = {1}, .threads = kSumThreads}, total_kernel, ctx, p.terms.data(),
         std::ssize(p.terms), p.factor, p.total.as<float>());
}

}  // namespace cuclip
