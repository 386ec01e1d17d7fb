#include "kernels/patch_embed/patch_embed.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/patch_embed_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_patch_embed.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::PatchEmbedCase;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};
constexpr double kMean[3] = {0.48145466, 0.4578275, 0.40821073};
constexpr double kStddev[3] = {0.26862954, 0.26130258, 0.27577711};

std::array<float, 3> to_floats(const double (&v)[3]) {
  return {static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2])};
}

PatchEmbedShape shape_of(const PatchEmbedCase& c) { return {c.batch, c.height, c.columns, c.patch, c.width}; }

Buffer bytes(const Shape& shape) {
  Buffer image = Buffer::zeros(shape, DType::u8);
  std::uniform_int_distribution<int> distribution(0, 255);
  for (int64_t i = 0; i < image.elements(); ++i) image.set(i, distribution(rng()));
  return image;
}

struct Problem {
  Problem(const PatchEmbedShape& shape, DType image_type, DType dtype)
      : s(shape),
        image(image_type == DType::u8 ? bytes({s.batch, s.height, s.columns, 3})
                                      : Buffer::normal({s.batch, 3, s.height, s.columns}, DType::f32)),
        weight(Buffer::normal({s.width, 3, s.patch, s.patch}, dtype,
                              1.0 / std::sqrt(static_cast<double>(s.length())))),
        class_token(Buffer::normal({s.width}, DType::f32)),
        position(Buffer::normal({1 + s.patches(), s.width}, DType::f32)),
        dout(Buffer::normal({s.batch, 1 + s.patches(), s.width}, dtype)),
        out(Buffer::poisoned(dout.shape(), dtype)),
        dweight(Buffer::normal(weight.shape(), DType::f32)),
        dclass_token(Buffer::normal(class_token.shape(), DType::f32)),
        dposition(Buffer::normal(position.shape(), DType::f32)) {}

  PatchEmbedForward forward() const {
    return {.image = image.view(),
            .mean = to_floats(kMean),
            .stddev = to_floats(kStddev),
            .weight = weight.view(),
            .class_token = class_token.view(),
            .position = position.view(),
            .out = out.view()};
  }
  PatchEmbedBackward backward() const {
    return {.image = image.view(),
            .mean = to_floats(kMean),
            .stddev = to_floats(kStddev),
            .dout = dout.view(),
            .dweight = dweight.view(),
            .dclass_token = dclass_token.view(),
            .dposition = dposition.view()};
  }
  std::vector<double> patches() const { return ref_patches(image, s, kMean, kStddev, out.dtype()); }

  PatchEmbedShape s;
  Buffer image, weight, class_token, position, dout, out, dweight, dclass_token, dposition;
};

// Pixels are off by a few roundings, and products of size 1 / sqrt(length) sum up to 1. (Of the 768 byte
// values times channels with this mean and deviation, none is so close to a tie that bf16 rounds it otherwise
// than float64.) On CUDA a sum is one chain of `length` additions: √length roundings of sums of order 1,
// eight times that for the largest of some 10^5 elements, as in gemm_test.
double forward_error(const PatchEmbedShape& s) {
  const double chain =
      on_cuda() ? 8 * std::sqrt(static_cast<double>(s.length())) * roundoff(DType::f32) : 0.0;
  return 64.0 / (1 << 24) + chain;
}

}  // namespace

TEST_CASE("patch embedding matches float64 for bytes and for normalised pictures") {
  for (const PatchEmbedCase& c : cases::patch_embed_cases()) {
    for (const DType image_type : {DType::u8, DType::f32}) {
      for (const DType dtype : kDTypes) {
        const PatchEmbedShape s = shape_of(c);
        const Problem inputs(s, image_type, dtype);
        const std::vector<double> expected =
            ref_patch_embed(inputs.patches(), inputs.weight.to_doubles(), inputs.class_token.to_doubles(),
                            inputs.position.to_doubles(), s);
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " " << inputs.image.shape().to_string() << " patch " << s.patch);
          const Problem p = inputs;
          patch_embed_forward(p.forward(), ctx);
          expect_close("out", p.out, expected, rounded(dtype, forward_error(s)));
        });
      }
    }
  }
}

