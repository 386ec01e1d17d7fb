#include "kernels/pool/pool.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <iterator>
#include <numeric>

#include "tests/cases/pool_cases.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

TEST_CASE("pool copies the indexed row of every sequence, or row 0 without an index") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : cases::pool_shapes()) {
      INFO(shape.to_string());
      const Buffer x = Buffer::normal(shape, dtype);
      const Buffer index = Buffer::indices({shape[0]}, static_cast<int32_t>(shape[1]));
      for (const bool indexed : {true, false}) {
        Buffer out = Buffer::poisoned({shape[0], shape[2]}, dtype);
        pool_forward({.x = x.view(), .index = indexed ? index.view() : TensorView(), .out = out.view()}, ctx);
        std::vector<double> expected;
        for (int64_t b = 0; b < shape[0]; ++b) {
          const int64_t row = indexed ? static_cast<int64_t>(index.at(b)) : 0;
          for (int64_t c = 0; c < shape[2]; ++c) {
            expected.push_back(x.at((b * shape[1] + row) * shape[2] + c));
          }
        }
        expect_close("pool_forward", out, expected, {0, 0});
      }
    }
  }
}

TEST_CASE("pool backward puts the gradient at the indexed row and zero everywhere else") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : cases::pool_shapes()) {
      INFO(shape.to_string());
      const Buffer dout = Buffer::normal({shape[0], shape[2]}, dtype);
      const Buffer index = Buffer::indices({shape[0]}, static_cast<int32_t>(shape[1]));
      for (const bool indexed : {true, false}) {
        Buffer dx = Buffer::poisoned(shape, dtype);
        pool_backward({.dout = dout.view(), .index = indexed ? index.view() : TensorView(), .dx = dx.view()},
                      ctx);
        std::vector<double> expected(static_cast<size_t>(shape.elements()), 0.0);
        for (int64_t b = 0; b < shape[0]; ++b) {
          const int64_t row = indexed ? static_cast<int64_t>(index.at(b)) : 0;
          for (int64_t c = 0; c < shape[2]; ++c) {
            expected[static_cast<size_t>((b * shape[1] + row) * shape[2] + c)] = dout.at(b * shape[2] + c);
          }
        }
        expect_close("pool_backward", dx, expected, {0, 0});
      }
    }
  }
}

namespace {

// `count` of each sequence's rows, ascending, chosen at random: i32 [batch, count].
Buffer ascending_rows(int64_t batch, int64_t count, int64_t length) {
  std::vector<double> rows;
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<double> all(static_cast<size_t>(length));
    std::iota(all.begin(), all.end(), 0.0);
    std::sample(all.begin(), all.end(), std::back_inserter(rows), count, rng());
  }
  return Buffer::from({batch, count}, DType::i32, rows);
}

}  // namespace

TEST_CASE("pool copies several rows of every sequence, and sends their gradients back to them") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Shape& shape : cases::pool_shapes()) {
      const int64_t batch = shape[0], length = shape[1], width = shape[2];
      for (const int64_t count : {int64_t{1}, (length + 1) / 2, length}) {
        INFO(shape.to_string() << ", " << count << " rows");
        const Buffer index = ascending_rows(batch, count, length);
        const Buffer x = Buffer::normal(shape, dtype), dout = Buffer::normal({batch, count, width}, dtype);
        Buffer out = Buffer::poisoned({batch, count, width}, dtype), dx = Buffer::poisoned(shape, dtype);
        pool_forward({.x = x.view(), .index = index.view(), .out = out.view()}, ctx);
        pool_backward({.dout = dout.view(), .index = index.view(), .dx = dx.view()}, ctx);
        std::vector<double> picked, gradient(static_cast<size_t>(shape.elements()), 0.0);
        for (int64_t i = 0; i < batch * count; ++i) {
          const int64_t row = i / count * length + static_cast<int64_t>(index.at(i));
          for (int64_t c = 0; c < width; ++c) {
            picked.push_back(x.at(row * width + c));
            gradient[static_cast<size_t>(row * width + c)] = dout.at(i * width + c);
          }
        }
        expect_close("pool_forward", out, picked, {0, 0});
        expect_close("pool_backward", dx, gradient, {0, 0});
      }
    }
  }
}

TEST_CASE("pool refuses rows of a sequence that do not ascend: two gradients would meet in one row") {
  CUCLIP_SKIP_ON_CUDA("the host does not see the indices");
  TestContext ctx;
  const Buffer dout = Buffer::normal({2, 2, 4}, DType::f32);
  const Buffer dx = Buffer::zeros({2, 3, 4}, DType::f32);
  const Buffer twice = Buffer::from({2, 2}, DType::i32, {2, 0, 1, 1});
  const Buffer fine = Buffer::from({2, 2}, DType::i32, {1, 2, 0, 1});  // a new sequence may start lower
  REQUIRE_THROWS_WITH(pool_backward({.dout = dout.view(), .index = twice.view(), .dx = dx.view()}, ctx),
                      "pool_backward: the rows of a sequence must ascend, got 0 after 2");
  REQUIRE_NOTHROW(pool_backward({.dout = dout.view(), .index = fine.view(), .dx = dx.view()}, ctx));
}

