// labels: threads
#include "kernels/batch_norm/batch_norm.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/batch_norm_cases.h"
#include "tests/support/batch_norm_problem.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_batch_norm.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::BatchNormCase;

namespace {

constexpr double kEps = 1e-5;
constexpr DType kDTypes[] = {DType::f32, DType::bf16};

std::vector<BatchNormCase> cases_of_device() {
  return cases_here(cases::batch_norm_cases(), [](const auto& c) {
    return c.rows * c.channels <= 34000 || c.channels == 260;  // several runs and strips
  });
}

// Of each channel, the error of xhat in f32: x, the mean and their difference are off by a few roundings of
// |x|, times rstd (which is large when two rows happen to be nearly the same). Numbers here stay below 8.
std::vector<double> xhat_error(const BatchNormReference& r) {
  std::vector<double> error;
  for (const double rstd : r.rstd) error.push_back(8 * 8 * roundoff(DType::f32) * std::max(1.0, rstd));
  return error;
}

// factor · a_c · b_c for each channel, in `rows` rows.
std::vector<double> bound(double factor, const std::vector<double>& a, int64_t rows,
                          const std::vector<double>& b = {}) {
  std::vector<double> bounds;
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < a.size(); ++c) bounds.push_back(factor * a[c] * (b.empty() ? 1 : b[c]));
  }
  return bounds;
}

// After what was there before: `momentum` of the batch's.
std::vector<double> moved(const Buffer& before, const std::vector<double>& batch, double factor) {
  std::vector<double> result = before.to_doubles();
  for (size_t i = 0; i < result.size(); ++i) result[i] = 0.75 * result[i] + 0.25 * batch[i] * factor;
  return result;
}

}  // namespace

TEST_CASE("batch_norm forward matches float64, with and without a residual branch and ReLU") {
  for (const DType dtype : kDTypes) {
    for (const BatchNormCase& c : cases_of_device()) {
      const BatchNormInputs in({c.rows, c.channels}, dtype);
      for (const bool residual : {false, true}) {
        const bool relu = residual != (c.rows % 2 == 0);
        const BatchNormReference expected =
            ref_batch_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(),
                           residual ? in.residual.to_doubles() : std::vector<double>(), relu, kEps);
        const std::vector<double> error = xhat_error(expected);
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " " << in.x.shape().to_string() << " " << name_of(dtype));
          const BatchNormOutputs out(in.x.shape(), dtype);
          const Buffer running_mean = in.bias, running_var = in.weight;
          BatchNormForward p = out.forward(in, residual, relu);
          p.running_mean = running_mean.view();
          p.running_var = running_var.view();
          p.momentum = 0.25f;
          batch_norm_forward(p, ctx);
          expect_close("mean", out.mean, expected.mean, {8 * 8 * roundoff(DType::f32), 0});
          expect_close("rstd", out.rstd, expected.rstd, {0, 0}, bound(4, error, 1, expected.rstd));
          expect_close("y", out.y, expected.y, rounded(dtype, 0), bound(4, error, c.rows));
          const auto n = static_cast<double>(c.rows);
          expect_close("running_mean", running_mean, moved(in.bias, expected.mean, 1),
                       {8 * 8 * roundoff(DType::f32), 0});
          expect_close("running_var", running_var, moved(in.weight, expected.variance, n / (n - 1)),
                       {8 * roundoff(DType::f32), 64 * roundoff(DType::f32)});
        });
      }
    }
  }
}

TEST_CASE("batch_norm_affine says what normalising by the running statistics does to a channel") {
  TestContext ctx;
  for (const int64_t channels : {1, 3, 48, 300}) {
    const Buffer weight = Buffer::normal({channels}, DType::f32),
                 bias = Buffer::normal({channels}, DType::f32), mean = Buffer::normal({channels}, DType::f32);
    std::vector<double> spread(static_cast<size_t>(channels), 0.0);  // one channel was constant
    for (size_t c = 1; c < spread.size(); ++c) spread[c] = 0.25 * static_cast<double>(c);
    const Buffer variance = Buffer::from({channels}, DType::f32, spread);
    const Buffer scale = Buffer::poisoned({channels}, DType::f32),
                 shift = Buffer::poisoned({channels}, DType::f32);
    batch_norm_affine({.weight = weight.view(),
                       .bias = bias.view(),
                       .running_mean = mean.view(),
                       .running_var = variance.view(),
                       .scale = scale.view(),
                       .shift = shift.view()},
                      ctx);
    // A line: its value at 0, and its slope.
    const auto at = [&](double x) {
      return ref_batch_norm_inference(std::vector<double>(spread.size(), x), weight.to_doubles(),
                                      bias.to_doubles(), mean.to_doubles(), spread, {}, false, kEps);
    };
    const std::vector<double> zero = at(0);
    std::vector<double> slope = at(1);
    for (size_t c = 0; c < slope.size(); ++c) slope[c] -= zero[c];
    // Both are computed in f64 and rounded once; eps is f32's, of which it is off by a rounding.
    const Tolerance once{1e-12, 3 * roundoff(DType::f32)};
    expect_close("scale", scale, slope, once);
    expect_close("shift", shift, zero, once);
  }
}