TEST_CASE("patch embedding backward matches float64 and accumulates") {
  for (const PatchEmbedCase& c : cases::patch_embed_cases()) {
    for (const DType image_type : {DType::u8, DType::f32}) {
      for (const DType dtype : kDTypes) {
        const PatchEmbedShape s = shape_of(c);
        const Problem inputs(s, image_type, dtype);
        PatchEmbedGradients expected =
            ref_patch_embed_backward(inputs.patches(), inputs.dout.to_doubles(), s);
        const auto add = [](std::vector<double>& to, const Buffer& before) {
          for (size_t i = 0; i < to.size(); ++i) to[i] += before.at(static_cast<int64_t>(i));
        };
        add(expected.dweight, inputs.dweight);
        add(expected.dclass_token, inputs.dclass_token);
        add(expected.dposition, inputs.dposition);
        // n terms, sums of size sqrt(n), each addition rounds: n 2^-24.
        const auto n = static_cast<double>(s.batch * s.patches());
        const double error = (16 + 4 * n) * roundoff(DType::f32);
        const Tolerance sums{.absolute = 4 * (1 + static_cast<double>(s.batch)) * roundoff(DType::f32),
                             .relative = 1e-6};
        for_each_target([&](const ExecContext& ctx, const std::string& target) {
          INFO(target << " " << inputs.image.shape().to_string() << " patch " << s.patch);
          const Problem p = inputs;
          patch_embed_backward(p.backward(), ctx);
          expect_close("dweight", p.dweight, expected.dweight, {error, 1e-6});
          expect_close("dclass_token", p.dclass_token, expected.dclass_token, sums);
          expect_close("dposition", p.dposition, expected.dposition, sums);
        });
      }
    }
  }
}

// The reference multiplies what comes of rounding to tf32. A byte that is normalised in f32 may be rounded
// the other way than one in f64: 2^-10 of it.
TEST_CASE("patch embedding in tf32 matches float64, forward and backward") {
  CUCLIP_NEEDS_CUDA();
  TestContext test_context;
  const ExecContext ctx = with_tf32(test_context);
  const auto apply = [](std::vector<double> values, double (*f)(double)) {
    for (double& value : values) value = f(value);
    return values;
  };
  const auto magnitude = [](double x) { return std::abs(x) * 0x1p-10; };
  for (const PatchEmbedCase& c : cases::patch_embed_cases()) {
    for (const DType image_type : {DType::u8, DType::f32}) {
      const PatchEmbedShape s = shape_of(c);
      const Problem p(s, image_type, DType::f32);
      INFO(p.image.shape().to_string() << " patch " << s.patch);
      const std::vector<double> patches = apply(p.patches(), to_tf32);
      const std::vector<double> weight = apply(p.weight.to_doubles(), to_tf32);
      const std::vector<double> dout = apply(p.dout.to_doubles(), to_tf32);
      const auto expected =
          ref_patch_embed(patches, weight, p.class_token.to_doubles(), p.position.to_doubles(), s);
      auto expected_gradient = ref_patch_embed_backward(patches, dout, s).dweight;
      std::vector<double> flips, gradient_flips;
      if (image_type == DType::u8) {
        const auto zeros = [](const Buffer& like) {
          return std::vector<double>(static_cast<size_t>(like.elements()));
        };
        const auto pixels = apply(patches, magnitude);
        const auto absolute = [](double x) { return std::abs(x); };
        flips = ref_patch_embed(pixels, apply(weight, absolute), zeros(p.class_token), zeros(p.position), s);
        gradient_flips = ref_patch_embed_backward(pixels, apply(dout, absolute), s).dweight;
      }
      patch_embed_forward(p.forward(), ctx);
      expect_close("out", p.out, expected, rounded(DType::f32, forward_error(s)), flips);
      for (size_t i = 0; i < expected_gradient.size(); ++i)
        expected_gradient[i] += p.dweight.at(static_cast<int64_t>(i));
      patch_embed_backward(p.backward(), ctx);
      const double error = (16 + 4 * static_cast<double>(s.batch * s.patches())) * roundoff(DType::f32);
      expect_close("dweight", p.dweight, expected_gradient, {error, 1e-6}, gradient_flips);
    }
  }
}

TEST_CASE("patch embedding takes pictures at any address") {
  for (const DType image_type : {DType::u8, DType::f32}) {
    for (const DType dtype : kDTypes) {
      const Problem inputs(shape_of({2, 28, 42, 14, 8}), image_type, dtype);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << name_of(image_type) << " " << name_of(dtype));
        const Problem p = inputs;
        Problem moved = inputs;
        moved.image = inputs.image.shifted(1);
        patch_embed_forward(p.forward(), ctx);
        patch_embed_backward(p.backward(), ctx);
        patch_embed_forward(moved.forward(), ctx);
        patch_embed_backward(moved.backward(), ctx);
        REQUIRE(moved.out.same_bits(p.out));
        REQUIRE(moved.dweight.same_bits(p.dweight));
      });
    }
  }
}

