// labels: threads
#include "kernels/conv2d/conv2d.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/conv2d_problem.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::Conv2dCase;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};

std::vector<Conv2dCase> cases_of_conv2d() {
  return cases_here(cases::conv2d_cases(), [](const Conv2dCase& c) {
    return c.batch * c.height * c.width * c.channels * c.outputs * c.kernel * c.kernel < 8'000'000;
  });
}

// As products on CUDA see f32 in tf32: the reference multiplies what comes of rounding.
std::vector<double> operand(const Buffer& buffer, bool tf32) {
  std::vector<double> values = buffer.to_doubles();
  if (tf32) {
    for (double& value : values) value = to_tf32(value);
  }
  return values;
}

// n products of size 1 / sqrt(n) each sum up to order 1, with an error of sqrt(n) roundings; eight times
// that for the largest of some 10^5 elements. They may be scaled by up to 4, and bias and residual, of order
// 1, are added in f32.
double sum_error(int64_t n) { return (8 * std::sqrt(static_cast<double>(n)) + 16) * roundoff(DType::f32); }

void check_forward(const Conv2dProblem& inputs, bool with_all, bool tf32, const ExecContext& ctx) {
  const Conv2dProblem p = inputs;
  std::vector<double> expected = ref_conv2d(operand(p.x, tf32), operand(p.weight, tf32), p.c);
  if (with_all) {
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const double scaled = expected[i] * p.scale.at(at % p.c.outputs);
      expected[i] = std::max(0.0, scaled + p.bias.at(at % p.c.outputs) + p.residual.at(at));
    }
  }
  conv2d_forward(with_all ? p.whole_forward() : p.forward(), ctx);
  expect_close("y", p.y, expected,
               rounded(p.x.dtype(), (with_all ? 4 : 1) * sum_error(p.c.kernel * p.c.kernel * p.c.channels)));
}

// A weight is of size 1 / sqrt(K² Cin), and a sum of dx has up to K² Cout of them. The weight's gradient sums
// n products of order 1, up to sqrt(n), and each addition rounds: n 2^-24.
void check_backward(const Conv2dProblem& inputs, bool tf32, const ExecContext& ctx) {
  const Conv2dProblem p = inputs;
  const Conv2dCase& c = p.c;
  Conv2dGradients expected =
      ref_conv2d_backward(operand(p.x, tf32), operand(p.weight, tf32), operand(p.dy, tf32), c);
  for (size_t i = 0; i < expected.dweight.size(); ++i) {
    expected.dweight[i] += inputs.dweight.at(static_cast<int64_t>(i));
  }
  conv2d_backward(p.backward(), ctx);
  const double size =
      std::max(1.0, std::sqrt(static_cast<double>(c.outputs) / static_cast<double>(c.channels)));
  expect_close("dx", p.dx, expected.dx,
               rounded(p.x.dtype(), size * sum_error(c.kernel * c.kernel * c.outputs)));
  const auto terms = static_cast<double>(c.batch * out_height(c) * out_width(c));
  expect_close("dweight", p.dweight, expected.dweight, {(16 + 4 * terms) * roundoff(DType::f32), 1e-6});
}

}  // namespace

TEST_CASE("conv2d matches float64, alone and with scale, bias, residual and relu") {
  TestContext ctx;
  for (const Conv2dCase& c : cases_of_conv2d()) {
    for (const DType dtype : kDTypes) {
      const Conv2dProblem p(c, dtype);
      INFO(p.name());
      check_forward(p, false, false, ctx);
      check_forward(p, true, false, ctx);
    }
  }
}

TEST_CASE("conv2d's gradients match float64, and the weight's accumulates") {
  TestContext ctx;
  for (const Conv2dCase& c : cases_of_conv2d()) {
    for (const DType dtype : kDTypes) {
      const Conv2dProblem p(c, dtype);
      INFO(p.name());
      check_backward(p, false, ctx);
    }
  }
}

TEST_CASE("conv2d in tf32 matches float64, forward and backward") {
  CUCLIP_NEEDS_CUDA();
  TestContext test_context;
  const ExecContext ctx = with_tf32(test_context);
  for (const Conv2dCase& c : cases_of_conv2d()) {
    const Conv2dProblem p(c, DType::f32);
    INFO(p.name());
    check_forward(p, false, true, ctx);
    check_forward(p, true, true, ctx);
    check_backward(p, true, ctx);
  }
}

TEST_CASE("conv2d takes scale, bias and residual each by itself") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Conv2dProblem p({2, 6, 5, 9, 7, 3, 1, 1}, dtype);
    const std::vector<double> sums = ref_conv2d(p.x.to_doubles(), p.weight.to_doubles(), p.c);
    for (const char* only : {"scale", "bias", "residual"}) {
      std::vector<double> expected = sums;
      Conv2dForward f = p.forward();
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        if (*only == 's') expected[i] *= p.scale.at(at % p.c.outputs);
        if (*only == 'b') expected[i] += p.bias.at(at % p.c.outputs);
        if (*only == 'r') expected[i] += p.residual.at(at);
      }
      if (*only == 's') f.scale = p.scale.view();
      if (*only == 'b') f.bias = p.bias.view();
      if (*only == 'r') f.residual = p.residual.view();
      INFO(only);
      conv2d_forward(f, ctx);
      expect_close("y", p.y, expected, rounded(dtype, (*only == 's' ? 4 : 1) * sum_error(81)));
    }
  }
}

TEST_CASE("conv2d computes either gradient alone, with the same bits") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Conv2dProblem inputs({5, 6, 7, 9, 12, 3, 2, 1}, dtype);
    const Conv2dProblem both = inputs, data = inputs, weights = inputs, neither = inputs;
    conv2d_backward(both.backward(), ctx);
    Conv2dBackward b = data.backward();
    b.dweight = {};
    conv2d_backward(b, ctx);
    REQUIRE(data.dx.same_bits(both.dx));
    REQUIRE(data.dweight.same_bits(inputs.dweight));
    b = weights.backward();
    b.dx = {};
    conv2d_backward(b, ctx);
    REQUIRE(weights.dweight.same_bits(both.dweight));
    b = neither.backward();
    b.dx = b.dweight = {};
    conv2d_backward(b, ctx);
    REQUIRE(neither.dweight.same_bits(inputs.dweight));
  }
}

TEST_CASE("conv2d's gradients match finite differences of the forward") {
  TestContext ctx;
  for (const Conv2dCase& c :
       {Conv2dCase{2, 5, 4, 3, 2, 3, 1, 1}, {1, 6, 5, 2, 3, 3, 2, 1}, {2, 4, 4, 3, 4, 1, 2, 0}}) {
    Conv2dProblem p(c, DType::f32);
    p.dweight = Buffer::zeros(p.weight.shape(), DType::f32);
    conv2d_backward(p.backward(), ctx);
    std::vector<double> arguments[] = {p.x.to_doubles(), p.weight.to_doubles()};
    const auto loss = [&] {
      const std::vector<double> y = ref_conv2d(arguments[0], arguments[1], c);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) sum += y[i] * p.dy.at(static_cast<int64_t>(i));
      return sum;
    };
    const double before = loss();
    const Buffer* gradients[] = {&p.dx, &p.dweight};
    for (int a = 0; a < 2; ++a) {
      std::vector<double> expected;
      for (double& v : arguments[a]) {  // linear: a step of 1 is exact
        v += 1;
        expected.push_back(loss() - before);
        v -= 1;
      }
      expect_close(a == 0 ? "dx" : "dweight", *gradients[a], expected, {1e-5, 1e-5});
    }
  }
}
