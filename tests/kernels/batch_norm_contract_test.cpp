// labels: threads
// What batch norm promises besides its values.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "tests/support/batch_norm_problem.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_batch_norm.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

// A step of training: forward and backward, with running statistics that begin as the bias and the weight.
struct TrainedStep {
  TrainedStep(const BatchNormInputs& in, const Shape& shape, DType dtype, const ExecContext& ctx)
      : out(shape, dtype), g(shape, dtype), running_mean(in.bias), running_var(in.weight) {
    BatchNormForward p = out.forward(in, true, true);
    p.running_mean = running_mean.view();
    p.running_var = running_var.view();
    batch_norm_forward(p, ctx);
    batch_norm_backward(g.backward(in, out, true, true), ctx);
  }

  BatchNormOutputs out;
  BatchNormResults g;
  Buffer running_mean, running_var;
};

}  // namespace

TEST_CASE("batch_norm takes memory of any alignment") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t channels : {32, 64}) {
      const Shape shape{19, channels};
      const BatchNormInputs in(shape, dtype);
      const BatchNormOutputs out(shape, dtype);
      BatchNormResults g(shape, dtype);
      TestContext ctx;
      batch_norm_forward(out.forward(in, true, true), ctx);
      batch_norm_backward(g.backward(in, out, true, true), ctx);
      // One tensor after the other starts an element off.
      for (int odd = 0; odd < 4; ++odd) {
        INFO(name_of(dtype) << ", tensor " << odd);
        const auto place = [&](Buffer& b, int which) {
          if (which == odd) b = b.shifted(1);
        };
        BatchNormInputs other = in;
        BatchNormOutputs other_out(shape, dtype);
        BatchNormResults other_g(shape, dtype);
        place(other.x, 0);
        place(other.dy, 0);
        place(other.residual, 1);
        place(other_g.dresidual, 1);
        place(other.weight, 2);
        place(other_g.dweight, 2);
        place(other_out.y, 3);
        place(other_g.dx, 3);
        batch_norm_forward(other_out.forward(other, true, true), ctx);
        batch_norm_backward(other_g.backward(other, other_out, true, true), ctx);
        // The kernels for other alignments may add in another order.
        expect_close("y", other_out.y, out.y.to_doubles(), rounded(dtype, 1e-5));
        expect_close("dx", other_g.dx, g.dx.to_doubles(), rounded(dtype, 1e-5));
        expect_close("dresidual", other_g.dresidual, g.dresidual.to_doubles(), {0, 0});
        expect_close("dweight", other_g.dweight, g.dweight.to_doubles(), {1e-5, 1e-5});
      }
    }
  }
}

TEST_CASE("batch_norm gives the same bits for any number of threads") {
  for (const Shape& shape : {Shape{5003, 24}, Shape{1301, 129}}) {
    if (on_cuda() && shape[1] == 129) continue;  // on the CPU: several blocks and strips of channels
    const DType dtype = shape[1] == 24 ? DType::bf16 : DType::f32;
    const BatchNormInputs in(shape, dtype);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      const TrainedStep step(in, shape, dtype, ctx);
      const BatchNormOutputs& out = step.out;
      const BatchNormResults& g = step.g;
      return std::vector<Buffer>{step.running_mean, step.running_var, out.y,  out.mean, out.rstd, g.dx,
                                 g.dresidual,       g.dweight,        g.dbias};
    }));
  }
}

TEST_CASE("batch_norm makes the channel of a NaN or an infinity NaN, and keeps what it measured before") {
  for (const double bad : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    for (const int64_t row : {0, 20}) {
      const int64_t channels = 5;
      const Shape shape{37, channels};
      BatchNormInputs in(shape, DType::f32);
      in.x.set(row * channels + 2, bad);
      TestContext ctx;
      const TrainedStep step(in, shape, DType::f32, ctx);
      const BatchNormOutputs& out = step.out;
      const BatchNormResults& g = step.g;
      for (int64_t i = 0; i < out.y.elements(); ++i) {
        const bool in_channel = i % channels == 2;
        REQUIRE(std::isnan(out.y.at(i)) == in_channel);
        REQUIRE(std::isnan(g.dx.at(i)) == in_channel);
      }
      for (int64_t c = 0; c < channels; ++c) {
        REQUIRE(std::isnan(out.rstd.at(c)) == (c == 2));
        REQUIRE(std::isfinite(out.mean.at(c)) == (c != 2));
        REQUIRE(std::isnan(g.dweight.at(c)) == (c == 2));
        REQUIRE((step.running_mean.at(c) == in.bias.at(c)) == (c == 2));
        REQUIRE((step.running_var.at(c) == in.weight.at(c)) == (c == 2));
        REQUIRE(std::isfinite(step.running_var.at(c)));
      }
    }
  }
}

