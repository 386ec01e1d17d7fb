#include "kernels/pool2d/pool2d.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/pool2d_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_pool2d.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::Pool2dCase;

namespace {

std::vector<Pool2dCase> cases_of_device() {
  return cases_here(cases::pool2d_cases(), [](const auto& c) { return c.shape.elements() <= 30000; });
}

Shape pooled(const Pool2dCase& c) { return {c.shape[0], c.shape[1] / c.k, c.shape[2] / c.k, c.shape[3]}; }

}  // namespace

TEST_CASE("avg_pool2d matches float64, and leaves out what fills no window") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Pool2dCase& c : cases_of_device()) {
      const Buffer x = Buffer::normal(c.shape, dtype), dy = Buffer::normal(pooled(c), dtype);
      const std::vector<double> y_expected = ref_avg_pool2d(x.to_doubles(), c.shape, c.k);
      const std::vector<double> dx_expected = ref_avg_pool2d_backward(dy.to_doubles(), c.shape, c.k);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << c.shape.to_string() << " " << name_of(dtype) << ", k = " << c.k);
        const Buffer y = Buffer::poisoned(pooled(c), dtype), dx = Buffer::poisoned(c.shape, dtype);
        avg_pool2d_forward({.x = x.view(), .y = y.view(), .k = c.k}, ctx);
        avg_pool2d_backward({.dy = dy.view(), .dx = dx.view(), .k = c.k}, ctx);
        // k^2 additions of numbers up to 6, over k^2; 1 / k^2 is rounded.
        expect_close("y", y, y_expected, rounded(dtype, 8 * roundoff(DType::f32)));
        expect_close("dx", dx, dx_expected, rounded(dtype, 2 * roundoff(DType::f32)));
      });
    }
  }
}

TEST_CASE("avg_pool2d gradients match finite differences") {
  const Shape shape{2, 5, 4, 3};
  const Buffer x = Buffer::normal(shape, DType::f32), dy = Buffer::normal({2, 2, 2, 3}, DType::f32);
  const Buffer dx = Buffer::poisoned(shape, DType::f32);
  TestContext ctx;
  avg_pool2d_backward({.dy = dy.view(), .dx = dx.view(), .k = 2}, ctx);
  std::vector<double> values = x.to_doubles(), expected;
  const auto loss = [&] {
    const std::vector<double> y = ref_avg_pool2d(values, shape, 2);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy.at(static_cast<int64_t>(i));
    return sum;
  };
  for (double& v : values) {
    const double at = v;
    v = at + 0.5;  // y is linear in x
    const double above = loss();
    v = at - 0.5;
    expected.push_back(above - loss());
    v = at;
  }
  expect_close("dx", dx, expected, {1e-12, 2 * roundoff(DType::f32)});
}

TEST_CASE("avg_pool2d takes memory of any alignment") {
  const Pool2dCase c{{2, 5, 4, 16}, 2};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Buffer x = Buffer::normal(c.shape, dtype), dy = Buffer::normal(pooled(c), dtype);
    TestContext ctx;
    for (const int odd : {0, 1}) {
      const Buffer x_there = x.shifted(odd), dy_there = dy.shifted(1 - odd);
      const Buffer y = Buffer::poisoned(pooled(c), dtype).shifted(1 - odd);
      const Buffer dx = Buffer::poisoned(c.shape, dtype).shifted(odd);
      avg_pool2d_forward({.x = x_there.view(), .y = y.view(), .k = 2}, ctx);
      avg_pool2d_backward({.dy = dy_there.view(), .dx = dx.view(), .k = 2}, ctx);
      expect_close("y", y, ref_avg_pool2d(x.to_doubles(), c.shape, 2),
                   rounded(dtype, 8 * roundoff(DType::f32)));
      expect_close("dx", dx, ref_avg_pool2d_backward(dy.to_doubles(), c.shape, 2),
                   rounded(dtype, 2 * roundoff(DType::f32)));
    }
  }
}

