// labels: threads
#include "kernels/conv2d/conv2d.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/kernel_test.h"
#include "tests/support/ref_conv2d.h"

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

struct Problem {
  Problem(const Conv2dCase& shape, DType dtype)
      : c(shape),
        x(Buffer::normal({c.batch, c.height, c.width, c.channels}, dtype)),
        weight(Buffer::normal({c.outputs, c.kernel, c.kernel, c.channels}, dtype,
                              1 / std::sqrt(static_cast<double>(c.kernel * c.kernel * c.channels)))),
        scale(Buffer::normal({c.outputs}, DType::f32)),
        bias(Buffer::normal({c.outputs}, DType::f32)),
        residual(Buffer::normal({c.batch, out_height(c), out_width(c), c.outputs}, dtype)),
        dy(Buffer::normal(residual.shape(), dtype)),
        y(Buffer::poisoned(residual.shape(), dtype)),
        dx(Buffer::poisoned(x.shape(), dtype)),
        dweight(Buffer::normal(weight.shape(), DType::f32)) {}

  Conv2dForward forward() const {
    return {.x = x.view(), .weight = weight.view(), .y = y.view(), .stride = c.stride, .padding = c.padding};
  }
  Conv2dForward whole_forward() const {
    Conv2dForward f = forward();
    f.scale = scale.view();
    f.bias = bias.view();
    f.residual = residual.view();
    f.relu = true;
    return f;
  }
  Conv2dBackward backward() const {
    return {.x = x.view(),
            .weight = weight.view(),
            .dy = dy.view(),
            .dx = dx.view(),
            .dweight = dweight.view(),
            .stride = c.stride,
            .padding = c.padding};
  }
  std::string name() const {
    return x.shape().to_string() + " " + weight.shape().to_string() + " stride " + std::to_string(c.stride) +
           " padding " + std::to_string(c.padding);
  }

  Conv2dCase c;
  Buffer x, weight, scale, bias, residual, dy, y, dx, dweight;
};

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

void check_forward(const Problem& inputs, bool with_all, bool tf32, const ExecContext& ctx) {
  const Problem p = inputs;
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
void check_backward(const Problem& inputs, bool tf32, const ExecContext& ctx) {
  const Problem p = inputs;
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
      const Problem p(c, dtype);
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
      const Problem p(c, dtype);
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
    const Problem p(c, DType::f32);
    INFO(p.name());
    check_forward(p, false, true, ctx);
    check_forward(p, true, true, ctx);
    check_backward(p, true, ctx);
  }
}

TEST_CASE("conv2d takes scale, bias and residual each by itself") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Problem p({2, 6, 5, 9, 7, 3, 1, 1}, dtype);
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
    const Problem inputs({5, 6, 7, 9, 12, 3, 2, 1}, dtype);
    const Problem both = inputs, data = inputs, weights = inputs, neither = inputs;
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
    Problem p(c, DType::f32);
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

TEST_CASE("conv2d gives the same bits for any number of threads") {
  for (const DType dtype : kDTypes) {
    for (const Conv2dCase& c :
         {Conv2dCase{137, 4, 4, 8, 16, 3, 1, 1}, {90, 5, 5, 3, 9, 3, 2, 1}, {1, 12, 12, 64, 64, 3, 1, 1}}) {
      const Problem inputs(c, dtype);
      REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
        const Problem p = inputs;
        conv2d_forward(p.whole_forward(), ctx);
        conv2d_backward(p.backward(), ctx);
        return std::vector<Buffer>{p.y, p.dx, p.dweight};
      }));
    }
  }
}

TEST_CASE("conv2d keeps a weight in order where it is asked to, for batches of any size") {
  CUCLIP_SKIP_ON_CUDA("nothing is put into another order there");
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Problem one({1, 25, 24, 64, 80, 3, 2, 1}, dtype), many({7, 25, 24, 64, 80, 3, 2, 1}, dtype);
    const std::shared_ptr<PackedWeight> kept = make_packed_weight();
    const Buffer other = Buffer::normal(one.weight.shape(), dtype);
    const auto run = [&](const Problem& p, const Buffer& weight, bool keep) {
      const Problem own = p;
      Conv2dForward f = own.whole_forward();
      f.weight = weight.view();
      f.kept = keep ? kept.get() : nullptr;
      conv2d_forward(f, ctx);
      return own.y;
    };
    const Buffer y = run(one, one.weight, false), ys = run(many, one.weight, false);
    for (int round = 0; round < 2; ++round) {
      REQUIRE(run(one, one.weight, true).same_bits(y));
      REQUIRE(run(many, one.weight, true).same_bits(ys));
    }
    // It is not read again.
    REQUIRE(run(one, other, true).same_bits(y));
    REQUIRE(run(many, other, true).same_bits(ys));
    REQUIRE_FALSE(run(one, other, false).same_bits(y));
  }
}

TEST_CASE("conv2d takes tensors at any address") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Problem inputs({3, 6, 7, 16, 8, 3, 1, 1}, dtype);
    const Problem p = inputs;
    Problem moved = inputs;
    for (Buffer* buffer : {&moved.x, &moved.weight, &moved.scale, &moved.bias, &moved.residual, &moved.dy,
                           &moved.y, &moved.dx, &moved.dweight}) {
      *buffer = buffer->shifted(1);
    }
    for (const Problem* each : {&p, &std::as_const(moved)}) {
      conv2d_forward(each->whole_forward(), ctx);
      conv2d_backward(each->backward(), ctx);
    }
    REQUIRE(moved.y.same_bits(p.y));
    REQUIRE(moved.dx.same_bits(p.dx));
    REQUIRE(moved.dweight.same_bits(p.dweight));
  }
}

