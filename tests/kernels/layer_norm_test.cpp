#include "kernels/layer_norm/layer_norm.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/layer_norm_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_layer_norm.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::LayerNormCase;

namespace {

constexpr double kEps = 1e-5;
constexpr DType kDTypes[] = {DType::f32, DType::bf16};

struct Inputs {
  Inputs(const LayerNormCase& c, DType dtype, double mean = 0.5)
      : x(Buffer::normal({c.rows, c.width}, dtype, 1.0, mean)),
        delta(Buffer::normal({c.rows, c.width}, dtype)),
        dy(Buffer::normal({c.rows, c.width}, dtype)),
        dsum(Buffer::normal({c.rows, c.width}, dtype)),
        weight(Buffer::normal({c.width}, DType::f32, 0.5, 1.0)),
        bias(Buffer::normal({c.width}, DType::f32)) {}
  Buffer x, delta, dy, dsum, weight, bias;
};

struct Outputs {
  Outputs(const Shape& shape, DType dtype)
      : sum(Buffer::poisoned(shape, dtype)),
        y(Buffer::poisoned(shape, dtype)),
        mean(Buffer::poisoned({shape[0]}, DType::f32)),
        rstd(Buffer::poisoned({shape[0]}, DType::f32)) {}
  Buffer sum, y, mean, rstd;
};

double largest(const std::vector<double>& values) {
  double m = 0;
  for (const double v : values) m = std::max(m, std::abs(v));
  return m;
}

// The error of xhat in f32: x, the mean and their difference are off by a few roundings of |x|, times rstd
// (which is large when a narrow row happens to be nearly constant). Numbers here stay below 8.
double xhat_error(const LayerNormReference& r) {
  return 8 * 8 * roundoff(DType::f32) * std::max(1.0, largest(r.rstd));
}

LayerNormForward forward_params(const Inputs& in, const Outputs& out, bool residual) {
  return {.x = in.x.view(),
          .delta = residual ? in.delta.view() : TensorView(),
          .sum = residual ? out.sum.view() : TensorView(),
          .weight = in.weight.view(),
          .bias = in.bias.view(),
          .y = out.y.view(),
          .mean = out.mean.view(),
          .rstd = out.rstd.view(),
          .eps = static_cast<float>(kEps)};
}

}  // namespace

TEST_CASE("layer_norm forward matches float64, with and without a residual branch") {
  for (const DType dtype : kDTypes) {
    for (const LayerNormCase& c : cases::layer_norm_cases()) {
      const Inputs in(c, dtype);
      for (const bool residual : {false, true}) {
        std::vector<double> sums = in.x.to_doubles();
        if (residual) {
          for (size_t i = 0; i < sums.size(); ++i) {
            sums[i] = static_cast<float>(sums[i] + in.delta.at(static_cast<int64_t>(i)));
          }
        }
        const Buffer normalised = Buffer::from(in.x.shape(), dtype, sums);
        const LayerNormReference expected =
            ref_layer_norm(normalised.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), kEps);
        const double error = xhat_error(expected);
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " " << in.x.shape().to_string());
          Outputs out(in.x.shape(), dtype);
          layer_norm_forward(forward_params(in, out, residual), ctx);
          if (residual) {
            REQUIRE(out.sum.same_bits(normalised));
            out.sum.check_guards();
          }
          expect_close("mean", out.mean, expected.mean, {8 * 8 * roundoff(DType::f32), 0});
          expect_close("rstd", out.rstd, expected.rstd, {0, 4 * error});
          expect_close("y", out.y, expected.y, rounded(dtype, 4 * error));
        });
      }
    }
  }
}

TEST_CASE("layer_norm forward keeps its precision under a large mean") {
  const LayerNormCase c{9, 301};
  const Inputs in(c, DType::f32, 1000.0);
  const LayerNormReference expected =
      ref_layer_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), kEps);
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    Outputs out(in.x.shape(), DType::f32);
    layer_norm_forward(forward_params(in, out, false), ctx);
    // The mean is rounded to f32 at 1000: 6e-5, and its sum adds a few of those. E[x^2] - E[x]^2 would be off
    // by 0.1.
    expect_close("y", out.y, expected.y, {2e-3, 0});
  });
}

