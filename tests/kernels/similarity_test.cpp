// labels: threads
#include "kernels/similarity/similarity.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numeric>

#include "tests/cases/similarity_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_similarity.h"
#include "tests/support/similarity_calls.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};

// Relative error of an f32 sum of d squares, and of a few operations after it: √d roundings, twice that for
// luck.
double sum_error(int64_t d) { return (8 + 2 * std::sqrt(static_cast<double>(d))) * roundoff(DType::f32); }

// top_k is the order of cosine_similarity's rows: the same values, largest first, equal ones by the lower
// index, NaN last.
void expect_best_of_matrix(const Buffer& a, const Buffer& b, int64_t k, const ExecContext& ctx,
                           float scale = 1) {
  const int64_t rows = a.shape()[0], columns = b.shape()[0];
  const std::vector<double> matrix = cosine(a, b, scale, ctx).to_doubles();
  const Top r = top(a, b, k, ctx, scale);
  const auto values = r.values.to_doubles(), indices = r.indices.to_doubles();
  for (int64_t i = 0; i < rows; ++i) {
    const double* row = matrix.data() + i * columns;
    std::vector<int64_t> order(static_cast<size_t>(columns));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t u, int64_t v) {
      return std::isnan(row[v]) ? !std::isnan(row[u]) : row[u] > row[v];
    });
    for (int64_t j = 0; j < k; ++j) {
      const int64_t at = order[static_cast<size_t>(j)];
      const auto place = static_cast<size_t>(i * k + j);
      INFO("row " << i << ", rank " << j << " of " << k << ": " << row[at] << " of " << at);
      REQUIRE(indices[place] == static_cast<double>(at));
      REQUIRE((std::isnan(row[at]) ? std::isnan(values[place]) : values[place] == row[at]));
    }
  }
}

// CUDA computes the products once for each 32 of k: thousands are for the CPU.
std::vector<cases::TopKCase> top_k_cases() {
  auto all = cases::top_k_cases();
  if (on_cuda()) std::erase_if(all, [](const auto& c) { return c.k > 1000; });
  return all;
}

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

TEST_CASE("top_k gives the best of the similarity matrix in order") {
  for (const DType dtype : kDTypes) {
    for (const auto& top_k_case : top_k_cases()) {
      const auto c = top_k_case.shape;
      const int64_t k = top_k_case.k;
      const Buffer a = Buffer::normal({c.rows, c.depth}, dtype),
                   b = Buffer::normal({c.columns, c.depth}, dtype);
      const auto expected =
          ref_cosine_similarity(a.to_doubles(), b.to_doubles(), c.rows, c.columns, c.depth, 10);
      const double error = 10 * 2 * sum_error(c.depth);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << c.rows << " x " << c.columns << " x " << c.depth << " k " << k);
        if (on_cuda()) expect_best_of_matrix(a, b, k, ctx, 10);  // the CPU's tiles round differently
        const Top r = top(a, b, k, ctx, 10);
        for (int64_t i = 0; i < c.rows; ++i) {
          auto row =
              std::vector<double>(expected.begin() + i * c.columns, expected.begin() + (i + 1) * c.columns);
          std::vector<int> seen(static_cast<size_t>(c.columns));
          std::vector<double> at_indices;
          for (int64_t j = 0; j < k; ++j) {
            const auto index = static_cast<size_t>(r.indices.at(i * k + j));
            REQUIRE(seen.at(index)++ == 0);
            at_indices.push_back(row[index]);
            if (j > 0) REQUIRE(r.values.at(i * k + j) <= r.values.at(i * k + j - 1));
          }
          std::sort(row.begin(), row.end(), std::greater<>());
          for (int64_t j = 0; j < k; ++j) {
            // The value is that of its index, and the j-th best: neighbours closer than the error may have
            // swapped.
            const double value = r.values.at(i * k + j);
            REQUIRE(std::abs(value - at_indices[static_cast<size_t>(j)]) <= error);
            REQUIRE(std::abs(value - row[static_cast<size_t>(j)]) <= error);
          }
        }
      });
    }
  }
}

