#include "kernels/mean_token/mean_token.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/attention_pool_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_attention_pool.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::MeanTokenCase;

namespace {

// A problem, poisoned outputs, and gradients to add to.
struct Problem {
  Problem(const MeanTokenCase& c, DType dtype)
      : x(Buffer::normal({c.batch, c.length, c.width}, dtype)),
        positions(Buffer::normal({c.length + 1, c.width}, DType::f32)),
        dy(Buffer::normal({c.batch, c.length + 1, c.width}, dtype)),
        y(Buffer::poisoned(dy.shape(), dtype)),
        dx(Buffer::poisoned(x.shape(), dtype)),
        dpositions(positions) {}
  MeanTokenForward forward() const { return {.x = x.view(), .positions = positions.view(), .y = y.view()}; }
  MeanTokenBackward backward() const {
    return {.dy = dy.view(), .dx = dx.view(), .dpositions = dpositions.view()};
  }
  Buffer x, positions, dy, y, dx, dpositions;
};

// What was there before is added to.
MeanTokenGradients gradients_of(const Problem& p, const MeanTokenCase& c) {
  MeanTokenGradients g = ref_mean_token_backward(p.dy.to_doubles(), c.length, c.width);
  for (size_t i = 0; i < g.dpositions.size(); ++i) g.dpositions[i] += p.positions.at(static_cast<int64_t>(i));
  return g;
}

// Numbers up to 6; a sum of S over S rounds like them, a sum over pictures as often as there are pictures.
constexpr double kError = 32.0 / (1 << 24);

void check(const Problem& p, const MeanTokenCase& c, const ExecContext& ctx) {
  const DType dtype = p.x.dtype();
  mean_token_forward(p.forward(), ctx);
  mean_token_backward(p.backward(), ctx);
  expect_close("y", p.y, ref_mean_token(p.x.to_doubles(), p.positions.to_doubles(), c.length, c.width),
               rounded(dtype, kError));
  const MeanTokenGradients g = gradients_of(p, c);
  expect_close("dx", p.dx, g.dx, rounded(dtype, kError));
  expect_close("dpositions", p.dpositions, g.dpositions, {kError * static_cast<double>(c.batch), 0});
}

}  // namespace

TEST_CASE("mean_token matches float64, and accumulates into the positions' gradient") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const MeanTokenCase& c : cases::mean_token_cases()) {
      const Problem inputs(c, dtype);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << inputs.x.shape().to_string() << " " << name_of(dtype));
        const Problem p = inputs;
        check(p, c, ctx);
      });
    }
  }
}

TEST_CASE("mean_token gradients match finite differences") {
  const MeanTokenCase c{2, 3, 5};
  Problem p(c, DType::f32);
  p.dpositions = Buffer::zeros(p.positions.shape(), DType::f32);
  TestContext ctx;
  mean_token_backward(p.backward(), ctx);
  std::vector<double> x = p.x.to_doubles(), positions = p.positions.to_doubles();
  const auto loss = [&] {
    const std::vector<double> y = ref_mean_token(x, positions, c.length, c.width);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * p.dy.at(static_cast<int64_t>(i));
    return sum;
  };
  const auto differences = [&](std::vector<double>& values) {
    std::vector<double> result;
    for (double& v : values) {
      const double at = v;
      v = at + 0.5;  // y is linear in both
      const double above = loss();
      v = at - 0.5;
      result.push_back(above - loss());
      v = at;
    }
    return result;
  };
  expect_close("dx", p.dx, differences(x), {kError, 0});
  expect_close("dpositions", p.dpositions, differences(positions), {kError, 0});
}

TEST_CASE("mean_token takes memory of any alignment") {
  const MeanTokenCase c{2, 5, 16};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem p(c, dtype);
    TestContext ctx;
    for (Buffer* odd : {&p.x, &p.positions, &p.y, &p.dy, &p.dx, &p.dpositions}) {
      p.dpositions = p.positions;
      *odd = odd->shifted(1);
      check(p, c, ctx);
      *odd = odd->shifted(0);
    }
  }
}

TEST_CASE("mean_token passes NaN to its own element and its channel of the mean only") {
  Problem p({3, 4, 5}, DType::f32);
  p.x.set((1 * 4 + 2) * 5 + 3, NAN);
  TestContext ctx;
  mean_token_forward(p.forward(), ctx);
  for (int64_t i = 0; i < p.y.elements(); ++i) {
    const bool nan = i == (1 * 5 + 0) * 5 + 3 || i == (1 * 5 + 3) * 5 + 3;
    REQUIRE(std::isnan(p.y.at(i)) == nan);
  }
}

TEST_CASE("mean_token gives the same bits for any number of threads and accepts an empty batch") {
  const Problem inputs({37, 10, 24}, DType::bf16);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    const Problem p = inputs;
    mean_token_forward(p.forward(), ctx);
    mean_token_backward(p.backward(), ctx);
    return std::vector<Buffer>{p.y, p.dx, p.dpositions};
  }));
  TestContext ctx;
  const Problem none({0, 3, 4}, DType::f32);
  REQUIRE_NOTHROW(mean_token_forward(none.forward(), ctx));
  REQUIRE_NOTHROW(mean_token_backward(none.backward(), ctx));
  REQUIRE(none.dpositions.same_bits(none.positions));
}

TEST_CASE("mean_token refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Problem p({2, 3, 4}, DType::f32);
  MeanTokenForward f = p.forward();
  f.y = p.x.view();
  REQUIRE_THROWS_WITH(mean_token_forward(f, ctx), "mean_token_forward: y must be [2, 4, 4], got [2, 3, 4]");
  f = p.forward();
  f.positions = p.x.view();
  REQUIRE_THROWS_WITH(mean_token_forward(f, ctx),
                      "mean_token_forward: positions must be [4, 4], got [2, 3, 4]");
  f = p.forward();
  f.x = with_padded_rows(p.x);
  REQUIRE_THROWS_AS(mean_token_forward(f, ctx), InputError);
  const Buffer empty = Buffer::zeros({2, 0, 4}, DType::f32), narrow = Buffer::zeros({2, 4, 4}, DType::bf16);
  f = p.forward();
  f.x = empty.view();
  REQUIRE_THROWS_WITH(mean_token_forward(f, ctx),
                      "mean_token_forward: x must be [N, S, C] with S at least 1, got [2, 0, 4]");
  MeanTokenBackward b = p.backward();
  b.dy = narrow.view();
  REQUIRE_THROWS_WITH(mean_token_backward(b, ctx), "mean_token_backward: dy must be f32, got bf16");
}