TEST_CASE("layer_norm forward runs without statistics and may write over its inputs") {
  const LayerNormCase c{13, 41};
  const Inputs in(c, DType::f32);
  TestContext ctx;
  Outputs out(in.x.shape(), DType::f32);
  layer_norm_forward(forward_params(in, out, true), ctx);
  Inputs over = in;
  LayerNormForward p = forward_params(over, out, true);
  p.sum = over.x.view();
  p.y = over.delta.view();
  p.mean = TensorView();
  p.rstd = TensorView();
  layer_norm_forward(p, ctx);
  REQUIRE(over.x.same_bits(out.sum));
  REQUIRE(over.delta.same_bits(out.y));
}

TEST_CASE("layer_norm backward matches float64 and accumulates into weight gradients") {
  for (const DType dtype : kDTypes) {
    for (const LayerNormCase& c : cases::layer_norm_cases()) {
      const Inputs in(c, dtype);
      TestContext forward_ctx;
      Outputs out(in.x.shape(), dtype);
      layer_norm_forward(forward_params(in, out, false), forward_ctx);
      const std::vector<double> x = in.x.to_doubles();
      const LayerNormReference forward =
          ref_layer_norm(x, in.weight.to_doubles(), in.bias.to_doubles(), kEps);
      LayerNormGradients expected =
          ref_layer_norm_backward(in.dy.to_doubles(), x, in.weight.to_doubles(), kEps);
      const double error = xhat_error(forward);
      const double dx_error = 16 * error * std::max(1.0, largest(forward.rstd));
      // Sums over rows: each of the n terms brings its own error, and each addition rounds a sum of size
      // sqrt(n).
      const double sum_error = 16 * error * std::sqrt(static_cast<double>(c.rows)) +
                               4 * static_cast<double>(c.rows) * roundoff(DType::f32);
      const Buffer dweight_before = Buffer::normal({c.width}, DType::f32);
      const Buffer dbias_before = Buffer::normal({c.width}, DType::f32);
      for (int64_t i = 0; i < c.width; ++i) {
        expected.dweight[static_cast<size_t>(i)] += dweight_before.at(i);
        expected.dbias[static_cast<size_t>(i)] += dbias_before.at(i);
      }
      std::vector<double> dx_residual = expected.dx;
      for (size_t i = 0; i < dx_residual.size(); ++i) dx_residual[i] += in.dsum.at(static_cast<int64_t>(i));
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        for (const bool residual : {false, true}) {
          INFO(target << " " << in.x.shape().to_string());
          const Buffer dx = Buffer::poisoned(in.x.shape(), dtype);
          const Buffer dweight = dweight_before;
          const Buffer dbias = dbias_before;
          layer_norm_backward({.dy = in.dy.view(),
                               .x = in.x.view(),
                               .weight = in.weight.view(),
                               .mean = out.mean.view(),
                               .rstd = out.rstd.view(),
                               .dsum = residual ? in.dsum.view() : TensorView(),
                               .dx = dx.view(),
                               .dweight = dweight.view(),
                               .dbias = dbias.view()},
                              ctx);
          expect_close("dx", dx, residual ? dx_residual : expected.dx, rounded(dtype, dx_error));
          expect_close("dweight", dweight, expected.dweight, {sum_error, 1e-6});
          expect_close("dbias", dbias, expected.dbias, {sum_error, 1e-6});
        }
      });
    }
  }
}

TEST_CASE("layer_norm gradients match finite differences of the forward") {
  const LayerNormCase c{3, 11};
  const Inputs in(c, DType::f32);
  TestContext ctx;
  Outputs out(in.x.shape(), DType::f32);
  layer_norm_forward(forward_params(in, out, false), ctx);
  Buffer dx = Buffer::poisoned(in.x.shape(), DType::f32);
  Buffer dweight = Buffer::zeros({c.width}, DType::f32);
  Buffer dbias = Buffer::zeros({c.width}, DType::f32);
  layer_norm_backward({.dy = in.dy.view(),
                       .x = in.x.view(),
                       .weight = in.weight.view(),
                       .mean = out.mean.view(),
                       .rstd = out.rstd.view(),
                       .dx = dx.view(),
                       .dweight = dweight.view(),
                       .dbias = dbias.view()},
                      ctx);
  std::vector<double> arguments[] = {in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles()};
  const Buffer* gradients[] = {&dx, &dweight, &dbias};
  const auto loss = [&] {
    const LayerNormReference r = ref_layer_norm(arguments[0], arguments[1], arguments[2], kEps);
    double sum = 0;
    for (size_t i = 0; i < r.y.size(); ++i) sum += r.y[i] * in.dy.at(static_cast<int64_t>(i));
    return sum;
  };
  for (int a = 0; a < 3; ++a) {
    std::vector<double> expected;
    for (double& v : arguments[a]) {
      const double h = 1e-5;
      const double at = v;
      v = at + h;
      const double above = loss();
      v = at - h;
      const double below = loss();
      v = at;
      expected.push_back((above - below) / (2 * h));
    }
    // f32 roundings of the kernel dominate: some eight of terms of up to 10, where the gradient is large.
    // Over 200 seeds none was more than 1e-6 off, of up to 8.
    expect_close("gradient", *gradients[a], expected, {2e-6, 1e-6});
  }
}