TEST_CASE("top_k orders equal values by index, within and across chunks of columns") {
  // Columns of three values: 1 where j % 3 == 0, 0.6 where j % 3 == 1, -1 elsewhere.
  const int64_t n = on_cuda() ? 900 : 9000;
  std::vector<double> rows;
  for (int64_t j = 0; j < n; ++j) {
    const std::vector<double> kinds[] = {{2, 0}, {3, 4}, {-1, 0}};
    rows.insert(rows.end(), kinds[j % 3].begin(), kinds[j % 3].end());
  }
  const Buffer a = Buffer::from({1, 2}, DType::f32, {5, 0}), b = Buffer::from({n, 2}, DType::f32, rows);
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    const Top r = top(a, b, n, ctx);
    for (int64_t j = 0; j < n; ++j)
      REQUIRE(r.indices.at(j) == static_cast<double>(j % (n / 3) * 3 + j / (n / 3)));
    const Top few = top(a, b, 4, ctx);
    REQUIRE(few.indices.to_doubles() == std::vector<double>{0, 3, 6, 9});
  });
}

TEST_CASE("top_k of similarities that ascend, descend, are equal, infinite, zero or NaN") {
  TestContext ctx;
  // Of b's row j of n, for a's rows (1, 0), zero, NaN and (-2, 0): products are exact.
  const auto circle = [](double turns) {
    return std::array{std::cos(turns * 2 * M_PI), std::sin(turns * 2 * M_PI)};
  };
  const std::function<std::array<double, 2>(int64_t, int64_t)> patterns[] = {
      [&](int64_t j, int64_t n) { return circle(0.5 - 0.5 * double(j) / double(n)); },  // ascend
      [&](int64_t j, int64_t n) { return circle(0.5 * double(j) / double(n)); },
      [](int64_t, int64_t) {
        return std::array{3.0, -1.0};
      },
      [](int64_t j, int64_t) {
        return std::array{double(j % 2), double(j % 3 - 1)};
      },  // ties, zeros
      [](int64_t j, int64_t) {
        return std::array{j % 5 == 3 ? NAN : double(j % 7 - 3), double(j % 2)};
      },
      [](int64_t j, int64_t) {
        return std::array{j % 90 == 89 ? -1.0 : NAN, 1.0};
      },
  };
  for (const DType dtype : kDTypes) {
    const Buffer a = Buffer::from({4, 2}, dtype, {1, 0, 0, 0, NAN, 1, -2, 0});
    for (const auto& pattern : patterns) {
      const auto features = [&](int64_t n) {
        std::vector<double> rows;
        for (int64_t j = 0; j < n; ++j) {
          const auto row = pattern(j, n);
          rows.insert(rows.end(), row.begin(), row.end());
        }
        return Buffer::from({n, 2}, dtype, rows);
      };
      INFO(name_of(dtype) << " pattern " << &pattern - patterns);
      const Buffer b = features(300);
      for (const int64_t k : {1, 32, 300}) {
        for (const float scale : {1.0f, INFINITY, 1e-45f}) {  // with the last, many are +0 or -0
          INFO("scale " << scale);
          expect_best_of_matrix(a, b, k, ctx, scale);
        }
      }
      if (&pattern == patterns) expect_best_of_matrix(a, features(33001), 10, ctx);
    }
  }
}

TEST_CASE("top_k of a row does not depend on the rows beside it") {
  // Small integers: products are exact, so that ties are many and the CPU's tiles round alike.
  TestContext ctx;
  Buffer a = Buffer::zeros({2000, 8}, DType::bf16), b = Buffer::zeros({2500, 8}, DType::bf16);
  for (Buffer* x : {&a, &b}) {
    const Buffer digits = Buffer::indices(x->shape(), 5);
    for (int64_t i = 0; i < x->elements(); ++i) x->set(i, digits.at(i) - 2);
  }
  const Top all = top(a, b, 20, ctx);
  for (const int64_t row : {0, 1234, 1999}) {
    const auto some = a.to_doubles();
    const Buffer query =
        Buffer::from({1, 8}, DType::bf16, {some.begin() + row * 8, some.begin() + row * 8 + 8});
    const Top one = top(query, b, 20, ctx);
    for (int64_t j = 0; j < 20; ++j) {
      REQUIRE(all.indices.at(row * 20 + j) == one.indices.at(j));
      REQUIRE(all.values.at(row * 20 + j) == one.values.at(j));
    }
  }
}

TEST_CASE("top_k puts NaN last, by index") {
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    const Buffer a = Buffer::from({1, 1}, DType::f32, {1});
    const Buffer b = Buffer::from({6, 1}, DType::f32, {NAN, -1, NAN, 1, NAN, -2});
    const Top r = top(a, b, 6, ctx);
    REQUIRE(r.indices.to_doubles() == std::vector<double>{3, 1, 5, 0, 2, 4});
    for (int64_t j = 0; j < 6; ++j) REQUIRE(std::isnan(r.values.at(j)) == (j >= 3));
    REQUIRE(top(a, b, 2, ctx).indices.to_doubles() == std::vector<double>{3, 1});
  });
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