TEST_CASE("batch_norm keeps its precision under a large mean") {
  for (const int64_t channels : {3, 64}) {
    const Shape shape{channels == 3 ? 5001 : 301, channels};
    BatchNormInputs in(shape, DType::f32, 1000.0);
    // The last channel is constant: its variance is 0, and y is the bias.
    for (int64_t r = 0; r < shape[0]; ++r) in.x.set(r * channels + channels - 1, 1000.1);
    const BatchNormReference expected =
        ref_batch_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), {}, false, kEps);
    for_each_target([&](const ExecContext& ctx, const std::string& target) {
      INFO(target << " " << shape.to_string());
      const BatchNormOutputs out(shape, DType::f32);
      batch_norm_forward(out.forward(in, false, false), ctx);
      // What is summed are differences from a pivot near the mean: a few hundred roundings of those, where
      // E[x^2] - E[x]^2 would be off by 0.1.
      expect_close("rstd", out.rstd, expected.rstd, {0, 1e-5});
      // The mean is rounded to f32 at 1000: 3e-5, times a weight of up to 3.
      expect_close("y", out.y, expected.y, {2e-4, 0});
    });
  }
}

TEST_CASE("batch_norm keeps its precision where the first rows are far from all others") {
  const Shape shape{9001, 16};
  BatchNormInputs in(shape, DType::f32);
  for (int64_t i = 0; i < 8 * 16; ++i) in.x.set(i, 1e4 + in.x.at(i));
  const BatchNormReference expected =
      ref_batch_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), {}, false, kEps);
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    const BatchNormOutputs out(shape, DType::f32);
    batch_norm_forward(out.forward(in, false, false), ctx);
    // A pivot that is off by sqrt(2048 / 8) standard deviations of its block, whose sums of squares lose as
    // many of their last places: 256 times a few roundings.
    expect_close("rstd", out.rstd, expected.rstd, {0, 4 * 256 * roundoff(DType::f32)});
    // Differences from a pivot of 1e4 are rounded like it.
    expect_close("mean", out.mean, expected.mean, {4 * 1e4 * roundoff(DType::f32), 0});
  });
}

TEST_CASE("batch_norm backward matches float64 and accumulates into weight gradients") {
  for (const DType dtype : kDTypes) {
    for (const BatchNormCase& c : cases_of_device()) {
      const Shape shape{c.rows, c.channels};
      const BatchNormInputs in(shape, dtype);
      const BatchNormOutputs out(shape, dtype);
      TestContext forward_ctx;
      batch_norm_forward(out.forward(in, true, true), forward_ctx);
      const BatchNormReference reference =
          ref_batch_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), {}, false, kEps);
      const std::vector<double> error = xhat_error(reference);
      // weight * rstd times the errors of xhat, g and the means of both; weights stay below 3, g below 6.
      std::vector<double> scale;
      for (const double rstd : reference.rstd) scale.push_back(std::max(1.0, rstd));
      const std::vector<double> dx_error = bound(16, error, c.rows, scale);
      // Sums over rows: each of the n terms brings its own error, and their sum is of size sqrt(n).
      const double terms = 8 * std::sqrt(static_cast<double>(c.rows));
      for (const bool relu : {false, true}) {
        BatchNormGradients expected =
            ref_batch_norm_backward(in.dy.to_doubles(), in.x.to_doubles(), in.weight.to_doubles(),
                                    relu ? out.y.to_doubles() : std::vector<double>(), kEps);
        for (size_t i = 0; i < expected.dbias.size(); ++i) {
          expected.dweight[i] += in.bias.at(static_cast<int64_t>(i));
          expected.dbias[i] += in.weight.at(static_cast<int64_t>(i));
        }
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          for (const bool residual : {false, true}) {
            INFO(target << " " << shape.to_string() << " " << name_of(dtype) << ", ReLU " << relu
                        << ", residual " << residual);
            BatchNormResults g(shape, dtype);
            g.dweight = in.bias;
            g.dbias = in.weight;
            batch_norm_backward(g.backward(in, out, relu, residual), ctx);
            expect_close("dx", g.dx, expected.dx, rounded(dtype, 0), dx_error);
            expect_close("dweight", g.dweight, expected.dweight, {0, 1e-6}, bound(terms, error, 1));
            expect_close("dbias", g.dbias, expected.dbias, {8 * terms * roundoff(DType::f32), 1e-6});
            if (residual) expect_close("dresidual", g.dresidual, expected.dresidual, {0, 0});
          }
        });
      }
    }
  }
}

TEST_CASE("batch_norm gradients match finite differences of the forward") {
  const Shape shape{7, 3};
  const BatchNormInputs in(shape, DType::f32);
  TestContext ctx;
  for (const bool relu : {false, true}) {
    const BatchNormOutputs out(shape, DType::f32);
    BatchNormResults g(shape, DType::f32);
    batch_norm_forward(out.forward(in, true, relu), ctx);
    batch_norm_backward(g.backward(in, out, relu, true), ctx);
    std::vector<double> arguments[] = {in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(),
                                       in.residual.to_doubles()};
    const Buffer* gradients[] = {&g.dx, &g.dweight, &g.dbias, &g.dresidual};
    const std::vector<double> errors =
        xhat_error(ref_batch_norm(arguments[0], arguments[1], arguments[2], arguments[3], relu, kEps));
    const double error = *std::max_element(errors.begin(), errors.end());
    const auto loss = [&] {
      // What passes the ReLU stays what it was: a step must not fall on its corner.
      const BatchNormReference r =
          ref_batch_norm(arguments[0], arguments[1], arguments[2], arguments[3], false, kEps);
      double sum = 0;
      for (size_t i = 0; i < r.y.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        if (!relu || out.y.at(at) > 0) sum += r.y[i] * in.dy.at(at);
      }
      return sum;
    };
    for (int a = 0; a < 4; ++a) {
      std::vector<double> expected;
      for (double& v : arguments[a]) {
        const double h = 1e-5, at = v;
        v = at + h;
        const double above = loss();
        v = at - h;
        const double below = loss();
        v = at;
        expected.push_back((above - below) / (2 * h));
      }
      // The kernel's f32 roundings, as above, of sums of seven terms.
      expect_close("gradient", *gradients[a], expected, {16 * error, 1e-5});
    }
  }
}
