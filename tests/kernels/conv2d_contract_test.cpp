// labels: threads
// What the convolution promises besides its values.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/conv2d/conv2d.h"
#include "tests/support/conv2d_problem.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::Conv2dCase;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};

}  // namespace

TEST_CASE("conv2d gives the same bits for any number of threads") {
  for (const DType dtype : kDTypes) {
    for (const Conv2dCase& c : {Conv2dCase{137, 4, 4, 8, 16, 3, 1, 1},
                                {90, 5, 5, 3, 9, 3, 2, 1},
                                {1, 12, 12, 64, 64, 3, 1, 1},
                                {2, 8, 8, 200, 136, 3, 1, 1}}) {
      if (on_cuda() && c.channels == 200) continue;  // on the CPU: tasks of channels

      const Conv2dProblem inputs(c, dtype);
      REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
        const Conv2dProblem p = inputs;
        conv2d_forward(p.whole_forward(), ctx);
        conv2d_backward(p.backward(), ctx);
        return std::vector<Buffer>{p.y, p.dx, p.dweight};
      }));
    }
  }
}

TEST_CASE("conv2d keeps a weight in order where it is asked to, for batches of any size") {
  CUCLIP_SKIP_ON_CUDA("nothing is put into another order there");
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Conv2dProblem one({1, 25, 24, 64, 80, 3, 2, 1}, dtype), many({7, 25, 24, 64, 80, 3, 2, 1}, dtype);
    const std::shared_ptr<PackedWeight> kept = make_packed_weight();
    const Buffer other = Buffer::normal(one.weight.shape(), dtype);
    const auto run = [&](const Conv2dProblem& p, const Buffer& weight, bool keep) {
      const Conv2dProblem own = p;
      Conv2dForward f = own.whole_forward();
      f.weight = weight.view();
      f.kept = keep ? kept.get() : nullptr;
      conv2d_forward(f, ctx);
      return own.y;
    };
    const Buffer y = run(one, one.weight, false), ys = run(many, one.weight, false);
    for (int round = 0; round < 2; ++round) {
      REQUIRE(run(one, one.weight, true).same_bits(y));
      REQUIRE(run(many, one.weight, true).same_bits(ys));
    }
    // It is not read again.
    REQUIRE(run(one, other, true).same_bits(y));
    REQUIRE(run(many, other, true).same_bits(ys));
    REQUIRE_FALSE(run(one, other, false).same_bits(y));
  }
}

TEST_CASE("conv2d takes tensors at any address") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    const Conv2dProblem inputs({3, 6, 7, 16, 8, 3, 1, 1}, dtype);
    const Conv2dProblem p = inputs;
    Conv2dProblem moved = inputs;
    for (Buffer* buffer : {&moved.x, &moved.weight, &moved.scale, &moved.bias, &moved.residual, &moved.dy,
                           &moved.y, &moved.dx, &moved.dweight}) {
      *buffer = buffer->shifted(1);
    }
    for (const Conv2dProblem* each : {&p, &std::as_const(moved)}) {
      conv2d_forward(each->whole_forward(), ctx);
      conv2d_backward(each->backward(), ctx);
    }
    REQUIRE(moved.y.same_bits(p.y));
    REQUIRE(moved.dx.same_bits(p.dx));
    REQUIRE(moved.dweight.same_bits(p.dweight));
  }
}

TEST_CASE("conv2d passes NaN on where it is read, through relu too") {
  TestContext ctx;
  for (const DType dtype : kDTypes) {
    Conv2dProblem p({2, 5, 5, 4, 3, 3, 1, 1}, dtype);
    p.x.set((0 * 25 + 1 * 5 + 3) * 4 + 2, NAN);  // picture 0, row 1, column 3
    conv2d_forward(p.whole_forward(), ctx);
    for (int64_t i = 0; i < p.y.elements(); ++i) {
      const int64_t row = i / 15 % 5, column = i / 3 % 5;
      const bool reads = i < 75 && row <= 2 && column >= 2 && column <= 4;
      REQUIRE(std::isnan(p.y.at(i)) == reads);
      REQUIRE((reads || p.y.at(i) >= 0));
    }
  }
}

TEST_CASE("conv2d accepts an empty batch") {
  TestContext ctx;
  const Conv2dProblem p({0, 4, 4, 3, 5, 3, 1, 1}, DType::f32), before = p;
  REQUIRE_NOTHROW(conv2d_forward(p.whole_forward(), ctx));
  REQUIRE_NOTHROW(conv2d_backward(p.backward(), ctx));
  REQUIRE(p.dweight.same_bits(before.dweight));
}

TEST_CASE("conv2d's extent is that of the result") {
  REQUIRE(conv2d_extent(224, 3, 2, 1) == 112);
  REQUIRE(conv2d_extent(7, 3, 2, 0) == 3);
  REQUIRE(conv2d_extent(8, 3, 2, 0) == 3);
  REQUIRE(conv2d_extent(1, 3, 1, 1) == 1);
  REQUIRE(conv2d_extent(1, 3, 2, 0) == 0);
}