TEST_CASE("conv2d passes NaN on where it is read, through relu too") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    Problem p({2, 5, 5, 4, 3, 3, 1, 1}, dtype);
    p.x.set((0 * 25 + 1 * 5 + 3) * 4 + 2, NAN);  // picture 0, row 1, column 3
    conv2d_forward(p.whole_forward(), ctx);
    for (int64_t i = 0; i < p.y.elements(); ++i) {
      const int64_t row = i / 15 % 5, column = i / 3 % 5;
      const bool reads = i < 75 && row <= 2 && column >= 2 && column <= 4;
      REQUIRE(std::isnan(p.y.at(i)) == reads);
      REQUIRE((reads || p.y.at(i) >= 0));
    }
  }
}

TEST_CASE("conv2d accepts an empty batch") {
  TestContext ctx;
  const Problem p({0, 4, 4, 3, 5, 3, 1, 1}, DType::f32), before = p;
  REQUIRE_NOTHROW(conv2d_forward(p.whole_forward(), ctx));
  REQUIRE_NOTHROW(conv2d_backward(p.backward(), ctx));
  REQUIRE(p.dweight.same_bits(before.dweight));
}

TEST_CASE("conv2d's extent is that of the result") {
  REQUIRE(conv2d_extent(224, 3, 2, 1) == 112);
  REQUIRE(conv2d_extent(7, 3, 2, 0) == 3);
  REQUIRE(conv2d_extent(8, 3, 2, 0) == 3);
  REQUIRE(conv2d_extent(1, 3, 1, 1) == 1);
  REQUIRE(conv2d_extent(1, 3, 2, 0) == 0);
}

TEST_CASE("conv2d refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Problem p({2, 6, 5, 3, 4, 3, 1, 1}, DType::f32);
  const Buffer narrow = Buffer::zeros(p.weight.shape(), DType::bf16);
  const auto refused = [&](auto change, const char* message) {
    Conv2dForward f = p.whole_forward();
    change(f);
    REQUIRE_THROWS_WITH(conv2d_forward(f, ctx), message);
  };
  refused([&](Conv2dForward& f) { f.x = p.bias.view(); },
          "conv2d_forward: x must be [N, H, W, Cin] with H, W and Cin of at least 1, got [4]");
  const Buffer flat = Buffer::zeros({2, 0, 5, 3}, DType::f32);
  refused([&](Conv2dForward& f) { f.x = flat.view(); },
          "conv2d_forward: x must be [N, H, W, Cin] with H, W and Cin of at least 1, got [2, 0, 5, 3]");
  refused([](Conv2dForward& f) { f.stride = 65; }, "conv2d_forward: the stride must be from 1 to 64, got 65");
  refused([&](Conv2dForward& f) { f.weight = p.x.view(); },
          "conv2d_forward: weight must be [Cout, K, K, Cin], got [2, 6, 5, 3]");
  refused(
      [&](Conv2dForward& f) {
        f.weight = p.weight.view_as({3, 3, 3, 4});
      },
      "conv2d_forward: weight must be [3, 3, 3, 3], got [3, 3, 3, 4]");
  refused([&](Conv2dForward& f) { f.weight = narrow.view(); },
          "conv2d_forward: weight must be f32, got bf16");
  refused([&](Conv2dForward& f) { f.stride = 0; }, "conv2d_forward: the stride must be from 1 to 64, got 0");
  refused([&](Conv2dForward& f) { f.padding = -1; },
          "conv2d_forward: the padding must not be negative, got -1");
  refused([&](Conv2dForward& f) { f.padding = 0; },
          "conv2d_forward: y must be [2, 4, 3, 4], got [2, 6, 5, 4]");
  refused([&](Conv2dForward& f) { f.bias = p.dweight.view(); },
          "conv2d_forward: bias must be [4], got [4, 3, 3, 3]");
  refused([&](Conv2dForward& f) { f.residual = p.x.view(); },
          "conv2d_forward: residual must be [2, 6, 5, 4], got [2, 6, 5, 3]");
  refused(
      [&](Conv2dForward& f) {
        f.x = p.x.view_as({2, 1, 2, 3});
        f.padding = 0;
      },
      "conv2d_forward: a kernel of 3 x 3 does not fit into pictures of 1 x 2 with padding 0");
  Conv2dForward f = p.forward();
  f.y = with_padded_rows(p.y);
  REQUIRE_THROWS_AS(conv2d_forward(f, ctx), InputError);
  Conv2dBackward b = p.backward();
  b.dweight = narrow.view();
  REQUIRE_THROWS_WITH(conv2d_backward(b, ctx), "conv2d_backward: dweight must be f32, got bf16");
  b = p.backward();
  b.dx = p.dy.view();
  REQUIRE_THROWS_WITH(conv2d_backward(b, ctx), "conv2d_backward: dx must be [2, 6, 5, 3], got [2, 6, 5, 4]");
}

TEST_CASE("conv2d on CUDA refuses more pictures than it can count") {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  const Buffer little = Buffer::zeros({1}, DType::f32);
  const TensorView pictures(little.view().data, DType::f32, {int64_t{1} << 20, 64, 64, 1});
  REQUIRE_THROWS_WITH(
      conv2d_forward({.x = pictures, .weight = little.view_as({1, 1, 1, 1}), .y = pictures}, ctx),
      "conv2d: 1048576 pictures of 64 x 64 with results of 64 x 64 are too many for one call on CUDA");
}