// Finite numbers, so that y = bias and a gradient of 0 would go on as if nothing were wrong.
TEST_CASE("batch_norm makes a channel NaN whose squares overflow, and keeps what it measured before") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t rows : {37, 4001}) {
      if (on_cuda() && rows > 37 && dtype == DType::bf16) continue;
      const int64_t channels = 5;
      const Shape shape{rows, channels};
      BatchNormInputs in(shape, dtype);
      for (int64_t row = 0; row < rows; ++row) in.x.set(row * channels + 2, row % 2 ? -2e19 : 2e19);
      TestContext ctx;
      const TrainedStep step(in, shape, dtype, ctx);
      const BatchNormOutputs& out = step.out;
      const BatchNormResults& g = step.g;
      for (int64_t i = 0; i < out.y.elements(); ++i) {
        REQUIRE(std::isnan(out.y.at(i)) == (i % channels == 2));
        REQUIRE(std::isnan(g.dx.at(i)) == (i % channels == 2));
      }
      for (int64_t c = 0; c < channels; ++c) {
        REQUIRE(std::isnan(out.rstd.at(c)) == (c == 2));
        REQUIRE(std::isnan(g.dweight.at(c)) == (c == 2));
        REQUIRE((step.running_mean.at(c) == in.bias.at(c)) == (c == 2));
        REQUIRE((step.running_var.at(c) == in.weight.at(c)) == (c == 2));
      }
    }
  }
}

TEST_CASE("batch_norm passes NaN of the residual through the ReLU to its own element only") {
  const Shape shape{11, 20};
  BatchNormInputs in(shape, DType::bf16);
  in.residual.set(57, NAN);
  TestContext ctx;
  const BatchNormOutputs out(shape, DType::bf16);
  batch_norm_forward(out.forward(in, true, true), ctx);
  for (int64_t i = 0; i < out.y.elements(); ++i) REQUIRE(std::isnan(out.y.at(i)) == (i == 57));
}

TEST_CASE("batch_norm takes tensors of any rank") {
  TestContext ctx;
  const BatchNormInputs in({12, 5}, DType::f32);
  const BatchNormOutputs out({12, 5}, DType::f32);
  batch_norm_forward(out.forward(in, false, false), ctx);
  const Buffer y = Buffer::poisoned({2, 3, 2, 5}, DType::f32);
  BatchNormForward p = out.forward(in, false, false);
  p.x = in.x.view_as({2, 3, 2, 5});
  p.y = y.view();
  batch_norm_forward(p, ctx);
  REQUIRE(y.to_doubles() == out.y.to_doubles());
}

TEST_CASE("batch_norm refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Shape shape{4, 8};
  const BatchNormInputs in(shape, DType::f32);
  const BatchNormOutputs out(shape, DType::f32);
  const BatchNormResults g(shape, DType::f32);
  const Buffer narrow = Buffer::zeros({4, 8}, DType::bf16), one_row = Buffer::zeros({1, 8}, DType::f32);
  const Buffer short_weight = Buffer::zeros({7}, DType::f32);
  BatchNormForward p = out.forward(in, true, true);
  p.weight = short_weight.view();
  REQUIRE_THROWS_WITH(batch_norm_forward(p, ctx), "batch_norm: weight must be [8], got [7]");
  p = out.forward(in, true, true);
  p.residual = narrow.view();
  REQUIRE_THROWS_WITH(batch_norm_forward(p, ctx), "batch_norm: residual must be f32, got bf16");
  p = out.forward(in, true, true);
  p.running_mean = in.bias.view();
  REQUIRE_THROWS_WITH(batch_norm_forward(p, ctx),
                      "batch_norm: running_mean and running_var are given together or not at all");
  p = out.forward(in, false, true);
  p.x = p.y = one_row.view();
  REQUIRE_THROWS_WITH(batch_norm_forward(p, ctx),
                      "batch_norm: x must have at least two rows (all dimensions but the last) to take "
                      "statistics of, got [1, 8]");
  p = out.forward(in, true, true);
  p.x = with_padded_rows(in.x);
  REQUIRE_THROWS_AS(batch_norm_forward(p, ctx), InputError);
  BatchNormBackward b = g.backward(in, out, true, true);
  b.mean = TensorView();
  REQUIRE_THROWS_AS(batch_norm_backward(b, ctx), InputError);
  b = g.backward(in, out, true, true);
  b.dresidual = narrow.view();
  REQUIRE_THROWS_WITH(batch_norm_backward(b, ctx), "batch_norm_backward: dresidual must be f32, got bf16");
  BatchNormAffine a{.weight = in.weight.view(),
                    .bias = in.bias.view(),
                    .running_mean = in.bias.view(),
                    .running_var = short_weight.view(),
                    .scale = out.mean.view(),
                    .shift = out.rstd.view()};
  REQUIRE_THROWS_WITH(batch_norm_affine(a, ctx), "batch_norm_affine: running_var must be [8], got [7]");
  a.weight = in.x.view();
  REQUIRE_THROWS_WITH(batch_norm_affine(a, ctx),
                      Catch::StartsWith("batch_norm_affine: weight must be [C], got ["));
}
