#include "kernels/pointwise/pointwise.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/cases/pointwise_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_pointwise.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr Activation kActivations[] = {Activation::gelu, Activation::quick_gelu};
constexpr DType kDTypes[] = {DType::f32, DType::bf16};

// The functions' documented absolute error, and a few roundings of a result of that size.
constexpr double kActivationError = 1e-6;

}  // namespace

TEST_CASE("cast converts both ways between f32 and bf16 with the rounding of bfloat16") {
  for (const Shape& shape : cases::pointwise_shapes()) {
    const Buffer x = Buffer::normal(shape, DType::f32);
    for_each_target([&](const ExecContext& ctx, const std::string& target) {
      INFO(target << " " << shape.to_string());
      Buffer narrow = Buffer::poisoned(shape, DType::bf16);
      cast({.x = x.view(), .out = narrow.view()}, ctx);
      narrow.check_guards();
      for (int64_t i = 0; i < x.elements(); ++i) {
        REQUIRE(narrow.data<bfloat16>()[i].bits == bfloat16(x.data<float>()[i]).bits);
      }
      Buffer wide = Buffer::poisoned(shape, DType::f32);
      cast({.x = narrow.view(), .out = wide.view()}, ctx);
      expect_close("cast", wide, narrow.to_doubles(), {0, 0});
      Buffer copy = Buffer::poisoned(shape, DType::f32);
      cast({.x = x.view(), .out = copy.view()}, ctx);
      REQUIRE(copy.same_bits(x));
    });
  }
}

TEST_CASE("cast to bf16 keeps NaN, infinities and the sign of zero, and overflows to infinity") {
  const float inf = std::numeric_limits<float>::infinity();
  const Buffer x = Buffer::from({6}, DType::f32, {NAN, inf, -inf, -0.0, 3.4e38, 1.0 + 1.0 / 256});
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    Buffer y = Buffer::zeros({6}, DType::bf16);
    cast({.x = x.view(), .out = y.view()}, ctx);
    REQUIRE(std::isnan(y.at(0)));
    REQUIRE(y.at(1) == inf);
    REQUIRE(y.at(2) == -inf);
    REQUIRE(std::signbit(y.at(3)));
    REQUIRE(y.at(4) == inf);
    REQUIRE(y.at(5) == 1.0);  // a tie goes to even
  });
}

TEST_CASE("add rounds the f32 sum once and may write over an input") {
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : cases::pointwise_shapes()) {
      const Buffer a = Buffer::normal(shape, dtype);
      const Buffer b = Buffer::normal(shape, dtype);
      std::vector<double> sums;
      // The double sum of two f32 or bf16 numbers, rounded to f32, is the f32 sum.
      for (int64_t i = 0; i < a.elements(); ++i) sums.push_back(static_cast<float>(a.at(i) + b.at(i)));
      const Buffer rounded_sums = Buffer::from(shape, dtype, sums);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << shape.to_string());
        Buffer out = Buffer::poisoned(shape, dtype);
        add({.a = a.view(), .b = b.view(), .out = out.view()}, ctx);
        out.check_guards();
        REQUIRE(out.same_bits(rounded_sums));
        Buffer in_place = a;
        add({.a = in_place.view(), .b = b.view(), .out = in_place.view()}, ctx);
        REQUIRE(in_place.same_bits(rounded_sums));
      });
    }
  }
}

TEST_CASE("activations match float64 within their documented error") {
  for (const Activation kind : kActivations) {
    for (const DType dtype : kDTypes) {
      for (const Shape& shape : cases::pointwise_shapes()) {
        const Buffer x = Buffer::normal(shape, dtype, 3.0);
        const Buffer dy = Buffer::normal(shape, dtype);
        std::vector<double> y;
        std::vector<double> dx;
        for (int64_t i = 0; i < x.elements(); ++i) {
          y.push_back(ref_activation(kind, x.at(i)));
          dx.push_back(dy.at(i) * ref_activation_derivative(kind, x.at(i)));
        }
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " " << shape.to_string());
          Buffer out = Buffer::poisoned(shape, dtype);
          activation_forward({.x = x.view(), .y = out.view(), .kind = kind}, ctx);
          expect_close("activation_forward", out, y, rounded(dtype, kActivationError));
          Buffer gradient = Buffer::poisoned(shape, dtype);
          activation_backward({.x = x.view(), .dy = dy.view(), .dx = gradient.view(), .kind = kind}, ctx);
          // dy reaches 5 or so.
          expect_close("activation_backward", gradient, dx, rounded(dtype, 5 * kActivationError));
        });
      }
    }
  }
}

TEST_CASE("activation gradients match finite differences of the activation") {
  const Buffer x = Buffer::normal({1001}, DType::f32, 2.0);
  const Buffer dy = Buffer::from({1001}, DType::f32, std::vector<double>(1001, 1.0));
  TestContext ctx;
  for (const Activation kind : kActivations) {
    Buffer dx = Buffer::poisoned({1001}, DType::f32);
    activation_backward({.x = x.view(), .dy = dy.view(), .dx = dx.view(), .kind = kind}, ctx);
    std::vector<double> expected;
    const double h = 1e-5;  // truncation h^2/6 |f'''| and cancellation 1e-16/h are both below 1e-10
    for (int64_t i = 0; i < x.elements(); ++i) {
      expected.push_back((ref_activation(kind, x.at(i) + h) - ref_activation(kind, x.at(i) - h)) / (2 * h));
    }
    expect_close("activation_backward", dx, expected, {kActivationError, 0});
  }
}