TEST_CASE("layer_norm backward may write over dy or the residual gradient") {
  const LayerNormCase c{37, 65};
  const Inputs in(c, DType::bf16);
  TestContext ctx;
  Outputs out(in.x.shape(), DType::bf16);
  layer_norm_forward(forward_params(in, out, false), ctx);
  const auto run = [&](const Buffer& dy, const Buffer& dsum, const Buffer& dx) {
    const Buffer dweight = Buffer::zeros({c.width}, DType::f32);
    const Buffer dbias = Buffer::zeros({c.width}, DType::f32);
    layer_norm_backward({.dy = dy.view(),
                         .x = in.x.view(),
                         .weight = in.weight.view(),
                         .mean = out.mean.view(),
                         .rstd = out.rstd.view(),
                         .dsum = dsum.view(),
                         .dx = dx.view(),
                         .dweight = dweight.view(),
                         .dbias = dbias.view()},
                        ctx);
  };
  const Buffer dx = Buffer::poisoned(in.x.shape(), DType::bf16);
  run(in.dy, in.dsum, dx);
  const Buffer dy = in.dy;
  run(dy, in.dsum, dy);
  REQUIRE(dy.same_bits(dx));
  const Buffer dsum = in.dsum;
  run(in.dy, dsum, dsum);
  REQUIRE(dsum.same_bits(dx));
}

TEST_CASE("layer_norm takes memory of any alignment") {
  for (const DType dtype : kDTypes) {
    const LayerNormCase c{19, 64};
    const Inputs in(c, dtype);
    const LayerNormReference expected =
        ref_layer_norm(in.x.to_doubles(), in.weight.to_doubles(), in.bias.to_doubles(), kEps);
    LayerNormGradients gradients =
        ref_layer_norm_backward(in.dy.to_doubles(), in.x.to_doubles(), in.weight.to_doubles(), kEps);
    const double error = xhat_error(expected);
    TestContext ctx;
    // One tensor after the other starts an element off.
    for (int odd = 0; odd < 3; ++odd) {
      const auto place = [&](const Buffer& b, int which) { return b.shifted(which == odd ? 1 : 0); };
      const Buffer x = place(in.x, 0), weight = place(in.weight, 1);
      const Outputs out(x.shape(), dtype);
      const Buffer y = place(out.y, 2), dx = place(out.y, 2), zeros = Buffer::zeros({c.width}, DType::f32);
      const Buffer dweight = place(zeros, 1), dbias = zeros;
      layer_norm_forward({.x = x.view(),
                          .weight = weight.view(),
                          .bias = in.bias.view(),
                          .y = y.view(),
                          .mean = out.mean.view(),
                          .rstd = out.rstd.view()},
                         ctx);
      expect_close("y", y, expected.y, rounded(dtype, 4 * error));
      layer_norm_backward({.dy = in.dy.view(),
                           .x = x.view(),
                           .weight = weight.view(),
                           .mean = out.mean.view(),
                           .rstd = out.rstd.view(),
                           .dx = dx.view(),
                           .dweight = dweight.view(),
                           .dbias = dbias.view()},
                          ctx);
      expect_close("dx", dx, gradients.dx, rounded(dtype, 16 * error));
      expect_close("dweight", dweight, gradients.dweight, {80 * error, 1e-6});
      expect_close("dbias", dbias, gradients.dbias, {80 * error, 1e-6});
    }
  }
}