TEST_CASE("avg_pool2d passes NaN on to its own window's channel and nothing else") {
  TestContext ctx;
  const Shape shape{2, 5, 5, 3}, small{2, 2, 2, 3};
  Buffer x = Buffer::normal(shape, DType::f32), dy = Buffer::normal(small, DType::f32);
  x.set(((1 * 5 + 2) * 5 + 3) * 3 + 1, NAN);  // window (1, 1) of the second picture
  x.set(((0 * 5 + 4) * 5 + 4) * 3 + 1, NAN);  // left out
  dy.set(((1 * 2 + 1) * 2 + 1) * 3 + 1, NAN);
  const Buffer y = Buffer::poisoned(small, DType::f32), dx = Buffer::poisoned(shape, DType::f32);
  avg_pool2d_forward({.x = x.view(), .y = y.view(), .k = 2}, ctx);
  avg_pool2d_backward({.dy = dy.view(), .dx = dx.view(), .k = 2}, ctx);
  for (int64_t i = 0; i < y.elements(); ++i) REQUIRE(std::isnan(y.at(i)) == std::isnan(dy.at(i)));
  for (int64_t i = 0; i < dx.elements(); ++i) {
    const int64_t c = i % 3, w = i / 3 % 5, h = i / 15 % 5, n = i / 75;
    REQUIRE(std::isnan(dx.at(i)) == (n == 1 && h / 2 == 1 && w / 2 == 1 && c == 1));
  }
}

TEST_CASE("avg_pool2d gives the same bits for any number of threads and accepts no pictures") {
  const Buffer x = Buffer::normal({13, 12, 10, 24}, DType::bf16);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    std::vector<Buffer> result = {Buffer::poisoned({13, 4, 3, 24}, DType::bf16),
                                  Buffer::poisoned(x.shape(), DType::bf16)};
    avg_pool2d_forward({.x = x.view(), .y = result[0].view(), .k = 3}, ctx);
    avg_pool2d_backward({.dy = result[0].view(), .dx = result[1].view(), .k = 3}, ctx);
    return result;
  }));
  TestContext ctx;
  const Buffer none = Buffer::zeros({0, 4, 4, 3}, DType::f32),
               pooled = Buffer::zeros({0, 2, 2, 3}, DType::f32);
  REQUIRE_NOTHROW(avg_pool2d_forward({.x = none.view(), .y = pooled.view(), .k = 2}, ctx));
  REQUIRE_NOTHROW(avg_pool2d_backward({.dy = pooled.view(), .dx = none.view(), .k = 2}, ctx));
}

TEST_CASE("avg_pool2d refuses wrong shapes, dtypes, strides and windows, naming them") {
  TestContext ctx;
  const Buffer x = Buffer::normal({2, 5, 4, 3}, DType::f32), y = Buffer::zeros({2, 2, 2, 3}, DType::f32);
  const Buffer wrong = Buffer::zeros({2, 3, 2, 3}, DType::f32),
               narrow = Buffer::zeros({2, 2, 2, 3}, DType::bf16);
  REQUIRE_THROWS_WITH(avg_pool2d_forward({.x = x.view(), .y = wrong.view(), .k = 2}, ctx),
                      "avg_pool2d_forward: y must be [2, 2, 2, 3], got [2, 3, 2, 3]");
  REQUIRE_THROWS_WITH(avg_pool2d_backward({.dy = narrow.view(), .dx = x.view(), .k = 2}, ctx),
                      "avg_pool2d_backward: dy must be f32, got bf16");
  for (const int64_t k : {0, 5}) {
    REQUIRE_THROWS_WITH(avg_pool2d_forward({.x = x.view(), .y = y.view(), .k = k}, ctx),
                        fmt::format("avg_pool2d_forward: windows must be of 1 x 1 up to the picture's 5 x 4, "
                                    "got {} x {}",
                                    k, k));
  }
  REQUIRE_THROWS_AS(avg_pool2d_forward({.x = with_padded_rows(x), .y = y.view(), .k = 2}, ctx), InputError);
}
