// labels: threads
#include "kernels/adamw/adamw.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/adamw_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_adamw.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::AdamWCase;

namespace {

// An arena with random state in its segments and NaN between them.
struct Arena {
  explicit Arena(const AdamWCase& c) : c(c) {
    const Buffer random[] = {Buffer::normal({c.n}, DType::f32), Buffer::normal({c.n}, DType::f32, 1e-2),
                             Buffer::normal({c.n}, DType::f32, 1e-2),
                             Buffer::normal({c.n}, DType::f32, 1e-2)};
    for (const AdamWSegment& s : c.segments) {
      for (int64_t i = s.offset; i < s.offset + s.size; ++i) {
        weights.set(i, random[0].at(i));
        gradients.set(i, random[1].at(i));
        exp_avg.set(i, random[2].at(i));
        exp_avg_sq.set(i, std::pow(0.01 + std::abs(random[3].at(i)), 2));
      }
    }
  }
  AdamWStep params(int64_t step = 1) const {
    return {.weights = weights.view(),
            .gradients = gradients.view(),
            .exp_avg = exp_avg.view(),
            .exp_avg_sq = exp_avg_sq.view(),
            .weights_bf16 = weights_bf16.view(),
            .segments = c.segments,
            .lr = 1e-3,
            .beta1 = 0.9,
            .beta2 = 0.98,
            .eps = 1e-6,
            .step = step,
            .gradient_scale = 0.7f};
  }
  std::vector<Buffer> buffers() const { return {weights, gradients, exp_avg, exp_avg_sq, weights_bf16}; }

  AdamWCase c;
  Buffer weights = Buffer::poisoned({c.n}, DType::f32), gradients = weights, exp_avg = weights,
         exp_avg_sq = weights, weights_bf16 = Buffer::poisoned({c.n}, DType::bf16);
};

struct Expected {
  std::vector<double> weights, gradients, exp_avg, exp_avg_sq;
};

// NaN where there is padding.
Expected reference(const Arena& a, const AdamWStep& p) {
  Expected e{a.weights.to_doubles(), a.gradients.to_doubles(), a.exp_avg.to_doubles(),
             a.exp_avg_sq.to_doubles()};
  for (const AdamWSegment& s : a.c.segments) {
    for (auto i = static_cast<size_t>(s.offset); i < static_cast<size_t>(s.offset + s.size); ++i) {
      const AdamWElement x = ref_adamw({e.weights[i], e.gradients[i], e.exp_avg[i], e.exp_avg_sq[i]}, p, s);
      e.weights[i] = x.weight;
      e.gradients[i] = x.gradient;
      e.exp_avg[i] = x.exp_avg;
      e.exp_avg_sq[i] = x.exp_avg_sq;
    }
  }
  return e;
}

void check(const Arena& a, const Expected& e) {
  const double u = roundoff(DType::f32);
  // m: a difference of numbers of 0.05 at most; v: sums of positive terms. w: a few roundings of the weight,
  // and of the step, 0.02 here: m is below 0.05 and the root of v, corrected, above 0.07.
  expect_close("exp_avg", a.exp_avg, e.exp_avg, {0.05 * 4 * u, 4 * u});
  expect_close("exp_avg_sq", a.exp_avg_sq, e.exp_avg_sq, {0, 8 * u});
  expect_close("weights", a.weights, e.weights, {0.04 * 16 * u, 4 * u});
  expect_close("gradients", a.gradients, e.gradients, {0, 0});
  int64_t wrong = 0;
  for (int64_t i = 0; i < a.c.n; ++i) {
    const bool padding = std::isnan(e.weights[static_cast<size_t>(i)]);
    const uint16_t expected = padding ? 0xffff /* the poison */ : bfloat16(a.weights.data<float>()[i]).bits;
    wrong += a.weights_bf16.data<bfloat16>()[i].bits != expected;
  }
  REQUIRE(wrong == 0);
}

float norm_of(const Buffer& gradients, std::span<const AdamWSegment> segments, const ExecContext& ctx) {
  Buffer norm = Buffer::poisoned({1}, DType::f32);
  gradient_norm({.gradients = gradients.view(), .segments = segments, .norm = norm.view()}, ctx);
  norm.check_guards();
  return norm.data<float>()[0];
}

}  // namespace

