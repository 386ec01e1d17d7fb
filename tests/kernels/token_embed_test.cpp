#include "kernels/token_embed/token_embed.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/token_embed_cases.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::TokenEmbedCase;

namespace {

struct Inputs {
  explicit Inputs(const TokenEmbedCase& c, DType dtype)
      : tokens(Buffer::indices({c.batch, c.length}, static_cast<int32_t>(c.vocabulary))),
        table(Buffer::normal({c.vocabulary, c.width}, DType::f32)),
        position(Buffer::normal({c.positions, c.width}, DType::f32)),
        dout(Buffer::normal({c.batch, c.length, c.width}, dtype)) {}
  Buffer tokens, table, position, dout;
};

// The forward in float64; linear, so that this is also the reference of the gradient's directional
// derivative.
std::vector<double> reference(const Inputs& in, const TokenEmbedCase& c) {
  std::vector<double> out;
  for (int64_t i = 0; i < c.batch * c.length; ++i) {
    for (int64_t j = 0; j < c.width; ++j) {
      out.push_back(in.table.at(static_cast<int64_t>(in.tokens.at(i)) * c.width + j) +
                    in.position.at(i % c.length * c.width + j));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("token embedding adds table and position rows and rounds the sum once") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const TokenEmbedCase& c : cases::token_embed_cases()) {
      const Inputs in(c, dtype);
      std::vector<double> sums = reference(in, c);
      for (double& v : sums) v = static_cast<float>(v);  // the f32 sum, exactly; then one rounding to dtype
      const Buffer expected = Buffer::from({c.batch, c.length, c.width}, dtype, sums);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target);
        Buffer out = Buffer::poisoned(expected.shape(), dtype);
        token_embed_forward({.tokens = in.tokens.view(),
                             .table = in.table.view(),
                             .position = in.position.view(),
                             .out = out.view()},
                            ctx);
        out.check_guards();
        REQUIRE(out.same_bits(expected));
      });
    }
  }
}

TEST_CASE("token embedding backward accumulates the sum over every occurrence") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const TokenEmbedCase& c : cases::token_embed_cases()) {
      const Inputs in(c, dtype);
      // What is there already must stay: the gradients start from the random table and position.
      std::vector<double> dtable = in.table.to_doubles();
      std::vector<double> dposition = in.position.to_doubles();
      for (int64_t i = 0; i < c.batch * c.length; ++i) {
        for (int64_t j = 0; j < c.width; ++j) {
          const double g = in.dout.at(i * c.width + j);
          dtable[static_cast<size_t>(static_cast<int64_t>(in.tokens.at(i)) * c.width + j)] += g;
          dposition[static_cast<size_t>(i % c.length * c.width + j)] += g;
        }
      }
      // n = B S additions to sums of size sqrt(n) round by sqrt(n) 2^-24 each, in random directions: n 2^-24.
      const double error = 4.0 * static_cast<double>(c.batch * c.length) * roundoff(DType::f32);
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target);
        const Buffer table = in.table;
        const Buffer position = in.position;
        token_embed_backward({.tokens = in.tokens.view(),
                              .dout = in.dout.view(),
                              .dtable = table.view(),
                              .dposition = position.view()},
                             ctx);
        expect_close("dtable", table, dtable, {error, 1e-6});
        expect_close("dposition", position, dposition, {error, 1e-6});
      });
    }
  }
}

TEST_CASE("token embedding gradients match finite differences") {
  const TokenEmbedCase c{3, 5, 6, 7, 13};
  const Inputs in(c, DType::f32);
  Inputs moved = in;
  const Buffer table_step = Buffer::normal(in.table.shape(), DType::f32);
  const Buffer position_step = Buffer::normal(in.position.shape(), DType::f32);
  Buffer dtable = Buffer::zeros(in.table.shape(), DType::f32);
  Buffer dposition = Buffer::zeros(in.position.shape(), DType::f32);
  TestContext ctx;
  token_embed_backward({.tokens = in.tokens.view(),
                        .dout = in.dout.view(),
                        .dtable = dtable.view(),
                        .dposition = dposition.view()},
                       ctx);
  double predicted = 0;
  for (int64_t i = 0; i < dtable.elements(); ++i) {
    predicted += dtable.at(i) * table_step.at(i);
    moved.table.set(i, in.table.at(i) + table_step.at(i));
  }
  for (int64_t i = 0; i < dposition.elements(); ++i) {
    predicted += dposition.at(i) * position_step.at(i);
    moved.position.set(i, in.position.at(i) + position_step.at(i));
  }
  const std::vector<double> before = reference(in, c);
  const std::vector<double> after = reference(moved, c);
  double measured = 0;  // the function is linear: a step of any size will do
  for (size_t i = 0; i < before.size(); ++i) {
    measured += in.dout.at(static_cast<int64_t>(i)) * (after[i] - before[i]);
  }
  REQUIRE(predicted == Approx(measured).epsilon(1e-4).margin(1e-3));
}

TEST_CASE(
    "token embedding backward gives the same bits for any number of threads, also with one token only") {
  const TokenEmbedCase c{20, 30, 30, 11, 200};
  const Inputs in(c, DType::bf16);
  const Buffer padding = Buffer::zeros({c.batch, c.length}, DType::i32);
  for (const Buffer& tokens : {in.tokens, padding}) {
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      std::vector<Buffer> gradients = {in.table, in.position};
      token_embed_backward({.tokens = tokens.view(),
                            .dout = in.dout.view(),
                            .dtable = gradients[0].view(),
                            .dposition = gradients[1].view()},
                           ctx);
      return gradients;
    }));
  }
}

