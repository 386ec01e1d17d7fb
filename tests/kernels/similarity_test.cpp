// labels: threads
#include "kernels/similarity/similarity.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/similarity_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_similarity.h"
#include "tests/support/similarity_calls.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};

std::vector<double> reciprocals(std::vector<double> x) {
  for (double& v : x) v = 1 / v;
  return x;
}

}  // namespace

TEST_CASE("l2_normalize matches float64, forward and backward") {
  for (const DType dtype : kDTypes) {
    for (const Shape& shape : cases::l2_normalize_shapes()) {
      const int64_t n = shape[0], d = shape[1];
      const Buffer x = Buffer::normal(shape, dtype, 3.0), dy = Buffer::normal(shape, dtype);
      const auto norms = ref_norms(x.to_doubles(), n, d);
      const auto y = ref_normalize(x.to_doubles(), n, d);
      const auto dx = ref_normalize_gradient(x.to_doubles(), dy.to_doubles(), n, d);
      const double smallest = *std::min_element(norms.begin(), norms.end());
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << shape.to_string() << " " << name_of(dtype));
        const Normalized r = normalize(x, ctx);
        expect_close("rnorm", r.rnorm, reciprocals(norms), {0, sum_error(d)});
        const double rounding = dtype == DType::bf16 ? roundoff(dtype) : 0.0;
        expect_close("y", r.y, y, {0, sum_error(d) + rounding});
        // ⟨y, dy⟩ is at most ‖dy‖ = 1.5 √d or so (5 for one element); y was rounded to dtype before it was
        // used.
        const double along = 5 + 1.5 * std::sqrt(static_cast<double>(d));
        expect_close("dx", normalize_gradient(r, dy, ctx), dx,
                     {along / smallest * 2 * (sum_error(d) + rounding), sum_error(d) + rounding});
      });
    }
  }
}

TEST_CASE("l2_normalize gradient agrees with finite differences") {
  TestContext ctx;
  Buffer x = Buffer::normal({4, 19}, DType::f32);
  const Buffer dy = Buffer::normal({4, 19}, DType::f32);
  const Buffer dx = normalize_gradient(normalize(x, ctx), dy, ctx);
  const auto value = [&] {
    const Buffer y = normalize(x, ctx).y;
    double sum = 0;
    for (int64_t i = 0; i < y.elements(); ++i) sum += y.at(i) * dy.at(i);
    return sum;
  };
  for (int64_t i = 0; i < x.elements(); i += 7) {
    const double before = x.at(i), h = 1e-2;
    x.set(i, before + h);
    const double high = value(), high_at = x.at(i);
    x.set(i, before - h);
    const double difference = (high - value()) / (high_at - x.at(i));
    x.set(i, before);
    // f32 roundings of y, 1e-7, over 2h; h² times third derivatives of about 1/‖x‖³.
    CHECK(dx.at(i) == Approx(difference).margin(2e-4));
  }
}

TEST_CASE("l2_normalize works in place") {
  TestContext ctx;
  const Buffer x = Buffer::normal({5, 37}, DType::bf16), dy = Buffer::normal({5, 37}, DType::bf16);
  const Normalized expected = normalize(x, ctx);
  Buffer in_place = x;
  Buffer rnorm = Buffer::poisoned({5}, DType::f32);
  l2_normalize_forward({.x = in_place.view(), .y = in_place.view(), .rnorm = rnorm.view()}, ctx);
  REQUIRE(in_place.same_bits(expected.y));
  Buffer gradient = dy;
  l2_normalize_backward(
      {.dy = gradient.view(), .y = expected.y.view(), .rnorm = rnorm.view(), .dx = gradient.view()}, ctx);
  REQUIRE(gradient.same_bits(normalize_gradient(expected, dy, ctx)));
}

TEST_CASE("l2_normalize keeps zero vectors and is right where squares overflow or vanish") {
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    // Norms 0, 5e-13 (clamped), 5e-10, 5e25.
    const Buffer x = Buffer::from({4, 2}, DType::f32, {0, 0, 3e-13, 4e-13, 3e-10, 4e-10, 3e25, 4e25});
    const Normalized r = normalize(x, ctx);
    expect_close("y", r.y, {0, 0, 0.3, 0.4, 0.6, 0.8, 0.6, 0.8}, {0, 1e-6});
    // Where the norm was clamped, y = 1e12 x and nothing is taken off dy.
    const Buffer dy = Buffer::from({4, 2}, DType::f32, {1, 2, 1, 2, 4, -3, 4, -3});
    expect_close("dx", normalize_gradient(r, dy, ctx), {1e12, 2e12, 1e12, 2e12, 8e9, -6e9, 8e-26, -6e-26},
                 {0, 1e-6});
  });
}

TEST_CASE("l2_normalize propagates NaN and infinity within their row") {
  TestContext ctx;
  Buffer x = Buffer::normal({3, 40}, DType::f32);
  x.set(40 + 39, NAN);
  x.set(80 + 5, INFINITY);
  const Normalized r = normalize(x, ctx);
  for (int64_t i = 0; i < 40; ++i) {
    REQUIRE_FALSE(std::isnan(r.y.at(i)));
    REQUIRE(std::isnan(r.y.at(40 + i)));
  }
  REQUIRE(std::isnan(r.y.at(85)));  // infinity / infinity, as in torch
  REQUIRE(r.y.at(84) == 0);
}

