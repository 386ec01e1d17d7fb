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

}  // namespace

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

TEST_CASE("top_k with the norms of b given has the bits of top_k that computes them, and uses those given") {
  for (const DType dtype : kDTypes) {
    for (const auto& top_k_case : top_k_cases()) {
      const auto shape = top_k_case.shape;
      const int64_t k = top_k_case.k;
      const Buffer a = Buffer::normal({shape.rows, shape.depth}, dtype),
                   b = Buffer::normal({shape.columns, shape.depth}, dtype);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << shape.rows << " x " << shape.columns << " x " << shape.depth << " k " << k);
        Buffer rnorm = Buffer::poisoned({shape.columns}, DType::f32);
        l2_normalize_forward({.x = b.view(), .rnorm = rnorm.view()}, ctx);
        rnorm.check_guards();
        REQUIRE(rnorm.same_bits(normalize(b, ctx).rnorm));
        const Top expected = top(a, b, k, ctx, 10), r = top(a, b, k, ctx, 10, rnorm.view());
        REQUIRE(r.values.same_bits(expected.values));
        REQUIRE(r.indices.same_bits(expected.indices));
        for (int64_t j = 0; j < shape.columns; ++j) rnorm.set(j, 2 * rnorm.at(j));
        const Top doubled = top(a, b, k, ctx, 10, rnorm.view());
        REQUIRE(doubled.indices.same_bits(expected.indices));
        for (int64_t i = 0; i < expected.values.elements(); ++i)
          REQUIRE(doubled.values.at(i) == 2 * expected.values.at(i));
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