TEST_CASE("patch embedding gradients match finite differences of the forward") {
  TestContext ctx;
  const PatchEmbedShape s{.batch = 2, .height = 4, .columns = 6, .patch = 2, .width = 3};
  Problem p(s, DType::u8, DType::f32);
  p.dweight = Buffer::zeros(p.dweight.shape(), DType::f32);
  p.dclass_token = Buffer::zeros(p.dclass_token.shape(), DType::f32);
  p.dposition = Buffer::zeros(p.dposition.shape(), DType::f32);
  patch_embed_backward(p.backward(), ctx);
  std::vector<double> arguments[] = {p.weight.to_doubles(), p.class_token.to_doubles(),
                                     p.position.to_doubles()};
  const Buffer* gradients[] = {&p.dweight, &p.dclass_token, &p.dposition};
  const auto loss = [&] {
    const std::vector<double> out = ref_patch_embed(p.patches(), arguments[0], arguments[1], arguments[2], s);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * p.dout.at(static_cast<int64_t>(i));
    return sum;
  };
  const double before = loss();
  for (int a = 0; a < 3; ++a) {
    std::vector<double> expected;
    for (double& v : arguments[a]) {  // linear: a step of 1 is exact
      v += 1;
      expected.push_back(loss() - before);
      v -= 1;
    }
    expect_close("gradient", *gradients[a], expected, {1e-5, 1e-5});
  }
}

TEST_CASE("patch embedding gives the same bits for any number of threads") {
  for (const DType dtype : kDTypes) {
    const Problem inputs(shape_of({67, 24, 16, 8, 33}), DType::u8, dtype);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      const Problem p = inputs;
      patch_embed_forward(p.forward(), ctx);
      patch_embed_backward(p.backward(), ctx);
      return std::vector<Buffer>{p.out, p.dweight, p.dclass_token, p.dposition};
    }));
  }
}

TEST_CASE("patch embedding passes NaN of a pixel on to its patch's row only") {
  TestContext ctx;
  Problem p(shape_of({2, 4, 4, 2, 5}), DType::f32, DType::f32);
  p.image.set(0 * 16 + 2 * 4 + 1, NAN);  // picture 0, channel 0, row 2, column 1: patch 2
  patch_embed_forward(p.forward(), ctx);
  for (int64_t i = 0; i < p.out.elements(); ++i) REQUIRE(std::isnan(p.out.at(i)) == (i / 5 == 1 + 2));
}

TEST_CASE("patch embedding accepts an empty batch") {
  TestContext ctx;
  const Problem p(shape_of({0, 4, 4, 2, 5}), DType::u8, DType::f32);
  const Problem before = p;
  REQUIRE_NOTHROW(patch_embed_forward(p.forward(), ctx));
  REQUIRE_NOTHROW(patch_embed_backward(p.backward(), ctx));
  REQUIRE(p.dweight.same_bits(before.dweight));
}

TEST_CASE("patch embedding refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Problem p(shape_of({2, 6, 9, 3, 5}), DType::u8, DType::f32);
  PatchEmbedForward f = p.forward();
  const Buffer odd = bytes({2, 7, 9, 3});
  f.image = odd.view();
  REQUIRE_THROWS_WITH(patch_embed_forward(f, ctx),
                      "patch_embed_forward: image is 7 x 9, both must be multiples of the patch size 3");
  f = p.forward();
  const Buffer grey = bytes({2, 6, 9, 1});
  f.image = grey.view();
  REQUIRE_THROWS_WITH(
      patch_embed_forward(f, ctx),
      "patch_embed_forward: image must be u8 [B, H, W, 3] or f32 [B, 3, H, W], got u8 [2, 6, 9, 1]");
  f = p.forward();
  const Buffer narrow = Buffer::zeros(p.weight.shape(), DType::bf16);
  f.weight = narrow.view();
  REQUIRE_THROWS_WITH(patch_embed_forward(f, ctx), "patch_embed_forward: weight must be f32, got bf16");
  f = p.forward();
  f.position = p.class_token.view();
  REQUIRE_THROWS_WITH(patch_embed_forward(f, ctx), "patch_embed_forward: position must be [7, 5], got [5]");
  f = p.forward();
  f.out = with_padded_rows(p.out);
  REQUIRE_THROWS_AS(patch_embed_forward(f, ctx), InputError);
  PatchEmbedBackward b = p.backward();
  b.dweight = narrow.view();
  REQUIRE_THROWS_WITH(patch_embed_backward(b, ctx), "patch_embed_backward: dweight must be f32, got bf16");
}
