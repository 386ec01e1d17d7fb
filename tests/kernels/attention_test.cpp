// labels: threads
#include "kernels/attention/attention.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/attention_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_attention.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::AttentionCase;

namespace {

constexpr DType kDTypes[] = {DType::f32, DType::bf16};

// A head dimension for each family of CUDA kernels.
struct Kind {
  DType dtype;
  int64_t head_dim;
};
constexpr Kind kKinds[] = {{DType::f32, 16}, {DType::bf16, 32}};

AttentionShape shape_of(const AttentionCase& c, bool causal) {
  return {.batch = c.batch, .length = c.length, .heads = c.heads, .head_dim = c.head_dim, .causal = causal};
}

// A problem with its forward's results, and poisoned outputs.
struct Problem {
  Problem(const AttentionShape& shape, DType dtype)
      : s(shape),
        qkv(Buffer::normal({s.batch, s.length, 3 * s.width()}, dtype)),
        dout(Buffer::normal({s.batch, s.length, s.width()}, dtype)),
        out(Buffer::poisoned(dout.shape(), dtype)),
        lse(Buffer::poisoned({s.batch, s.heads, s.length}, DType::f32)),
        dqkv(Buffer::poisoned(qkv.shape(), dtype)) {}

  AttentionForward forward() const {
    return {.qkv = qkv.view(), .out = out.view(), .lse = lse.view(), .heads = s.heads, .causal = s.causal};
  }
  AttentionBackward backward() const {
    return {.qkv = qkv.view(),
            .out = out.view(),
            .lse = lse.view(),
            .dout = dout.view(),
            .dqkv = dqkv.view(),
            .heads = s.heads,
            .causal = s.causal};
  }
  AttentionShape s;
  Buffer qkv, dout, out, lse, dqkv;
};

// A score is a sum of D products of size 1 over sqrt(D): in f32 it is off by about sqrt(D) 2^-24 of its size,
// which is at most 8 here. Probabilities have that as their relative error, and are multiplied by values up
// to 5.
double forward_error(const AttentionShape& s) {
  return 8 * std::sqrt(static_cast<double>(s.head_dim)) * roundoff(DType::f32);
}

// dP is a sum of D products, about sqrt(D) in size, so that dS is off by sqrt(D) of those; sums over rows or
// keys weighted by P or dS grow no more than logarithmically.
double backward_error(const AttentionShape& s) { return 8 * forward_error(s); }

// What rounding P and dS to the activations' dtype may change, where tensor cores multiply them: each of an
// element's terms by that rounding. The CPU and the kernels for f32 keep them in f32.
std::vector<double> operand_rounding(DType dtype, std::vector<double> terms) {
  for (double& t : terms) t *= on_cuda() && dtype == DType::bf16 ? roundoff(dtype) : 0.0;
  return terms;
}

void check_against_reference(const AttentionShape& s, DType dtype) {
  const Problem inputs(s, dtype);
  const AttentionReference expected = ref_attention(inputs.qkv.to_doubles(), s);
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target << " " << inputs.qkv.shape().to_string() << " heads " << s.heads << " causal " << s.causal);
    const Problem p = inputs;
    attention_forward(p.forward(), ctx);
    expect_close("out", p.out, expected.out, rounded(dtype, forward_error(s)),
                 operand_rounding(dtype, expected.out_terms));
    expect_close("lse", p.lse, expected.lse, {forward_error(s), roundoff(DType::f32) * 4});
    attention_backward(p.backward(), ctx);
    const AttentionGradient gradient =
        ref_attention_backward(p.qkv.to_doubles(), p.out.to_doubles(), p.dout.to_doubles(), s);
    expect_close("dqkv", p.dqkv, gradient.dqkv, rounded(dtype, backward_error(s)),
                 operand_rounding(dtype, gradient.terms));
  });
}

}  // namespace

TEST_CASE("attention forward and backward match float64 for any length and head dimension") {
  for (const AttentionCase& c : cases::attention_cases()) {
    for (const DType dtype : kDTypes) {
      for (const bool causal : {false, true}) check_against_reference(shape_of(c, causal), dtype);
    }
  }
}

TEST_CASE("attention forward and backward match float64 for the shapes of CLIP models") {
  for (const AttentionCase& c : cases::attention_clip_cases()) {
    check_against_reference(shape_of(c, c.length == 77), DType::f32);
    check_against_reference(shape_of(c, c.length == 77), DType::bf16);
  }
}

TEST_CASE("attention forward and backward match float64 for long sequences") {
  for (const AttentionCase& c :
       cases_here(cases::attention_long_cases(), [](const AttentionCase& c) { return c.length <= 300; })) {
    for (const bool causal : {false, true}) check_against_reference(shape_of(c, causal), DType::bf16);
  }
}