TEST_CASE("gelu keeps its relative precision where it is tiny") {
  // The exponent x^2/2 is rounded to f32: a relative error of x^2/2 * 2^-24 in the result, 7e-6 at -13.
  std::vector<double> values;
  for (double v = -13.0; v < 0; v += 0.01) values.push_back(static_cast<float>(v));
  const Shape shape{static_cast<int64_t>(values.size())};
  const Buffer x = Buffer::from(shape, DType::f32, values);
  std::vector<double> y;
  for (const double v : values) y.push_back(ref_activation(Activation::gelu, v));
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    Buffer out = Buffer::poisoned(shape, DType::f32);
    activation_forward({.x = x.view(), .y = out.view(), .kind = Activation::gelu}, ctx);
    expect_close("gelu", out, y, {0, 1e-5});
  });
}

TEST_CASE("activations pass NaN on, saturate at large arguments and touch no neighbour of a NaN") {
  const float inf = std::numeric_limits<float>::infinity();
  const Buffer x = Buffer::from({5}, DType::f32, {NAN, inf, 1e30, -1e30, 1.0});
  const Buffer dy = Buffer::from({5}, DType::f32, {1, 1, 1, 1, 1});
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    for (const Activation kind : kActivations) {
      INFO(target);
      Buffer y = Buffer::zeros({5}, DType::f32);
      activation_forward({.x = x.view(), .y = y.view(), .kind = kind}, ctx);
      REQUIRE(std::isnan(y.at(0)));
      REQUIRE(y.at(1) == inf);
      REQUIRE(y.at(2) == static_cast<double>(1e30f));
      REQUIRE(y.at(3) == 0);
      REQUIRE(y.at(4) == Approx(ref_activation(kind, 1.0)));
      Buffer dx = Buffer::zeros({5}, DType::f32);
      activation_backward({.x = x.view(), .dy = dy.view(), .dx = dx.view(), .kind = kind}, ctx);
      REQUIRE(std::isnan(dx.at(0)));
      REQUIRE(dx.at(2) == 1);
      REQUIRE(dx.at(3) == 0);
    }
  });
}

TEST_CASE("pointwise operations take memory of any alignment") {
  const Shape shape{300};
  const Buffer x = Buffer::normal(shape, DType::f32);
  TestContext ctx;
  std::vector<double> sums, rounded_x;
  for (int64_t i = 0; i < x.elements(); ++i) {
    sums.push_back(static_cast<float>(x.at(i) + x.at(i)));
    rounded_x.push_back(static_cast<float>(bfloat16(static_cast<float>(x.at(i)))));
  }
  for (const int64_t offset : {1, 2, 4}) {
    const Buffer odd = x.shifted(offset), out = Buffer::poisoned(shape, DType::f32).shifted(3);
    add({.a = x.view(), .b = odd.view(), .out = out.view()}, ctx);
    expect_close("add", out, sums, {0, 0});
    const Buffer narrow = Buffer::poisoned(shape, DType::bf16).shifted(offset);
    cast({.x = x.view(), .out = narrow.view()}, ctx);
    expect_close("cast", narrow, rounded_x, {0, 0});
  }
}

TEST_CASE("pointwise operations give the same bits for any number of threads") {
  const Shape shape{3, 65537};
  const Buffer x = Buffer::normal(shape, DType::bf16);
  const Buffer dy = Buffer::normal(shape, DType::bf16);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    std::vector<Buffer> out(3, Buffer::poisoned(shape, DType::bf16));
    activation_forward({.x = x.view(), .y = out[0].view(), .kind = Activation::gelu}, ctx);
    activation_backward({.x = x.view(), .dy = dy.view(), .dx = out[1].view()}, ctx);
    add({.a = x.view(), .b = dy.view(), .out = out[2].view()}, ctx);
    return out;
  }));
}

TEST_CASE("pointwise operations accept empty tensors") {
  TestContext ctx;
  const Buffer e = Buffer::zeros({0, 5}, DType::f32);
  REQUIRE_NOTHROW(cast({.x = e.view(), .out = e.view()}, ctx));
  REQUIRE_NOTHROW(add({.a = e.view(), .b = e.view(), .out = e.view()}, ctx));
  REQUIRE_NOTHROW(activation_forward({.x = e.view(), .y = e.view()}, ctx));
  REQUIRE_NOTHROW(activation_backward({.x = e.view(), .dy = e.view(), .dx = e.view()}, ctx));
}

TEST_CASE("pointwise operations refuse what they cannot do, naming it") {
  TestContext ctx;
  const Buffer a = Buffer::zeros({2, 3}, DType::f32);
  const Buffer b = Buffer::zeros({3, 2}, DType::f32);
  const Buffer h = Buffer::zeros({2, 3}, DType::bf16);
  const Buffer i = Buffer::zeros({2, 3}, DType::i32);
  REQUIRE_THROWS_WITH(add({.a = a.view(), .b = b.view(), .out = a.view()}, ctx),
                      "add: b must be [2, 3], got [3, 2]");
  REQUIRE_THROWS_WITH(add({.a = a.view(), .b = a.view(), .out = h.view()}, ctx),
                      "add: out must be f32, got bf16");
  REQUIRE_THROWS_WITH(cast({.x = i.view(), .out = a.view()}, ctx), "cast: x must be f32 or bf16, got i32");
  REQUIRE_THROWS_AS(activation_forward({.x = with_padded_rows(a), .y = a.view()}, ctx), InputError);
  REQUIRE_THROWS_WITH(activation_backward({.x = a.view(), .dy = TensorView(), .dx = a.view()}, ctx),
                      "activation_backward: dy is missing, expected f32 [2, 3]");
}
