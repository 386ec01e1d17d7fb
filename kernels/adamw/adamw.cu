// AdamW on CUDA: two launches for the norm and what follows from it, then one over the whole arena, whatever
// tensors are in it.
//
// Threads: a block takes kTile consecutive elements of the arena, looks up which segments lie there, and
// walks over them in order; of a segment that begins at a multiple of four elements, each thread has four at
// a time, in accesses of 16 bytes. Bytes moved per parameter: 28, +2 for the bf16 copy, +4 for zeroed
// gradients; 4 for the norm.
#include "kernels/adamw/adamw_control.h"
#include "kernels/adamw/adamw_cuda.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/common/tuning.h"
#include "kernels/common/vec.cuh"

namespace cuclip {
namespace {

constexpr int kThreads = 256;
constexpr int kSize = Vec<float>::kSize;
// Each thread has four vectors of each of four arrays; and blocks are few enough that adding up their partial
// norms is quick.
constexpr int64_t kTile = int64_t{kThreads} * kSize * 4;

struct Segments {
  const AdamWSegment* first;
  int64_t count;
};

// The first segment that ends after the beginning of this block's tile.
__device__ int64_t first_of_block(const Segments& segments) {
  const int64_t block_begin = blockIdx.x * kTile;
  int64_t s = 0;
  for (int64_t end = segments.count; s < end;) {
    const int64_t middle = (s + end) / 2;
    const AdamWSegment& segment = segments.first[middle];
    if (segment.offset + segment.size <= block_begin) {
      s = middle + 1;
    } else {
      end = middle;
    }
  }
  return s;
}

// Calls body(segment, begin, end) for the part of each segment that lies in this block's tile, in order.
template <typename Body>
__device__ __forceinline__ void for_segments_of_block(const Segments& segments, int64_t first, Body&& body) {
  const int64_t block_begin = blockIdx.x * kTile, block_end = block_begin + kTile;
  for (int64_t s = first; s < segments.count && segments.first[s].offset < block_end; ++s) {
    const AdamWSegment& segment = segments.first[s];
    body(segment, max(block_begin, segment.offset), min(block_end, segment.offset + segment.size));
  }
}

// Divides [begin, end) among the block's threads: of_vec(i) for kSize elements at a time where they are
// aligned, of_element(i) for the others.
template <typename OfVec, typename OfElement>
__device__ __forceinline__ void for_elements(int64_t begin, int64_t end, bool aligned, OfVec&& of_vec,
                                             OfElement&& of_element) {
  const int64_t vecs_end = aligned && begin % kSize == 0 ? begin + (end - begin) / kSize * kSize : begin;
  for (int64_t i = begin + threadIdx.x * kSize; i < vecs_end; i += kThreads * kSize) of_vec(i);
  for (int64_t i = vecs_end + threadIdx.x; i < end; i += kThreads) of_element(i);
}

struct StepArguments {
  float *weights, *gradients, *exp_avg, *exp_avg_sq;
  bfloat16* narrow;  // null: no bf16 copy
  Segments segments;
  const AdamWControl* control;
  float one_minus_beta1, beta2, one_minus_beta2, eps;
  bool zero_gradients, aligned;
};

// The step's scalars in one segment.
struct Scalars {
  __device__ Scalars(const AdamWControl& c, const AdamWSegment& s)
      : segment(c, s), gradient_scale(c.gradient_scale), sqrt_bias2(c.sqrt_bias2) {}
  AdamWSegmentScalars segment;
  float gradient_scale, sqrt_bias2;
};

__device__ __forceinline__ void update(float& w, float& m, float& v, float gradient, const StepArguments& p,
                                       const Scalars& s) {
  const float g = gradient * s.gradient_scale;
  m = fmaf(p.one_minus_beta1, g - m, m);
  v = fmaf(g * g, p.one_minus_beta2, v * p.beta2);
  const float denominator = sqrtf(v) / s.sqrt_bias2 + p.eps;
  w = fmaf(-s.segment.step_size, m / denominator, w * s.segment.decay);
}

__device__ void step_element(const StepArguments& p, const Scalars& s, int64_t i) {
  update(p.weights[i], p.exp_avg[i], p.exp_avg_sq[i], p.gradients[i], p, s);
  if (p.narrow) p.narrow[i] = from_float<bfloat16>(p.weights[i]);
  if (p.zero_gradients) p.gradients[i] = 0.0f;
}

__device__ void step_vec(const StepArguments& p, const Scalars& s, int64_t i) {
  float w[kSize], g[kSize], m[kSize], v[kSize];
  load_floats(p.weights + i, w);
  load_floats(p.gradients + i, g);
  load_floats(p.exp_avg + i, m);
  load_floats(p.exp_avg_sq + i, v);
#pragma unroll
  for (int j = 0; j < kSize; ++j) update(w[j], m[j], v[j], g[j], p, s);
  store_vec(p.weights + i, pack<float>(w));
  store_vec(p.exp_avg + i, pack<float>(m));
  store_vec(p.exp_avg_sq + i, pack<float>(v));
  if (p.narrow) store_vec(p.narrow + i, pack<bfloat16>(w));
  if (p.zero_gradients) store_vec(p.gradients + i, Vec<float>{});
}

__global__ void __launch_bounds__(kThreads, Tuning::AdamW::kBlocks) adamw_kernel(const StepArguments p) {
  __shared__ AdamWControl control;  // read once per block
  __shared__ int64_t first;
  if (threadIdx.x == 0) {
    control = *p.control;
    first = first_of_block(p.segments);
  }
  __syncthreads();
  const bool skipped = control.skipped_in_a_row > 0;
  if (skipped && !p.zero_gradients) return;
  for_segments_of_block(p.segments, first, [&](const AdamWSegment& segment, int64_t begin, int64_t end) {
    if (skipped) {
      for_elements(
          begin, end, p.aligned, [&](int64_t i) { store_vec(p.gradients + i, Vec<float>{}); },
          [&](int64_t i) { p.gradients[i] = 0.0f; });
      return;
    }
    const Scalars s(control, segment);
    for_elements(
        begin, end, p.aligned, [&](int64_t i) { step_vec(p, s, i); },
        [&](int64_t i) { step_element(p, s, i); });
  });
}

// A block's Σ g² in f64.
__global__ void __launch_bounds__(kThreads)
    squares_kernel(const float* gradients, Segments segments, bool aligned, double* sums) {
  __shared__ double shared[kWarp];
  __shared__ int64_t first;
  if (threadIdx.x == 0) first = first_of_block(segments);
  __syncthreads();
  double sum = 0;
  const auto add = [&](float g) { sum = fma(static_cast<double>(g), static_cast<double>(g), sum); };
  for_segments_of_block(segments, first, [&](const AdamWSegment&, int64_t begin, int64_t end) {
    const auto add_vec = [&](int64_t i) {
      float g[kSize];
      load_floats(gradients + i, g);
#pragma unroll
      for (int j = 0; j < kSize; ++j) add(g[j]);
    };
    for_elements(begin, end, aligned, add_vec, [&](int64_t i) { add(gradients[i]); });
  });
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Run by one block: the root of the blocks' sums, and what follows from it. loss may be null.
__global__ void __launch_bounds__(kThreads)
    decide_kernel(const double* sums, int64_t count, const float* loss, const float* lr, AdamWDecision decide,
                  AdamWControl* control) {
  __shared__ double shared[kWarp];
  const double sum = block_sum_of(sums, count, shared);
  if (threadIdx.x == 0) decide(*control, loss ? *loss : 0.0f, static_cast<float>(sqrt(sum)), *lr);
}

Segments segments_of(std::span<const AdamWSegment> segments) {
  return {segments.data(), static_cast<int64_t>(segments.size())};
}

}  // namespace

void adamw_begin_cuda(const AdamWBegin& p, const ExecContext& ctx) {
  const int64_t blocks = ceil_div(p.gradients.size(0), kTile);
  ScratchPlan plan;
  const auto slot = plan.add<double>(blocks);
  plan.reserve(ctx);
  launch({.kernel = "squares_kernel", .grid = {blocks}, .threads = kThreads}, squares_kernel, ctx,
         p.gradients.as<float>(), segments_of(p.segments), aligned_to(kVecBytes, p.gradients.data),
         plan[slot]);
  launch({.kernel = "decide_kernel", .grid = {1}, .threads = kThreads}, decide_kernel, ctx, plan[slot],
         blocks, p.loss ? p.loss.as<float>() : nullptr, p.lr.as<float>(), decision_of(p), p.control);
}

void adamw_step_cuda(const AdamWStep& p, const ExecContext& ctx) {
  bfloat16* const narrow = p.weights_bf16 ? p.weights_bf16.as<bfloat16>() : nullptr;
  const StepArguments arguments{
      .weights = p.weights.as<float>(),
      .gradients = p.gradients.as<float>(),
      .exp_avg = p.exp_avg.as<float>(),
      .exp_avg_sq = p.exp_avg_sq.as<float>(),
      .narrow = narrow,
      .segments = segments_of(p.segments),
      .control = p.control,
      .one_minus_beta1 = static_cast<float>(1.0 - p.beta1),
      .beta2 = static_cast<float>(p.beta2),
      .one_minus_beta2 = static_cast<float>(1.0 - p.beta2),
      .eps = static_cast<float>(p.eps),
      .zero_gradients = p.zero_gradients,
      .aligned = aligned_to(kVecBytes, p.weights.data, p.gradients.data, p.exp_avg.data, p.exp_avg_sq.data) &&
                 aligned_to(kSize * sizeof(bfloat16), narrow)};
  launch({.kernel = "adamw_kernel", .grid = {ceil_div(p.weights.size(0), kTile)}, .threads = kThreads},
         adamw_kernel, ctx, arguments);
}

}  // namespace cuclip
