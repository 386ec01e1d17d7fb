// labels: threads
#include "kernels/tiles/tile_product.h"

#include <catch2/catch.hpp>
#include <thread>

#include "tests/support/buffer.h"

using namespace cuclip;
using test::Buffer;

namespace {

// |error| <= (k + 2) · u · Σ|a||b| for f32 sums (Higham, Accuracy and Stability, 3.5), plus the output's
// rounding.
void check_product(int64_t m, int64_t n, int64_t k, bool ta, bool tb, DType in, DType out, bool accumulate) {
  const int64_t pad = 3;  // leading dimensions larger than the rows
  const Shape shape_a = ta ? Shape{k, m + pad} : Shape{m, k + pad};
  const Shape shape_b = tb ? Shape{n, k + pad} : Shape{k, n + pad};
  const Buffer a = Buffer::normal(shape_a, in), b = Buffer::normal(shape_b, in);
  Buffer c = accumulate ? Buffer::normal({m, n}, out) : Buffer::poisoned({m, n}, out);
  std::vector<double> expected =
      accumulate ? c.to_doubles() : std::vector<double>(static_cast<size_t>(m * n), 0.0);
  double largest = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0, magnitude = 0;
      for (int64_t l = 0; l < k; ++l) {
        const double x = a.at(ta ? l * shape_a[1] + i : i * shape_a[1] + l);
        const double y = b.at(tb ? j * shape_b[1] + l : l * shape_b[1] + j);
        sum += x * y;
        magnitude += std::abs(x * y);
      }
      expected[static_cast<size_t>(i * n + j)] += sum;
      largest = std::max(largest, magnitude);
    }
  }
  tile_product({.a = a.view().data,
                .b = b.view().data,
                .c = c.view().data,
                .m = m,
                .n = n,
                .k = k,
                .lda = shape_a[1],
                .ldb = shape_b[1],
                .ldc = n,
                .transpose_a = ta,
                .transpose_b = tb,
                .input = in,
                .output = out,
                .accumulate = accumulate});
  test::expect_close(
      "product", c, expected,
      {static_cast<double>(k + 2) * test::roundoff(DType::f32) * (largest + 1), test::roundoff(out)});
}

}  // namespace

TEST_CASE("tile product matches float64 for every transpose, dtype and odd size") {
  for (auto [m, n, k] : {std::tuple{1, 1, 1}, {3, 5, 7}, {17, 33, 65}, {64, 48, 130}}) {
    for (int flags = 0; flags < 4; ++flags) {
      const bool ta = flags & 1, tb = flags & 2;
      check_product(m, n, k, ta, tb, DType::f32, DType::f32, false);
      check_product(m, n, k, ta, tb, DType::f32, DType::f32, true);
      check_product(m, n, k, ta, tb, DType::bf16, DType::f32, false);
      check_product(m, n, k, ta, tb, DType::bf16, DType::f32, true);
      check_product(m, n, k, ta, tb, DType::bf16, DType::bf16, false);
    }
  }
}

TEST_CASE("tile product of an empty inner dimension is zero, or leaves the sum") {
  Buffer c = Buffer::poisoned({2, 3}, DType::f32);
  TileProduct p{.c = c.view().data, .m = 2, .n = 3, .k = 0, .lda = 1, .ldb = 3, .ldc = 3};
  tile_product(p);
  test::expect_close("zero", c, std::vector<double>(6, 0.0), {0, 0});
  c.set(1, 5);
  p.accumulate = true;
  tile_product(p);
  REQUIRE(c.at(1) == 5);
}

TEST_CASE("tile product gives the same bits on every thread") {
  const Buffer a = Buffer::normal({65, 300}, DType::f32), b = Buffer::normal({300, 70}, DType::f32);
  std::vector<Buffer> results;
  for (int i = 0; i < 3; ++i) results.push_back(Buffer::poisoned({65, 70}, DType::f32));
  std::vector<std::thread> threads;
  for (auto& c : results) {
    threads.emplace_back([&] {
      tile_product({.a = a.view().data,
                    .b = b.view().data,
                    .c = c.view().data,
                    .m = 65,
                    .n = 70,
                    .k = 300,
                    .lda = 300,
                    .ldb = 70,
                    .ldc = 70});
    });
  }
  for (auto& t : threads) t.join();
  REQUIRE(results[0].same_bits(results[1]));
  REQUIRE(results[0].same_bits(results[2]));
}
