// AdamW on the CPU: one pass over the arena, cut into blocks without regard to the tensors in it.
#include "kernels/adamw/adamw_cpu.h"

#include <algorithm>
#include <cmath>

#include "kernels/adamw/adamw_control.h"
#include "kernels/common/scratch_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adamw/adamw_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

#ifndef CUCLIP_ADAMW_SCALARS_
#define CUCLIP_ADAMW_SCALARS_
namespace cuclip {

// The scalars of one step and one segment.
struct AdamWScalars {
  AdamWScalars(const AdamWStep& p, const AdamWSegment& s)
      : segment(*p.control, s),
        gradient_scale(p.control->gradient_scale),
        one_minus_beta1(static_cast<float>(1.0 - p.beta1)),
        beta2(static_cast<float>(p.beta2)),
        one_minus_beta2(static_cast<float>(1.0 - p.beta2)),
        sqrt_bias2(p.control->sqrt_bias2),
        eps(static_cast<float>(p.eps)) {}
  AdamWSegmentScalars segment;
  float gradient_scale, one_minus_beta1, beta2, one_minus_beta2, sqrt_bias2, eps;
};

}  // namespace cuclip
#endif  // CUCLIP_ADAMW_SCALARS_

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

struct Element {
  VF w, m, v;
};

HWY_INLINE Element update(Element e, VF gradient, const AdamWScalars& s) {
  const F32 d;
  const VF g = hn::Mul(gradient, hn::Set(d, s.gradient_scale));
  e.m = hn::MulAdd(hn::Set(d, s.one_minus_beta1), hn::Sub(g, e.m), e.m);
  e.v = hn::MulAdd(hn::Mul(g, g), hn::Set(d, s.one_minus_beta2), hn::Mul(e.v, hn::Set(d, s.beta2)));
  const VF denominator = hn::Add(hn::Div(hn::Sqrt(e.v), hn::Set(d, s.sqrt_bias2)), hn::Set(d, s.eps));
  const VF decayed = hn::Mul(e.w, hn::Set(d, s.segment.decay));
  e.w = hn::NegMulAdd(hn::Set(d, s.segment.step_size), hn::Div(e.m, denominator), decayed);
  return e;
}

// The elements [begin, end) of the arena, all of one segment.
void step_range(const AdamWStep& p, const AdamWScalars& s, int64_t begin, int64_t end) {
  float* w = p.weights.as<float>();
  float* g = p.gradients.as<float>();
  float* m = p.exp_avg.as<float>();
  float* v = p.exp_avg_sq.as<float>();
  bfloat16* narrow = p.weights_bf16 ? p.weights_bf16.as<bfloat16>() : nullptr;
  int64_t i = begin;
  for (; i + lanes() <= end; i += lanes()) {
    const Element e = update({load(w + i), load(m + i), load(v + i)}, load(g + i), s);
    store(e.w, w + i);
    store(e.m, m + i);
    store(e.v, v + i);
    if (narrow) store(e.w, narrow + i);
    if (p.zero_gradients) store(hn::Zero(F32()), g + i);
  }
  if (const int64_t n = end - i; n > 0) {
    const Element e = update({load_n(w + i, n), load_n(m + i, n), load_n(v + i, n)}, load_n(g + i, n), s);
    store_n(e.w, w + i, n);
    store_n(e.m, m + i, n);
    store_n(e.v, v + i, n);
    if (narrow) store_n(e.w, narrow + i, n);
    if (p.zero_gradients) std::fill_n(g + i, n, 0.0f);
  }
}

// Σ x² in f64. Four running sums: a single chain of dependent additions would be slower than memory.
double sum_of_squares(const float* x, int64_t n) {
  const hn::Repartition<double, F32> wide;
  auto s0 = hn::Zero(wide), s1 = s0, s2 = s0, s3 = s0;
  const auto add = [&](VF value, auto& low_sum, auto& high_sum) {
    const auto low = hn::PromoteTo(wide, hn::LowerHalf(value));
    const auto high = hn::PromoteTo(wide, hn::UpperHalf(hn::Half<F32>(), value));
    low_sum = hn::MulAdd(low, low, low_sum);
    high_sum = hn::MulAdd(high, high, high_sum);
  };
  int64_t i = 0;
  for (; i + 2 * lanes() <= n; i += 2 * lanes()) {
    add(load(x + i), s0, s1);
    add(load(x + i + lanes()), s2, s3);
  }
  if (i + lanes() <= n) {
    add(load(x + i), s0, s1);
    i += lanes();
  }
  if (i < n) add(load_n(x + i, n - i), s2, s3);
  return hn::GetLane(hn::SumOfLanes(wide, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(step_range);
HWY_EXPORT(sum_of_squares);

// Elements per task: a whole number of cache lines, so that no two tasks write to the same one.
constexpr int64_t kBlock = 64 * 1024;

// Calls body(segment, begin, end) for the part of each segment that lies in block `block`.
template <typename Body>
void for_segments_of_block(std::span<const AdamWSegment> segments, int64_t block, Body&& body) {
  const int64_t block_begin = block * kBlock, block_end = block_begin + kBlock;
  const auto ends_before = [&](const AdamWSegment& s) { return s.offset + s.size <= block_begin; };
  auto s = std::partition_point(segments.begin(), segments.end(), ends_before);
  for (; s != segments.end() && s->offset < block_end; ++s) {
    body(*s, std::max(block_begin, s->offset), std::min(block_end, s->offset + s->size));
  }
}

}  // namespace

void adamw_step_cpu(const AdamWStep& p, const ExecContext& ctx) {
  const bool skipped = p.control->skipped_in_a_row > 0;
  if (skipped && !p.zero_gradients) return;
  parallel_for(ctx, ceil_div(p.weights.size(0), kBlock), [&](int64_t block, int) {
    for_segments_of_block(p.segments, block, [&](const AdamWSegment& s, int64_t begin, int64_t end) {
      if (skipped) {
        std::fill(p.gradients.as<float>() + begin, p.gradients.as<float>() + end, 0.0f);
      } else {
        HWY_DYNAMIC_DISPATCH(step_range)(p, AdamWScalars(p, s), begin, end);
      }
    });
  });
}

void adamw_begin_cpu(const AdamWBegin& p, const ExecContext& ctx) {
  const int64_t blocks = ceil_div(p.gradients.size(0), kBlock);
  ScratchPlan plan;
  const auto slot = plan.add<double>(blocks);
  plan.reserve(ctx);
  double* sums = plan[slot];
  const float* gradients = p.gradients.as<float>();
  parallel_for(ctx, blocks, [&](int64_t block, int) {
    double sum = 0;
    for_segments_of_block(p.segments, block, [&](const AdamWSegment&, int64_t begin, int64_t end) {
      sum += HWY_DYNAMIC_DISPATCH(sum_of_squares)(gradients + begin, end - begin);
    });
    sums[block] = sum;
  });
  double total = 0;
  for (int64_t block = 0; block < blocks; ++block) total += sums[block];
  decision_of(p)(*p.control, p.loss ? *p.loss.as<float>() : 0.0f, static_cast<float>(std::sqrt(total)),
                 *p.lr.as<float>());
}

}  // namespace cuclip
#endif  // HWY_ONCE