TEST_CASE("layer_norm gives the same bits for any number of threads") {
  for (const LayerNormCase& c : {LayerNormCase{1301, 129}, LayerNormCase{1301, 128}}) {
    const DType dtype = c.width == 128 ? DType::bf16 : DType::f32;
    const Inputs in(c, dtype);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      Outputs out(in.x.shape(), dtype);
      layer_norm_forward(forward_params(in, out, true), ctx);
      std::vector<Buffer> g = {Buffer::poisoned(in.x.shape(), dtype), Buffer::zeros({c.width}, DType::f32),
                               Buffer::zeros({c.width}, DType::f32)};
      layer_norm_backward({.dy = in.dy.view(),
                           .x = out.sum.view(),
                           .weight = in.weight.view(),
                           .mean = out.mean.view(),
                           .rstd = out.rstd.view(),
                           .dsum = in.dsum.view(),
                           .dx = g[0].view(),
                           .dweight = g[1].view(),
                           .dbias = g[2].view()},
                          ctx);
      for (const Buffer& b : {out.sum, out.y, out.mean, out.rstd}) g.push_back(b);
      return g;
    }));
  }
}

TEST_CASE("layer_norm makes the row of a NaN or an infinity NaN and no other") {
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const LayerNormCase c{3, 37};
    Inputs in(c, DType::f32);
    in.x.set(37 + 36, bad);
    TestContext ctx;
    Outputs out(in.x.shape(), DType::f32);
    layer_norm_forward(forward_params(in, out, false), ctx);
    for (int64_t i = 0; i < out.y.elements(); ++i) REQUIRE(std::isnan(out.y.at(i)) == (i / 37 == 1));
  }
}

TEST_CASE("layer_norm takes tensors of any rank and accepts no rows at all") {
  TestContext ctx;
  const LayerNormCase c{6, 5};
  const Inputs in(c, DType::f32);
  Outputs out(in.x.shape(), DType::f32);
  layer_norm_forward(forward_params(in, out, false), ctx);
  const Buffer y = Buffer::poisoned({2, 3, 5}, DType::f32);
  layer_norm_forward(
      {.x = in.x.view_as({2, 3, 5}), .weight = in.weight.view(), .bias = in.bias.view(), .y = y.view()}, ctx);
  REQUIRE(y.to_doubles() == out.y.to_doubles());

  const Buffer none = Buffer::zeros({0, 5}, DType::f32);
  const Buffer no_stats = Buffer::zeros({0}, DType::f32);
  const Buffer dweight = Buffer::zeros({5}, DType::f32);
  REQUIRE_NOTHROW(layer_norm_forward(
      {.x = none.view(), .weight = in.weight.view(), .bias = in.bias.view(), .y = none.view()}, ctx));
  REQUIRE_NOTHROW(layer_norm_backward({.dy = none.view(),
                                       .x = none.view(),
                                       .weight = in.weight.view(),
                                       .mean = no_stats.view(),
                                       .rstd = no_stats.view(),
                                       .dx = none.view(),
                                       .dweight = dweight.view(),
                                       .dbias = dweight.view()},
                                      ctx));
}

TEST_CASE("layer_norm refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const LayerNormCase c{4, 8};
  const Inputs in(c, DType::f32);
  const Outputs out(in.x.shape(), DType::f32);
  const Buffer narrow = Buffer::zeros({4, 8}, DType::bf16);
  const Buffer short_weight = Buffer::zeros({7}, DType::f32);
  LayerNormForward p = forward_params(in, out, true);
  p.weight = short_weight.view();
  REQUIRE_THROWS_WITH(layer_norm_forward(p, ctx), "layer_norm: weight must be [8], got [7]");
  p = forward_params(in, out, true);
  p.delta = narrow.view();
  REQUIRE_THROWS_WITH(layer_norm_forward(p, ctx), "layer_norm: delta must be f32, got bf16");
  p = forward_params(in, out, true);
  p.sum = TensorView();
  REQUIRE_THROWS_WITH(layer_norm_forward(p, ctx),
                      "layer_norm: delta and sum are given together or not at all");
  p = forward_params(in, out, false);
  p.rstd = TensorView();
  REQUIRE_THROWS_AS(layer_norm_forward(p, ctx), InputError);
  p = forward_params(in, out, false);
  p.x = with_padded_rows(in.x);
  REQUIRE_THROWS_AS(layer_norm_forward(p, ctx), InputError);
  p = forward_params(in, out, false);
  p.mean = in.bias.view();
  REQUIRE_THROWS_WITH(layer_norm_forward(p, ctx), "layer_norm: mean must be [4], got [8]");
}