TEST_CASE("adamw_step matches torch's formula in float64 and leaves padding alone") {
  for (const AdamWCase& c : cases::adamw_cases()) {
    for (const int64_t step : {1, 2, 1000, 1000000}) {
      for (const bool zero_gradients : {false, true}) {
        const Arena before(c);
        AdamWStep p = before.params(step);
        p.zero_gradients = zero_gradients;
        const Expected expected = reference(before, p);
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " n " << c.n << " step " << step);
          Arena a = before;
          AdamWStep of_copy = a.params(step);
          of_copy.zero_gradients = zero_gradients;
          adamw_step(of_copy, ctx);
          check(a, expected);
        });
      }
    }
  }
}

TEST_CASE("adamw_step gives what torch.optim.AdamW gave") {
  // torch 2.15, f32, two steps:
  //   p = Parameter(tensor([1., -2., .5])); o = AdamW([p], lr=.01, betas=(.9, .98), eps=1e-6,
  //   weight_decay=.2) for g in ([.1, -.2, 0.], [-.3, .05, 1e-4]): p.grad = tensor(g); o.step()
  TestContext ctx;
  const std::vector<AdamWSegment> segments = {{0, 3, 0.2f}};
  Buffer w = Buffer::from({3}, DType::f32, {1, -2, 0.5}), m = Buffer::zeros({3}, DType::f32), v = m;
  const std::vector<double> gradients[] = {{0.1, -0.2, 0}, {-0.3, 0.05, 1e-4}};
  for (const int64_t step : {1, 2}) {
    const Buffer g = Buffer::from({3}, DType::f32, gradients[step - 1]);
    adamw_step({.weights = w.view(),
                .gradients = g.view(),
                .exp_avg = m.view(),
                .exp_avg_sq = v.view(),
                .segments = segments,
                .lr = 0.01,
                .beta1 = 0.9,
                .beta2 = 0.98,
                .eps = 1e-6,
                .step = step},
               ctx);
  }
  // Two units in the last place: fused multiply-adds round less often than torch's separate operations.
  const double u = 4 * roundoff(DType::f32);
  expect_close("weights", w, {0.990947187, -1.9773134, 0.490698874}, {0, u});
  expect_close("exp_avg", m, {-0.0209999997, -0.0130000012, 9.99999975e-06}, {0, u});
  expect_close("exp_avg_sq", v, {0.00199600006, 0.000834000064, 1.99999989e-10}, {0, u});
}

TEST_CASE("adamw_step with lr_scale 0 keeps the weights and moves the moments") {
  TestContext ctx;
  const AdamWCase c{5, {{0, 5, 0.2f, 0.0f}}};
  const Arena before(c);
  Arena a = before;
  adamw_step(a.params(), ctx);
  REQUIRE(a.weights.same_bits(before.weights));
  REQUIRE_FALSE(a.exp_avg.same_bits(before.exp_avg));
}

TEST_CASE("adamw_step without a bf16 copy gives the same weights") {
  TestContext ctx;
  const AdamWCase c = cases::adamw_cases().back();
  const Arena before(c);
  Arena with = before, without = before;
  adamw_step(with.params(), ctx);
  AdamWStep p = without.params();
  p.weights_bf16 = TensorView();
  adamw_step(p, ctx);
  REQUIRE(with.weights.same_bits(without.weights));
}

TEST_CASE("adamw_step and gradient_norm have the same bits for any number of threads") {
  const AdamWCase c = cases::adamw_cases().back();
  const Arena before(c);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    Arena a = before;
    std::vector<Buffer> out = {Buffer::from({1}, DType::f32, {norm_of(a.gradients, c.segments, ctx)})};
    adamw_step(a.params(3), ctx);
    for (Buffer& b : a.buffers()) out.push_back(b);
    return out;
  }));
}