TEST_CASE("conv2d refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Conv2dProblem p({2, 6, 5, 3, 4, 3, 1, 1}, DType::f32);
  const Buffer narrow = Buffer::zeros(p.weight.shape(), DType::bf16);
  const auto refused = [&](auto change, const char* message) {
    Conv2dForward f = p.whole_forward();
    change(f);
    REQUIRE_THROWS_WITH(conv2d_forward(f, ctx), message);
  };
  refused([&](Conv2dForward& f) { f.x = p.bias.view(); },
          "conv2d_forward: x must be [N, H, W, Cin] with H, W and Cin of at least 1, got [4]");
  const Buffer flat = Buffer::zeros({2, 0, 5, 3}, DType::f32);
  refused([&](Conv2dForward& f) { f.x = flat.view(); },
          "conv2d_forward: x must be [N, H, W, Cin] with H, W and Cin of at least 1, got [2, 0, 5, 3]");
  refused([](Conv2dForward& f) { f.stride = 65; }, "conv2d_forward: the stride must be from 1 to 64, got 65");
  refused([&](Conv2dForward& f) { f.weight = p.x.view(); },
          "conv2d_forward: weight must be [Cout, K, K, Cin], got [2, 6, 5, 3]");
  refused(
      [&](Conv2dForward& f) {
        f.weight = p.weight.view_as({3, 3, 3, 4});
      },
      "conv2d_forward: weight must be [3, 3, 3, 3], got [3, 3, 3, 4]");
  refused([&](Conv2dForward& f) { f.weight = narrow.view(); },
          "conv2d_forward: weight must be f32, got bf16");
  refused([&](Conv2dForward& f) { f.stride = 0; }, "conv2d_forward: the stride must be from 1 to 64, got 0");
  for (const int64_t padding : {int64_t{-1}, kMaxConv2dPadding + 1, int64_t{1} << 62}) {
    const std::string message =
        fmt::format("conv2d_forward: the padding must be from 0 to 1073741824, got {}", padding);
    refused([&](Conv2dForward& f) { f.padding = padding; }, message.c_str());
  }
  // As large as may be: its result has an extent.
  refused([&](Conv2dForward& f) { f.padding = kMaxConv2dPadding; },
          "conv2d_forward: y must be [2, 2147483652, 2147483651, 4], got [2, 6, 5, 4]");
  refused([&](Conv2dForward& f) { f.padding = 0; },
          "conv2d_forward: y must be [2, 4, 3, 4], got [2, 6, 5, 4]");
  refused([&](Conv2dForward& f) { f.bias = p.dweight.view(); },
          "conv2d_forward: bias must be [4], got [4, 3, 3, 3]");
  refused([&](Conv2dForward& f) { f.residual = p.x.view(); },
          "conv2d_forward: residual must be [2, 6, 5, 4], got [2, 6, 5, 3]");
  refused(
      [&](Conv2dForward& f) {
        f.x = p.x.view_as({2, 1, 2, 3});
        f.padding = 0;
      },
      "conv2d_forward: a kernel of 3 x 3 does not fit into pictures of 1 x 2 with padding 0");
  Conv2dForward f = p.forward();
  f.y = with_padded_rows(p.y);
  REQUIRE_THROWS_AS(conv2d_forward(f, ctx), InputError);
  Conv2dBackward b = p.backward();
  b.dweight = narrow.view();
  REQUIRE_THROWS_WITH(conv2d_backward(b, ctx), "conv2d_backward: dweight must be f32, got bf16");
  b = p.backward();
  b.dx = p.dy.view();
  REQUIRE_THROWS_WITH(conv2d_backward(b, ctx), "conv2d_backward: dx must be [2, 6, 5, 3], got [2, 6, 5, 4]");
}

TEST_CASE("conv2d on CUDA refuses more pictures than it can count") {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  const Buffer little = Buffer::zeros({1}, DType::f32);
  const TensorView pictures(little.view().data, DType::f32, {int64_t{1} << 20, 64, 64, 1});
  REQUIRE_THROWS_WITH(
      conv2d_forward({.x = pictures, .weight = little.view_as({1, 1, 1, 1}), .y = pictures}, ctx),
      "conv2d: 1048576 pictures of 64 x 64 with results of 64 x 64 are too many for one call on CUDA");
}

TEST_CASE("conv2d on CUDA refuses filters whose elements it cannot count") {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  const Buffer little = Buffer::zeros({1}, DType::f32);
  const auto view = [&](const Shape& shape) { return TensorView(little.view().data, DType::f32, shape); };
  const int64_t kernel = int64_t{1} << 15, many = (int64_t{1} << 30) + 1;
  const std::string large =
      "conv2d: filters of 32768 x 32768 with 2 channels in and 1 out are too large for CUDA, which takes up "
      "to 1073741824 elements";
  const std::string wide =
      "conv2d: filters of 1 x 1 with 1 channels in and 1073741825 out are too large for CUDA, which takes up "
      "to 1073741824 elements";
  const TensorView x = view({1, 1, 1, 2}), weight = view({1, kernel, kernel, 2}), y = view({1, 2, 2, 1});
  REQUIRE_THROWS_WITH(conv2d_forward({.x = x, .weight = weight, .y = y, .padding = kernel / 2}, ctx), large);
  REQUIRE_THROWS_WITH(
      conv2d_backward({.x = x, .weight = weight, .dy = y, .dx = x, .padding = kernel / 2}, ctx), large);
  REQUIRE_THROWS_WITH(
      conv2d_forward({.x = view({1, 1, 1, 1}), .weight = view({many, 1, 1, 1}), .y = view({1, 1, 1, many})},
                     ctx),
      wide);
}
