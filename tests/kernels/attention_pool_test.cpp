#include "kernels/attention_pool/attention_pool.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/attention_pool_cases.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_attention_pool.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::AttentionPoolCase;

namespace {

// A problem, and poisoned outputs.
struct Problem {
  Problem(const AttentionPoolShape& shape, DType dtype)
      : s(shape),
        q(Buffer::normal({s.batch, s.width()}, dtype)),
        kv(Buffer::normal({s.batch, s.length, 2 * s.width()}, dtype)),
        dout(Buffer::normal(q.shape(), dtype)),
        out(Buffer::poisoned(q.shape(), dtype)),
        weights(Buffer::poisoned({s.batch, s.heads, s.length}, DType::f32)),
        dq(Buffer::poisoned(q.shape(), dtype)),
        dkv(Buffer::poisoned(kv.shape(), dtype)) {}

  AttentionPoolForward forward() const {
    return {.q = q.view(), .kv = kv.view(), .heads = s.heads, .out = out.view(), .weights = weights.view()};
  }
  AttentionPoolBackward backward() const {
    return {.dout = dout.view(),
            .q = q.view(),
            .kv = kv.view(),
            .weights = weights.view(),
            .heads = s.heads,
            .dq = dq.view(),
            .dkv = dkv.view()};
  }
  AttentionPoolShape s;
  Buffer q, kv, dout, out, weights, dq, dkv;
};

AttentionPoolShape shape_of(const AttentionPoolCase& c) {
  return {.batch = c.batch, .length = c.length, .heads = c.heads, .head_dim = c.head_dim};
}

// A score is a sum of D products of size 1 over sqrt(D): in f32 it is off by about sqrt(D) 2^-24 of its size,
// which is at most 8 here. Weights have that as their relative error, and multiply values up to 5.
double forward_error(const AttentionPoolShape& s) {
  return 8 * std::sqrt(static_cast<double>(s.head_dim)) * roundoff(DType::f32);
}

// dweights are sums of D products, about sqrt(D) in size.
double backward_error(const AttentionPoolShape& s) { return 8 * forward_error(s); }

std::vector<AttentionPoolCase> cases_of_device() {
  return cases_here(cases::attention_pool_cases(), [](const auto& c) { return c.heads * c.head_dim <= 400; });
}

}  // namespace

TEST_CASE("attention_pool matches float64, forward and backward") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const AttentionPoolCase& c : cases_of_device()) {
      const AttentionPoolShape s = shape_of(c);
      const Problem inputs(s, dtype);
      const AttentionPoolReference expected =
          ref_attention_pool(inputs.q.to_doubles(), inputs.kv.to_doubles(), s);
      const AttentionPoolGradients gradients = ref_attention_pool_backward(
          inputs.dout.to_doubles(), inputs.q.to_doubles(), inputs.kv.to_doubles(), s);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << inputs.kv.shape().to_string() << " " << name_of(dtype) << ", heads "
                    << s.heads);
        const Problem p = inputs;
        attention_pool_forward(p.forward(), ctx);
        expect_close("weights", p.weights, expected.weights, {1e-30, 4 * forward_error(s)});
        expect_close("out", p.out, expected.out, rounded(dtype, forward_error(s)));
        attention_pool_backward(p.backward(), ctx);
        expect_close("dq", p.dq, gradients.dq, rounded(dtype, backward_error(s)));
        expect_close("dkv", p.dkv, gradients.dkv, rounded(dtype, backward_error(s)));
      });
    }
  }
}

TEST_CASE("attention_pool gradients match finite differences") {
  const AttentionPoolShape s{.batch = 2, .length = 4, .heads = 2, .head_dim = 3};
  const Problem p(s, DType::f32);
  TestContext ctx;
  attention_pool_forward(p.forward(), ctx);
  attention_pool_backward(p.backward(), ctx);
  std::vector<double> q = p.q.to_doubles(), kv = p.kv.to_doubles();
  const auto loss = [&] {
    const AttentionPoolReference r = ref_attention_pool(q, kv, s);
    double sum = 0;
    for (size_t i = 0; i < r.out.size(); ++i) sum += r.out[i] * p.dout.at(static_cast<int64_t>(i));
    return sum;
  };
  const auto check = [&](const char* what, std::vector<double>& values, const Buffer& gradient) {
    std::vector<double> expected;
    for (double& v : values) {
      const double h = 1e-5, at = v;
      v = at + h;
      const double above = loss();
      v = at - h;
      const double below = loss();
      v = at;
      expected.push_back((above - below) / (2 * h));
    }
    expect_close(what, gradient, expected, {backward_error(s), 1e-6});
  };
  check("dq", q, p.dq);
  check("dkv", kv, p.dkv);
}