TEST_CASE("token embedding leaves unused rows of the gradients alone") {
  TestContext ctx;
  const Buffer tokens = Buffer::from({1, 2}, DType::i32, {2, 2});
  const Buffer dout = Buffer::normal({1, 2, 3}, DType::f32);
  Buffer dtable = Buffer::normal({4, 3}, DType::f32);
  Buffer dposition = Buffer::normal({5, 3}, DType::f32);
  const Buffer table_before = dtable;
  const Buffer position_before = dposition;
  token_embed_backward(
      {.tokens = tokens.view(), .dout = dout.view(), .dtable = dtable.view(), .dposition = dposition.view()},
      ctx);
  for (int64_t i = 0; i < 12; ++i) REQUIRE((dtable.at(i) == table_before.at(i)) == (i / 3 != 2));
  for (int64_t i = 0; i < 15; ++i) REQUIRE((dposition.at(i) == position_before.at(i)) == (i / 3 >= 2));
}

TEST_CASE(
    "token embedding on CUDA gives NaN for a token outside the vocabulary, and adds its gradient to no "
    "token") {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  const Buffer table = Buffer::normal({5, 4}, DType::f32), position = Buffer::zeros({3, 4}, DType::f32);
  const Buffer out = Buffer::poisoned({1, 3, 4}, DType::f32), dout = Buffer::normal({1, 3, 4}, DType::f32);
  const Buffer tokens = Buffer::from({1, 3}, DType::i32, {5, 2, -1});
  token_embed_forward(
      {.tokens = tokens.view(), .table = table.view(), .position = position.view(), .out = out.view()}, ctx);
  for (int64_t i = 0; i < 12; ++i) REQUIRE(std::isnan(out.at(i)) == (i / 4 != 1));
  const Buffer before = table;
  token_embed_backward(
      {.tokens = tokens.view(), .dout = dout.view(), .dtable = table.view(), .dposition = position.view()},
      ctx);
  for (int64_t i = 0; i < 20; ++i) REQUIRE((table.at(i) == before.at(i)) == (i / 4 != 2));
}

TEST_CASE("token embedding refuses a token outside the vocabulary before it writes anything") {
  CUCLIP_SKIP_ON_CUDA("the host does not see the tokens");
  TestContext ctx;
  const Buffer table = Buffer::normal({5, 3}, DType::f32);
  const Buffer position = Buffer::normal({2, 3}, DType::f32);
  const Buffer out = Buffer::zeros({2, 2, 3}, DType::f32);
  const Buffer high = Buffer::from({2, 2}, DType::i32, {0, 1, 2, 5});
  const Buffer low = Buffer::from({2, 2}, DType::i32, {0, -1, 2, 3});
  REQUIRE_THROWS_WITH(
      token_embed_forward(
          {.tokens = high.view(), .table = table.view(), .position = position.view(), .out = out.view()},
          ctx),
      "token_embed_forward: tokens[1, 1] is 5, outside the vocabulary of 5");
  const Buffer before = table;
  REQUIRE_THROWS_WITH(
      token_embed_backward(
          {.tokens = low.view(), .dout = out.view(), .dtable = table.view(), .dposition = position.view()},
          ctx),
      "token_embed_backward: tokens[0, 1] is -1, outside the vocabulary of 5");
  REQUIRE(table.same_bits(before));
}

TEST_CASE("token embedding passes NaN on to its own row only and accepts an empty batch") {
  TestContext ctx;
  Buffer table = Buffer::normal({3, 2}, DType::f32);
  table.set(2, NAN);  // token 1
  const Buffer position = Buffer::normal({2, 2}, DType::f32);
  const Buffer tokens = Buffer::from({1, 2}, DType::i32, {1, 2});
  Buffer out = Buffer::zeros({1, 2, 2}, DType::bf16);
  token_embed_forward(
      {.tokens = tokens.view(), .table = table.view(), .position = position.view(), .out = out.view()}, ctx);
  for (int64_t i = 0; i < 4; ++i) REQUIRE(std::isnan(out.at(i)) == (i == 0));

  const Buffer none = Buffer::zeros({0, 2}, DType::i32);
  const Buffer nothing = Buffer::zeros({0, 2, 2}, DType::f32);
  REQUIRE_NOTHROW(token_embed_forward(
      {.tokens = none.view(), .table = table.view(), .position = position.view(), .out = nothing.view()},
      ctx));
  REQUIRE_NOTHROW(token_embed_backward(
      {.tokens = none.view(), .dout = nothing.view(), .dtable = table.view(), .dposition = position.view()},
      ctx));
}

TEST_CASE("token embedding refuses wrong shapes, dtypes and strides, naming them") {
  TestContext ctx;
  const Buffer tokens = Buffer::zeros({2, 3}, DType::i32);
  const Buffer table = Buffer::zeros({5, 4}, DType::f32);
  const Buffer position = Buffer::zeros({3, 4}, DType::f32);
  const Buffer shorter = Buffer::zeros({2, 4}, DType::f32);
  const Buffer out = Buffer::zeros({2, 3, 4}, DType::f32);
  TokenEmbedForward p{
      .tokens = tokens.view(), .table = table.view(), .position = shorter.view(), .out = out.view()};
  REQUIRE_THROWS_WITH(token_embed_forward(p, ctx),
                      "token_embed_forward: position must be [at least 3, 4], got [2, 4]");
  p.position = position.view();
  p.out = table.view();
  REQUIRE_THROWS_WITH(token_embed_forward(p, ctx), "token_embed_forward: out must be [2, 3, 4], got [5, 4]");
  p.out = with_padded_rows(out);
  REQUIRE_THROWS_AS(token_embed_forward(p, ctx), InputError);
  p.out = out.view();
  p.tokens = out.view();
  REQUIRE_THROWS_WITH(token_embed_forward(p, ctx),
                      "token_embed_forward: tokens must be [B, S], got [2, 3, 4]");
}