TEST_CASE("cosine_similarity matches float64") {
  for (const DType dtype : kDTypes) {
    for (const auto& c : cases::similarity_cases()) {
      const Buffer a = Buffer::normal({c.rows, c.depth}, dtype, 2.0),
                   b = Buffer::normal({c.columns, c.depth}, dtype);
      const float scale = -7.5f;
      const auto expected =
          ref_cosine_similarity(a.to_doubles(), b.to_doubles(), c.rows, c.columns, c.depth, scale);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << c.rows << " x " << c.columns << " x " << c.depth << " " << name_of(dtype));
        // |similarity| <= |scale|; the inputs' rounding to bf16 is in the reference too.
        expect_close("out", cosine(a, b, scale, ctx), expected, {7.5 * 2 * sum_error(c.depth), 0});
      });
    }
  }
}

TEST_CASE("cosine_similarity in tf32 rounds the products' operands, not the norms") {
  CUCLIP_NEEDS_CUDA();
  TestContext test_context;
  const ExecContext ctx = with_tf32(test_context);
  for (const auto& c : cases::similarity_cases()) {
    const Buffer a = Buffer::normal({c.rows, c.depth}, DType::f32),
                 b = Buffer::normal({c.columns, c.depth}, DType::f32);
    std::vector<double> a_rounded = a.to_doubles(), b_rounded = b.to_doubles();
    for (std::vector<double>* x : {&a_rounded, &b_rounded}) {
      for (double& v : *x) v = to_tf32(v);
    }
    auto expected = ref_cosine_similarity(a_rounded, b_rounded, c.rows, c.columns, c.depth, 3.0f);
    const auto norms = [&](const std::vector<double>& x, int64_t n) { return ref_norms(x, n, c.depth); };
    const auto a_norms = norms(a.to_doubles(), c.rows), b_norms = norms(b.to_doubles(), c.columns);
    const auto a_as_rounded = norms(a_rounded, c.rows), b_as_rounded = norms(b_rounded, c.columns);
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t row = i / static_cast<size_t>(c.columns), column = i % static_cast<size_t>(c.columns);
      expected[i] *= a_as_rounded[row] / a_norms[row] * b_as_rounded[column] / b_norms[column];
    }
    expect_close("out", cosine(a, b, 3.0f, ctx), expected, {3 * 2 * sum_error(c.depth), 0});
  }
}

TEST_CASE("cosine_similarity with zero vectors is 0, with NaN it is NaN in that row only") {
  TestContext ctx;
  Buffer a = Buffer::normal({3, 8}, DType::f32), b = Buffer::normal({4, 8}, DType::f32);
  for (int64_t k = 0; k < 8; ++k) a.set(k, 0);
  a.set(8, NAN);
  const Buffer out = cosine(a, b, 100, ctx);
  for (int64_t j = 0; j < 4; ++j) {
    REQUIRE(out.at(j) == 0);
    REQUIRE(std::isnan(out.at(4 + j)));
    REQUIRE_FALSE(std::isnan(out.at(8 + j)));
  }
}

TEST_CASE("similarity operations have the same bits for any number of threads") {
  for (const DType dtype : kDTypes) {
    const int64_t rows = cases_here(std::vector<int64_t>{300, 30}, [](int64_t n) { return n < 100; }).front();
    const Buffer a = Buffer::normal({rows, 70}, dtype), b = Buffer::normal({1500, 70}, dtype);
    const Buffer query = Buffer::normal({1, 70}, dtype), many = Buffer::normal({9000, 70}, dtype);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      const Normalized n = normalize(b, ctx);
      const Top t = top(a, b, 9, ctx), q = top(query, many, 30, ctx);
      return std::vector<Buffer>{
          n.y,      n.rnorm,  normalize_gradient(n, b, ctx), cosine(a, b, 3, ctx), t.values, t.indices,
          q.values, q.indices};
    }));
  }
}

TEST_CASE("similarity operations accept no rows and refuse wrong shapes, saying which") {
  TestContext ctx;
  const Buffer none = Buffer::zeros({0, 4}, DType::f32), a = Buffer::zeros({2, 4}, DType::f32);
  normalize(none, ctx);
  cosine(none, a, 1, ctx);
  cosine(a, none, 1, ctx);
  top(none, a, 2, ctx);
  REQUIRE_THROWS_WITH(top(a, a, 3, ctx), "top_k: k must be between 1 and the 2 rows of b, got 3");
  REQUIRE_THROWS_AS(top(a, a, 0, ctx), InputError);
  REQUIRE_THROWS_AS(top(a, none, 1, ctx), InputError);
  const Buffer three = Buffer::zeros({3}, DType::f32);
  REQUIRE_THROWS_WITH(top(a, a, 1, ctx, 1, three.view()), "top_k: b_rnorm must be [2], got [3]");
  const Buffer wide = Buffer::zeros({2, 5}, DType::f32), narrow = Buffer::zeros({2, 4}, DType::bf16);
  REQUIRE_THROWS_WITH(cosine(a, wide, 1, ctx), "cosine_similarity: b must be [2, 4], got [2, 5]");
  REQUIRE_THROWS_WITH(cosine(a, narrow, 1, ctx), "cosine_similarity: b must be f32, got bf16");
  Buffer rnorm = Buffer::zeros({2}, DType::f32);
  REQUIRE_THROWS_AS(
      l2_normalize_forward({.x = with_padded_rows(a), .y = a.view(), .rnorm = rnorm.view()}, ctx),
      InputError);
  REQUIRE_THROWS_WITH(l2_normalize_forward({.x = rnorm.view(), .y = a.view(), .rnorm = rnorm.view()}, ctx),
                      "l2_normalize_forward: x must be a matrix, got [2]");
}