TEST_CASE("attention_pool stays finite where scores are far apart") {
  // The last key's score is 100 above all others, then 200 below.
  const AttentionPoolShape s{.batch = 1, .length = 37, .heads = 1, .head_dim = 4};
  for (const double last : {50.0, -100.0}) {
    Problem p(s, DType::f32);
    p.q = Buffer::from({1, 4}, DType::f32, {1, 1, 1, 1});
    for (int64_t d = 0; d < 4; ++d) p.kv.set(36 * 8 + d, last);
    TestContext ctx;
    attention_pool_forward(p.forward(), ctx);
    const AttentionPoolReference expected = ref_attention_pool(p.q.to_doubles(), p.kv.to_doubles(), s);
    // Scores of 200 are off by a few of their roundings; no weight is smaller than f32 has numbers.
    expect_close("weights", p.weights, expected.weights, {1e-37, 4 * 200 * roundoff(DType::f32)});
    expect_close("out", p.out, expected.out, {1e-4, 0});
  }
}

TEST_CASE("attention_pool takes memory of any alignment") {
  const AttentionPoolShape s{.batch = 2, .length = 9, .heads = 2, .head_dim = 32};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem p(s, dtype);
    const AttentionPoolReference expected = ref_attention_pool(p.q.to_doubles(), p.kv.to_doubles(), s);
    const AttentionPoolGradients gradients =
        ref_attention_pool_backward(p.dout.to_doubles(), p.q.to_doubles(), p.kv.to_doubles(), s);
    for (Buffer* odd : {&p.q, &p.kv, &p.out, &p.dout, &p.dq, &p.dkv}) {
      *odd = odd->shifted(1);
      TestContext ctx;
      attention_pool_forward(p.forward(), ctx);
      attention_pool_backward(p.backward(), ctx);
      expect_close("out", p.out, expected.out, rounded(dtype, forward_error(s)));
      expect_close("dq", p.dq, gradients.dq, rounded(dtype, backward_error(s)));
      expect_close("dkv", p.dkv, gradients.dkv, rounded(dtype, backward_error(s)));
      *odd = odd->shifted(0);
    }
  }
}

TEST_CASE("attention_pool keeps NaN to the head whose query, key or value it is in") {
  const AttentionPoolShape s{.batch = 2, .length = 5, .heads = 2, .head_dim = 3};
  const int64_t row = 2 * s.width(), second_head = 3, second_picture = s.length * row;
  for (const bool in_value : {false, true}) {
    for (const bool in_query : {false, true}) {
      if (in_value && in_query) continue;
      Problem p(s, DType::f32);
      if (in_query) {
        p.q.set(s.width() + second_head + 1, NAN);
      } else {
        p.kv.set(second_picture + 2 * row + (in_value ? s.width() : 0) + second_head + 1, NAN);
      }
      TestContext ctx;
      attention_pool_forward(p.forward(), ctx);
      for (int64_t i = 0; i < p.out.elements(); ++i) {
        const bool in_head = i / s.width() == 1 && i % s.width() >= second_head;
        REQUIRE(std::isnan(p.out.at(i)) == (in_head && (!in_value || i % 3 == 1)));
      }
    }
  }
}

TEST_CASE("attention_pool gives the same bits for any number of threads and accepts an empty batch") {
  const Problem inputs({.batch = 7, .length = 19, .heads = 3, .head_dim = 20}, DType::bf16);
  REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
    const Problem p = inputs;
    attention_pool_forward(p.forward(), ctx);
    attention_pool_backward(p.backward(), ctx);
    return std::vector<Buffer>{p.out, p.weights, p.dq, p.dkv};
  }));
  TestContext ctx;
  const Problem none({.batch = 0, .length = 4, .heads = 2, .head_dim = 3}, DType::f32);
  REQUIRE_NOTHROW(attention_pool_forward(none.forward(), ctx));
  REQUIRE_NOTHROW(attention_pool_backward(none.backward(), ctx));
}

TEST_CASE("attention_pool refuses wrong shapes, dtypes, strides and heads, naming them") {
  TestContext ctx;
  const Problem p({.batch = 2, .length = 3, .heads = 2, .head_dim = 4}, DType::f32);
  AttentionPoolForward f = p.forward();
  f.heads = 3;
  REQUIRE_THROWS_WITH(attention_pool_forward(f, ctx),
                      "attention_pool_forward: the number of heads must be a divisor of the width 8, got 3");
  f.heads = 0;
  REQUIRE_THROWS_AS(attention_pool_forward(f, ctx), InputError);
  f = p.forward();
  f.kv = p.q.view();
  REQUIRE_THROWS_WITH(attention_pool_forward(f, ctx),
                      "attention_pool_forward: kv must be [N, S, 2C] with S at least 1, got [2, 8]");
  f = p.forward();
  f.weights = TensorView();
  REQUIRE_THROWS_AS(attention_pool_forward(f, ctx), InputError);
  AttentionPoolBackward b = p.backward();
  b.dkv = p.q.view();
  REQUIRE_THROWS_WITH(attention_pool_backward(b, ctx),
                      "attention_pool_backward: dkv must be [2, 3, 16], got [2, 8]");
  b = p.backward();
  b.kv = with_padded_rows(p.kv);
  REQUIRE_THROWS_AS(attention_pool_backward(b, ctx), InputError);
  const Buffer empty = Buffer::zeros({2, 0, 16}, DType::f32),
               no_weights = Buffer::zeros({2, 2, 0}, DType::f32);
  f = p.forward();
  f.kv = empty.view();
  f.weights = no_weights.view();
  REQUIRE_THROWS_AS(attention_pool_forward(f, ctx), InputError);
}