TEST_CASE("pool passes NaN of the picked row on and ignores NaN elsewhere") {
  TestContext ctx;
  Buffer x = Buffer::normal({2, 3, 4}, DType::f32);
  x.set(1 * 4 + 2, NAN);        // sequence 0, row 1: picked
  x.set((3 + 0) * 4 + 1, NAN);  // sequence 1, row 0: not picked
  const Buffer index = Buffer::from({2}, DType::i32, {1, 2});
  Buffer out = Buffer::zeros({2, 4}, DType::f32);
  pool_forward({.x = x.view(), .index = index.view(), .out = out.view()}, ctx);
  for (int64_t i = 0; i < 8; ++i) REQUIRE(std::isnan(out.at(i)) == (i == 2));
}

TEST_CASE("pool refuses an index outside the sequence before it writes anything") {
  CUCLIP_SKIP_ON_CUDA("the host does not see the indices");
  TestContext ctx;
  const Buffer x = Buffer::normal({2, 3, 4}, DType::f32);
  const Buffer out = Buffer::zeros({2, 4}, DType::f32);
  const Buffer dx = Buffer::normal({2, 3, 4}, DType::f32);
  const Buffer before = dx;
  const Buffer low = Buffer::from({2}, DType::i32, {0, -1});
  const Buffer high = Buffer::from({2}, DType::i32, {0, 3});
  REQUIRE_THROWS_WITH(pool_forward({.x = x.view(), .index = low.view(), .out = out.view()}, ctx),
                      "pool_forward: index[1] is -1, outside a sequence of length 3");
  REQUIRE_THROWS_WITH(pool_backward({.dout = out.view(), .index = high.view(), .dx = dx.view()}, ctx),
                      "pool_backward: index[1] is 3, outside a sequence of length 3");
  REQUIRE(dx.same_bits(before));
}

TEST_CASE("pool on CUDA gives NaN for an index outside the sequence, and adds its gradient nowhere") {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  for (const int64_t width : {4, 5}) {
    const Buffer x = Buffer::normal({3, 3, width}, DType::bf16),
                 dout = Buffer::normal({3, width}, DType::bf16);
    Buffer out = Buffer::poisoned({3, width}, DType::bf16), dx = Buffer::poisoned({3, 3, width}, DType::bf16);
    const Buffer index = Buffer::from({3}, DType::i32, {-1, 3, 1});
    pool_forward({.x = x.view(), .index = index.view(), .out = out.view()}, ctx);
    pool_backward({.dout = dout.view(), .index = index.view(), .dx = dx.view()}, ctx);
    for (int64_t i = 0; i < 3 * width; ++i) REQUIRE(std::isnan(out.at(i)) == (i < 2 * width));
    for (int64_t row = 0; row < 9; ++row) {
      for (int64_t c = 0; c < width; ++c)
        REQUIRE(dx.at(row * width + c) == (row == 7 ? dout.at(2 * width + c) : 0.0));
    }
  }
}

TEST_CASE("pool gives the same bits for any number of threads and accepts an empty batch") {
  const Buffer dout = Buffer::normal({67, 40}, DType::bf16);
  const Buffer index = Buffer::indices({67}, 50);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    std::vector<Buffer> result = {Buffer::poisoned({67, 50, 40}, DType::bf16),
                                  Buffer::poisoned({67, 40}, DType::bf16)};
    pool_backward({.dout = dout.view(), .index = index.view(), .dx = result[0].view()}, ctx);
    pool_forward({.x = result[0].view(), .index = index.view(), .out = result[1].view()}, ctx);
    return result;
  }));
  TestContext ctx;
  const Buffer none = Buffer::zeros({0, 5, 4}, DType::f32);
  const Buffer out = Buffer::zeros({0, 4}, DType::f32);
  REQUIRE_NOTHROW(pool_forward({.x = none.view(), .out = out.view()}, ctx));
  REQUIRE_NOTHROW(pool_backward({.dout = out.view(), .dx = none.view()}, ctx));
}

TEST_CASE("pool refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Buffer x = Buffer::normal({2, 3, 4}, DType::f32);
  const Buffer out = Buffer::zeros({2, 4}, DType::f32);
  const Buffer wrong = Buffer::zeros({2, 3}, DType::f32);
  const Buffer narrow = Buffer::zeros({2, 4}, DType::bf16);
  const Buffer index = Buffer::indices({3}, 3);
  REQUIRE_THROWS_WITH(pool_forward({.x = x.view(), .out = wrong.view()}, ctx),
                      "pool_forward: out must be [2, 4], got [2, 3]");
  REQUIRE_THROWS_WITH(pool_forward({.x = x.view(), .out = narrow.view()}, ctx),
                      "pool_forward: out must be f32, got bf16");
  REQUIRE_THROWS_WITH(pool_forward({.x = x.view(), .index = index.view(), .out = out.view()}, ctx),
                      "pool_forward: index must be [2], got [3]");
  REQUIRE_THROWS_WITH(pool_backward({.dout = out.view(), .dx = wrong.view()}, ctx),
                      "pool_backward: sequences must be [B, S, C], got [2, 3]");
  REQUIRE_THROWS_AS(pool_forward({.x = with_padded_rows(x), .out = out.view()}, ctx), InputError);
  const Buffer empty = Buffer::zeros({2, 0, 4}, DType::f32);
  REQUIRE_THROWS_AS(pool_forward({.x = empty.view(), .out = out.view()}, ctx), InputError);
}
