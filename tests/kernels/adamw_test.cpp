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

constexpr double kBeta1 = 0.9, kBeta2 = 0.98;

// What adamw_begin leaves.
AdamWControl begun(int64_t step, float gradient_scale = 0.7f) {
  return {.steps = step,
          .gradient_scale = gradient_scale,
          .sqrt_bias2 = static_cast<float>(std::sqrt(1 - std::pow(kBeta2, static_cast<double>(step)))),
          .bias1 = 1 - std::pow(kBeta1, static_cast<double>(step)),
          .lr = 1e-3};
}

// An arena with random state in its segments and NaN between them.
struct Arena {
  explicit Arena(const AdamWCase& c) : c(c), segments(c.segments) {
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
  // The update of step `step`, begun with a clipping factor of 0.7.
  AdamWStep params(int64_t step = 1) const {
    control = OnDevice<AdamWControl>({begun(step)});
    return {.weights = weights.view(),
            .gradients = gradients.view(),
            .exp_avg = exp_avg.view(),
            .exp_avg_sq = exp_avg_sq.view(),
            .weights_bf16 = weights_bf16.view(),
            .segments = segments.view(),
            .control = control.view().data(),
            .beta1 = kBeta1,
            .beta2 = kBeta2,
            .eps = 1e-6};
  }
  std::vector<Buffer> buffers() const { return {weights, gradients, exp_avg, exp_avg_sq, weights_bf16}; }

  AdamWCase c;
  OnDevice<AdamWSegment> segments;
  mutable OnDevice<AdamWControl> control{{begun(1)}};
  Buffer weights = Buffer::poisoned({c.n}, DType::f32), gradients = weights, exp_avg = weights,
         exp_avg_sq = weights, weights_bf16 = Buffer::poisoned({c.n}, DType::bf16);
};

struct Expected {
  std::vector<double> weights, gradients, exp_avg, exp_avg_sq;
};

// NaN where there is padding.
Expected reference(const Arena& a, const AdamWStep& p, int64_t step) {
  Expected e{a.weights.to_doubles(), a.gradients.to_doubles(), a.exp_avg.to_doubles(),
             a.exp_avg_sq.to_doubles()};
  for (const AdamWSegment& s : a.c.segments) {
    for (auto i = static_cast<size_t>(s.offset); i < static_cast<size_t>(s.offset + s.size); ++i) {
      const AdamWElement x =
          ref_adamw({e.weights[i], e.gradients[i], e.exp_avg[i], e.exp_avg_sq[i]}, p, begun(step), s);
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

struct Beginning {
  AdamWControl before = {};
  double loss = 1.0, lr = 1e-3;
  float clip_norm = 0.0f;
};

AdamWControl begin(const Buffer& gradients, const std::vector<AdamWSegment>& segments, const ExecContext& ctx,
                   const Beginning& b = {}) {
  const OnDevice<AdamWSegment> there(segments);
  const OnDevice<AdamWControl> control({b.before});
  const Buffer loss = Buffer::from({1}, DType::f32, {b.loss}), lr = Buffer::from({1}, DType::f32, {b.lr});
  adamw_begin({.gradients = gradients.view(),
               .segments = there.view(),
               .loss = loss.view(),
               .lr = lr.view(),
               .control = control.view().data(),
               .beta1 = kBeta1,
               .beta2 = kBeta2,
               .clip_norm = b.clip_norm},
              ctx);
  return control.at(0);
}

float norm_of(const Buffer& gradients, const std::vector<AdamWSegment>& segments, const ExecContext& ctx) {
  return begin(gradients, segments, ctx).gradient_norm;
}

}  // namespace

TEST_CASE("adamw_step matches torch's formula in float64 and leaves padding alone") {
  for (const AdamWCase& c : cases::adamw_cases()) {
    for (const int64_t step : {1, 2, 1000, 1000000}) {
      for (const bool zero_gradients : {false, true}) {
        const Arena before(c);
        AdamWStep p = before.params(step);
        p.zero_gradients = zero_gradients;
        const Expected expected = reference(before, p, step);
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

TEST_CASE("adamw_begin and adamw_step give what torch.optim.AdamW gave") {
  // torch 2.15, f32, two steps:
  //   p = Parameter(tensor([1., -2., .5])); o = AdamW([p], lr=.01, betas=(.9, .98), eps=1e-6,
  //   weight_decay=.2) for g in ([.1, -.2, 0.], [-.3, .05, 1e-4]): p.grad = tensor(g); o.step()
  TestContext ctx;
  const std::vector<AdamWSegment> segments = {{0, 3, 0.2f}};
  const OnDevice<AdamWSegment> there(segments);
  Buffer w = Buffer::from({3}, DType::f32, {1, -2, 0.5}), m = Buffer::zeros({3}, DType::f32), v = m;
  AdamWControl control;
  for (const std::vector<double>& gradient : {std::vector<double>{0.1, -0.2, 0}, {-0.3, 0.05, 1e-4}}) {
    const Buffer g = Buffer::from({3}, DType::f32, gradient);
    control = begin(g, segments, ctx, {.before = control, .lr = 0.01});
    const OnDevice<AdamWControl> control_there({control});
    adamw_step({.weights = w.view(),
                .gradients = g.view(),
                .exp_avg = m.view(),
                .exp_avg_sq = v.view(),
                .segments = there.view(),
                .control = control_there.view().data(),
                .beta1 = kBeta1,
                .beta2 = kBeta2,
                .eps = 1e-6},
               ctx);
  }
  // Two units in the last place: fused multiply-adds round less often than torch's separate operations.
  const double u = 4 * roundoff(DType::f32);
  expect_close("weights", w, {0.990947187, -1.9773134, 0.490698874}, {0, u});
  expect_close("exp_avg", m, {-0.0209999997, -0.0130000012, 9.99999975e-06}, {0, u});
  expect_close("exp_avg_sq", v, {0.00199600006, 0.000834000064, 1.99999989e-10}, {0, u});
}

TEST_CASE("adamw_begin counts steps, corrects for the bias and clips") {
  TestContext ctx;
  const Buffer g = Buffer::from({2}, DType::f32, {3, 4});
  const std::vector<AdamWSegment> segments = {{0, 2}};
  for (const int64_t steps : {0, 1, 999, 10000000}) {
    const AdamWControl c = begin(g, segments, ctx, {.before = {.steps = steps, .skipped = 3}, .lr = 0.25});
    const auto step = static_cast<double>(steps + 1);
    CHECK(c.steps == steps + 1);
    CHECK((c.skipped == 3 && c.skipped_in_a_row == 0));
    CHECK((c.loss == 1.0f && c.gradient_norm == 5.0f && c.gradient_scale == 1.0f && c.lr == 0.25));
    CHECK(c.bias1 == Approx(1 - std::pow(kBeta1, step)).epsilon(1e-14));
    CHECK(c.sqrt_bias2 == Approx(std::sqrt(1 - std::pow(kBeta2, step))).epsilon(roundoff(DType::f32)));
  }
  CHECK(begin(g, segments, ctx, {.clip_norm = 2.0f}).gradient_scale == Approx(0.4).epsilon(1e-6));
  CHECK(begin(g, segments, ctx, {.clip_norm = 6.0f}).gradient_scale == 1.0f);
}

TEST_CASE("a step whose loss or norm is not finite is counted and changes nothing but the gradients") {
  TestContext ctx;
  const std::vector<AdamWSegment> segments = {{0, 2}};
  const Buffer finite = Buffer::from({2}, DType::f32, {3, 4});
  const AdamWControl before{.steps = 7,
                            .skipped = 2,
                            .skipped_in_a_row = 1,
                            .gradient_scale = 0.5f,
                            .sqrt_bias2 = 0.1f,
                            .bias1 = 0.2,
                            .lr = 1.0};
  for (const double bad : {double{NAN}, double{INFINITY}}) {
    const AdamWControl of_loss = begin(finite, segments, ctx, {.before = before, .loss = bad});
    const AdamWControl of_norm =
        begin(Buffer::from({2}, DType::f32, {bad, 0}), segments, ctx, {.before = before});
    for (const AdamWControl& c : {of_loss, of_norm}) {
      CHECK((c.steps == 7 && c.skipped == 3 && c.skipped_in_a_row == 2));
      CHECK((c.bias1 == 0.2 && c.sqrt_bias2 == 0.1f));
    }
    CHECK(!std::isfinite(of_loss.loss));
    CHECK(!std::isfinite(of_norm.gradient_norm));
    CHECK(begin(finite, segments, ctx, {.before = of_loss}).skipped_in_a_row == 0);
  }
  for (const AdamWCase& c : cases::adamw_cases()) {
    const Arena start(c);
    for (const bool zero_gradients : {false, true}) {
      Arena a = start;
      AdamWStep p = a.params();
      AdamWControl control = begun(3);
      control.skipped_in_a_row = 1;
      const OnDevice<AdamWControl> skipping({control});
      p.control = skipping.view().data();
      p.zero_gradients = zero_gradients;
      adamw_step(p, ctx);
      CHECK((a.weights.same_bits(start.weights) && a.exp_avg.same_bits(start.exp_avg)));
      CHECK((a.exp_avg_sq.same_bits(start.exp_avg_sq) && a.weights_bf16.same_bits(start.weights_bf16)));
      CHECK(a.gradients.same_bits(start.gradients) == !zero_gradients);
      for (const AdamWSegment& s : c.segments) {
        for (int64_t i = s.offset; zero_gradients && i < s.offset + s.size; ++i) {
          if (a.gradients.at(i) != 0) FAIL("gradient " << i << " is not zeroed");
        }
      }
    }
  }
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

TEST_CASE("adamw_step and the gradient norm have the same bits for any number of threads") {
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

TEST_CASE("the gradient norm matches float64 and skips padding") {
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

TEST_CASE("the gradient norm holds where f32 squares overflow or vanish, and propagates NaN and infinity") {
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

TEST_CASE("the gradient norm of nothing is 0") {
  TestContext ctx;
  REQUIRE(norm_of(Buffer::poisoned({7}, DType::f32), {}, ctx) == 0.0f);
  REQUIRE(norm_of(Buffer::poisoned({0}, DType::f32), {}, ctx) == 0.0f);
  const Arena empty(AdamWCase{0, {}});
  adamw_step(empty.params(), ctx);
}

TEST_CASE("adamw refuses wrong shapes, betas and segments, and says which") {
  TestContext ctx;
  const Arena a(AdamWCase{10, {{0, 10}}});
  const Buffer short_buffer = Buffer::zeros({9}, DType::f32);
  AdamWStep p = a.params();
  p.exp_avg = short_buffer.view();
  REQUIRE_THROWS_WITH(adamw_step(p, ctx), "adamw_step: exp_avg must be [10], got [9]");
  p = a.params();
  p.beta2 = 1.0;
  REQUIRE_THROWS_WITH(adamw_step(p, ctx), "adamw_step: betas must be in [0, 1), got 0.9 and 1");
  p = a.params();
  p.control = nullptr;
  REQUIRE_THROWS_WITH(adamw_step(p, ctx), "adamw_step: control is missing");
  const std::vector<std::vector<AdamWSegment>> wrong = {
      {{0, 11}}, {{4, 4}, {7, 1}}, {{-1, 2}}, {{3, -1}}, {{11, 0}}};
  for (const auto& segments : wrong) REQUIRE_THROWS_AS(check_segments("test", segments, 10), InputError);
  REQUIRE_THROWS_WITH(
      check_segments("test", wrong[1], 10),
      "test: segment 1 is [7, 7 + 1), expected it between 8, where the one before ends, and 10");
  if (on_cuda()) return;  // there they are in the device's memory
  p = a.params();
  p.segments = wrong[0];
  REQUIRE_THROWS_AS(adamw_step(p, ctx), InputError);
  REQUIRE_THROWS_AS(norm_of(a.gradients, wrong[0], ctx), InputError);
}