TEST_CASE("attention takes memory of any alignment") {
  const AttentionShape s = shape_of({1, 21, 2, 32}, true);
  for (const DType dtype : kDTypes) {
    TestContext ctx;
    const Problem p(s, dtype);
    attention_forward(p.forward(), ctx);
    attention_backward(p.backward(), ctx);
    // One tensor after the other starts an element off.
    for (int odd = 0; odd < 4; ++odd) {
      Problem shifted = p;
      Buffer* tensors[] = {&shifted.qkv, &shifted.out, &shifted.dout, &shifted.dqkv};
      *tensors[odd] = tensors[odd]->shifted(1);
      const AttentionReference expected = ref_attention(p.qkv.to_doubles(), s);
      attention_forward(shifted.forward(), ctx);
      expect_close("out", shifted.out, expected.out, rounded(dtype, forward_error(s)),
                   operand_rounding(dtype, expected.out_terms));
      attention_backward(shifted.backward(), ctx);
      const AttentionGradient gradient =
          ref_attention_backward(p.qkv.to_doubles(), shifted.out.to_doubles(), p.dout.to_doubles(), s);
      expect_close("dqkv", shifted.dqkv, gradient.dqkv, rounded(dtype, backward_error(s)),
                   operand_rounding(dtype, gradient.terms));
    }
  }
}

TEST_CASE("attention gradients match finite differences of the forward") {
  TestContext ctx;
  for (const bool causal : {false, true}) {
    const AttentionShape s{.batch = 1, .length = 7, .heads = 2, .head_dim = 3, .causal = causal};
    const Problem p(s, DType::f32);
    attention_forward(p.forward(), ctx);
    attention_backward(p.backward(), ctx);
    std::vector<double> qkv = p.qkv.to_doubles();
    const auto loss = [&] {
      const AttentionReference r = ref_attention(qkv, s);
      double sum = 0;
      for (size_t i = 0; i < r.out.size(); ++i) sum += r.out[i] * p.dout.at(static_cast<int64_t>(i));
      return sum;
    };
    std::vector<double> expected;
    for (double& v : qkv) {
      const double h = 1e-5;  // truncation and cancellation stay below 1e-9
      const double at = v;
      v = at + h;
      const double above = loss();
      v = at - h;
      const double below = loss();
      v = at;
      expected.push_back((above - below) / (2 * h));
    }
    expect_close("dqkv", p.dqkv, expected, {1e-5, 1e-5});
  }
}

TEST_CASE("attention stays finite where scores are far beyond the range of exp") {
  TestContext ctx;
  for (const Kind& kind : kKinds) {
    const AttentionShape s = shape_of({1, 21, 1, kind.head_dim}, false);
    Problem p(s, kind.dtype);
    for (int64_t i = 0; i < p.qkv.elements(); ++i) p.qkv.set(i, 20 * p.qkv.at(i));
    attention_forward(p.forward(), ctx);
    const AttentionReference expected = ref_attention(p.qkv.to_doubles(), s);
    // Scores reach 400 * 16 / 4 = 1600 and are off by 1600 * 2^-22; so are the probabilities. Values reach
    // 100.
    expect_close("out", p.out, expected.out, {0.1, kind.dtype == DType::bf16 ? roundoff(kind.dtype) : 0},
                 operand_rounding(kind.dtype, expected.out_terms));
    expect_close("lse", p.lse, expected.lse, {0, 1e-5});
    attention_backward(p.backward(), ctx);
    for (int64_t i = 0; i < p.dqkv.elements(); ++i) REQUIRE(std::isfinite(p.dqkv.at(i)));
  }
}

TEST_CASE("causal attention ignores what comes later") {
  TestContext ctx;
  for (const Kind& kind : kKinds) {
    const AttentionShape s = shape_of({2, 29, 2, kind.head_dim}, true);
    const Problem p(s, kind.dtype);
    attention_forward(p.forward(), ctx);
    Problem changed = p;
    const int64_t row = 3 * s.width();
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t i = 17 * row; i < s.length * row; ++i) changed.qkv.set(b * s.length * row + i, 3.0);
    }
    attention_forward(changed.forward(), ctx);
    for (int64_t i = 0; i < p.out.elements(); ++i) {
      if (i / s.width() % s.length < 17) REQUIRE(changed.out.at(i) == p.out.at(i));
    }
  }
}

TEST_CASE("attention runs without storing the log-sum-exp") {
  TestContext ctx;
  const Problem p(shape_of({2, 9, 2, 8}, false), DType::f32);
  attention_forward(p.forward(), ctx);
  const Problem q = p;
  AttentionForward forward = q.forward();
  forward.lse = TensorView();
  attention_forward(forward, ctx);
  REQUIRE(q.out.same_bits(p.out));
}