TEST_CASE("adamw_step propagates NaN only to the element that has it") {
  TestContext ctx;
  const AdamWCase c{40, {{0, 40}}};
  Arena a(c);
  a.gradients.set(19, NAN);
  adamw_step(a.params(), ctx);
  for (int64_t i = 0; i < 40; ++i) {
    for (const Buffer& b : {a.weights, a.exp_avg, a.exp_avg_sq, a.weights_bf16})
      REQUIRE(std::isnan(b.at(i)) == (i == 19));
  }
}

TEST_CASE("gradient_norm matches float64 and skips padding") {
  for (const AdamWCase& c : cases::adamw_cases()) {
    const Arena a(c);
    double sum = 0;
    for (const AdamWSegment& s : c.segments) {
      for (int64_t i = s.offset; i < s.offset + s.size; ++i) sum += a.gradients.at(i) * a.gradients.at(i);
    }
    for_each_target([&](const ExecContext& ctx, const std::string& target) {
      INFO(target << " n " << c.n);
      // Summed in f64, rounded once.
      REQUIRE(norm_of(a.gradients, c.segments, ctx) ==
              Approx(std::sqrt(sum)).epsilon(1.01 * roundoff(DType::f32)));
    });
  }
}

TEST_CASE("gradient_norm holds where f32 squares overflow or vanish, and propagates NaN and infinity") {
  TestContext ctx;
  const std::vector<AdamWSegment> segments = {{0, 100}};
  for (const double size : {1e30, 1e-30}) {
    const Buffer g = Buffer::from({100}, DType::f32, std::vector<double>(100, size));
    REQUIRE(norm_of(g, segments, ctx) == Approx(10 * size).epsilon(1e-6));
  }
  Buffer g = Buffer::normal({100}, DType::f32);
  g.set(99, INFINITY);
  REQUIRE(norm_of(g, segments, ctx) == INFINITY);
  g.set(3, NAN);
  REQUIRE(std::isnan(norm_of(g, segments, ctx)));
}

TEST_CASE("gradient_norm of nothing is 0") {
  TestContext ctx;
  REQUIRE(norm_of(Buffer::poisoned({7}, DType::f32), {}, ctx) == 0.0f);
  REQUIRE(norm_of(Buffer::poisoned({0}, DType::f32), {}, ctx) == 0.0f);
  const Arena empty(AdamWCase{0, {}});
  adamw_step(empty.params(), ctx);
}

TEST_CASE("adamw_step refuses wrong shapes, segments and steps, and says which") {
  TestContext ctx;
  const Arena a(AdamWCase{10, {{0, 10}}});
  const Buffer short_buffer = Buffer::zeros({9}, DType::f32);
  AdamWStep p = a.params();
  p.exp_avg = short_buffer.view();
  REQUIRE_THROWS_WITH(adamw_step(p, ctx), "adamw_step: exp_avg must be [10], got [9]");
  p = a.params();
  p.step = 0;
  REQUIRE_THROWS_WITH(adamw_step(p, ctx), "adamw_step: steps count from 1, got 0");
  const std::vector<std::vector<AdamWSegment>> wrong = {
      {{0, 11}}, {{4, 4}, {7, 1}}, {{-1, 2}}, {{3, -1}}, {{11, 0}}};
  for (const auto& segments : wrong) {
    p = a.params();
    p.segments = segments;
    REQUIRE_THROWS_AS(adamw_step(p, ctx), InputError);
    REQUIRE_THROWS_AS(norm_of(a.gradients, segments, ctx), InputError);
  }
  REQUIRE_THROWS_WITH(
      norm_of(a.gradients, wrong[1], ctx),
      "gradient_norm: segment 1 is [7, 7 + 1), expected it between 8, where the one before ends, and 10");
}