TEST_CASE("attention gives the same bits for any number of threads") {
  for (const Kind& kind : {Kind{DType::f32, 24}, Kind{DType::bf16, 24}, Kind{DType::bf16, 64}}) {
    const Problem inputs(shape_of({3, 70, 3, kind.head_dim}, true), kind.dtype);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      const Problem p = inputs;
      attention_forward(p.forward(), ctx);
      attention_backward(p.backward(), ctx);
      return std::vector<Buffer>{p.out, p.lse, p.dqkv};
    }));
  }
}

TEST_CASE("attention of a query has the same bits every time, in whichever row") {
  CUCLIP_NEEDS_CUDA();
  // In strips of 32 queries, of which the last has one row, or a tile and one row. The second is streamed.
  for (const int64_t length : {int64_t{129}, int64_t{273}}) {
    TestContext ctx;
    const AttentionShape s = shape_of({1, length, 1, 64}, false);
    const Problem p(s, DType::bf16);
    attention_forward(p.forward(), ctx);
    Problem turned = p;
    for (int64_t row = 0; row < length; ++row) {
      for (int64_t d = 0; d < 64; ++d) turned.qkv.set(row * 192 + d, p.qkv.at((length - 1 - row) * 192 + d));
    }
    const Problem again = turned;
    attention_forward(turned.forward(), ctx);
    attention_forward(again.forward(), ctx);
    REQUIRE(again.out.same_bits(turned.out));
    for (int64_t row = 0; row < length; ++row) {
      const int64_t before = length - 1 - row;
      REQUIRE(turned.lse.at(row) == p.lse.at(before));
      for (int64_t d = 0; d < 64; ++d) REQUIRE(turned.out.at(row * 64 + d) == p.out.at(before * 64 + d));
    }
  }
}

TEST_CASE("attention passes NaN on to what depends on it and to no other head") {
  TestContext ctx;
  for (const Kind& kind : kKinds) {
    const AttentionShape s = shape_of({2, 13, 2, kind.head_dim}, false);
    const int64_t width = s.width();
    Problem p(s, kind.dtype);
    p.qkv.set(5 * 3 * width + 3, NAN);  // batch 0, row 5, q of head 0
    attention_forward(p.forward(), ctx);
    for (int64_t i = 0; i < p.out.elements(); ++i) {
      REQUIRE(std::isnan(p.out.at(i)) == (i / width == 5 && i % width < s.head_dim));
    }
    attention_backward(p.backward(), ctx);
    for (int64_t i = 0; i < p.dqkv.elements(); ++i) {
      const bool head_0 = i % width < s.head_dim;
      const bool batch_0 = i < 13 * 3 * width;
      if (!head_0 || !batch_0) REQUIRE(std::isfinite(p.dqkv.at(i)));
    }
    REQUIRE(std::isnan(p.dqkv.at(5 * 3 * width + 3)));
    REQUIRE(std::isnan(p.dqkv.at(0 * 3 * width + width)));  // dk of every key saw row 5
  }
}

TEST_CASE("attention accepts empty batches and sequences") {
  TestContext ctx;
  for (const AttentionShape& s : {AttentionShape{0, 5, 2, 4, false}, AttentionShape{3, 0, 2, 4, true}}) {
    const Problem p(s, DType::f32);
    REQUIRE_NOTHROW(attention_forward(p.forward(), ctx));
    REQUIRE_NOTHROW(attention_backward(p.backward(), ctx));
  }
}

TEST_CASE("attention refuses wrong shapes, dtypes, strides and heads, naming them") {
  TestContext ctx;
  const Problem p(shape_of({2, 5, 2, 4}, false), DType::f32);
  const Buffer wrong = Buffer::zeros({2, 5, 7}, DType::f32);
  AttentionForward f = p.forward();
  f.heads = 3;
  REQUIRE_THROWS_WITH(attention_forward(f, ctx), "attention: 3 heads do not divide a width of 8");
  f.heads = 0;
  REQUIRE_THROWS_AS(attention_forward(f, ctx), InputError);
  f = p.forward();
  f.qkv = wrong.view();
  REQUIRE_THROWS_WITH(attention_forward(f, ctx), "attention: qkv must be [B, S, 3C], got [2, 5, 7]");
  f = p.forward();
  f.qkv = with_padded_rows(p.qkv);
  REQUIRE_THROWS_AS(attention_forward(f, ctx), InputError);
  AttentionBackward b = p.backward();
  b.dout = wrong.view();
  REQUIRE_THROWS_WITH(attention_backward(b, ctx),
                      "attention_backward: dout must be [2, 5, 8], got [2, 5, 7]");
  b = p.backward();
  b.lse = TensorView();
  REQUIRE_THROWS_WITH(attention_backward(b, ctx),
                      "attention_backward: lse is missing, expected f32 [2, 2, 5]");
  const Problem huge(shape_of({1, 1, 1, 257}, false), DType::f32);
  REQUIRE_THROWS_WITH(attention_forward(huge.forward(), ctx),
                      "attention: the head dimension must be at most 256, got 257");
}
