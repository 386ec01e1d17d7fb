// labels: threads
#include "kernels/contrastive_loss/contrastive_loss.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/cases/contrastive_loss_cases.h"
#include "tests/support/contrastive_loss_problem.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_contrastive_loss.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::ContrastiveLossCase;
using Problem = ContrastiveLossProblem;

namespace {

void check_both_directions(Problem p) {
  const auto inputs = p.reference_inputs();
  const auto result = ref_contrastive_loss(inputs);
  const auto gradients =
      ref_contrastive_loss_gradients(inputs, result.row_lse, result.column_lse, p.dloss.at(0));
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target << " " << p.c.to_string());
    p.reset_outputs();
    p.forward(ctx);
    check_forward(p, result);
    p.backward(ctx);
    check_backward(p, gradients);
  });
}

// The case, but on the emulator in its slow campaign only.
[[maybe_unused]] std::vector<ContrastiveLossCase> slow_case(const ContrastiveLossCase& c) {
  return cases_here(std::vector{c}, [](const ContrastiveLossCase&) { return false; });
}

double loss_of(Problem& p, const ExecContext& ctx) {
  p.forward(ctx);
  return p.loss.at(0);
}

// d loss / d x in direction `direction`, by a central difference of the f32 forward.
double central_difference(Problem& p, Buffer& x, const Buffer& direction, double h, const ExecContext& ctx) {
  const Buffer before = x;
  const auto shifted = [&](double by) {
    for (int64_t i = 0; i < x.elements(); ++i) x.set(i, before.at(i) + by * direction.at(i));
    return loss_of(p, ctx);
  };
  const double difference = (shifted(h) - shifted(-h)) / (2 * h);
  x = before;
  return difference;
}

double dot(const Buffer& a, const Buffer& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.elements(); ++i) sum += a.at(i) * b.at(i);
  return sum;
}

}  // namespace

TEST_CASE("contrastive loss and its gradients match float64, f32") {
  for (const auto& c : cases::contrastive_loss_cases())
    check_both_directions(Problem::random(c, DType::f32, 1 / 0.07, -0.7));
}

TEST_CASE("contrastive loss and its gradients match float64, bf16") {
  for (const auto& c : cases::contrastive_loss_cases())
    check_both_directions(Problem::random(c, DType::bf16, 1 / 0.07, 2.0));
}

TEST_CASE("contrastive loss and its gradients match float64, tf32") {
  const bool tf32 = on_cuda();
  for (const auto& c : cases::contrastive_loss_cases()) {
    Problem p = Problem::random(c, DType::f32, 1 / 0.07, -0.7);
    const auto inputs = p.reference_inputs(tf32);
    const auto result = ref_contrastive_loss(inputs);
    TestContext ctx;
    p.forward(with_tf32(ctx));
    check_forward(p, result);
    p.backward(with_tf32(ctx));
    check_backward(p, ref_contrastive_loss_gradients(inputs, result.row_lse, result.column_lse, -0.7), tf32);
  }
}

#ifndef __SANITIZE_THREAD__  // takes minutes there, and the smaller cases run the same parallel code
TEST_CASE("contrastive loss matches float64 beyond one block of rows") {
  // In bf16 CUDA adds the blocks' gradients up in f32 and rounds them at the end.
  const DType dtype = on_cuda() ? DType::bf16 : DType::f32;
  for (const auto& c : slow_case(cases::contrastive_loss_beyond_block())) {
    Problem p = Problem::random(c, dtype, 10);
    const auto inputs = p.reference_inputs();
    const auto result = ref_contrastive_loss(inputs);
    TestContext ctx;
    p.forward(ctx);
    check_forward(p, result);
    p.backward(ctx);
    check_backward(p, ref_contrastive_loss_gradients(inputs, result.row_lse, result.column_lse, 1.0));
  }
}
#endif

TEST_CASE("contrastive loss at scale 100 with similarities of 1 and -1 neither overflows nor underflows") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    // Rows 1 and 4 have logit -100 with all texts but those two: a fixed maximum would lose them.
    const std::vector<double> signs = {1, -1, 1, 1, -1, 1, 1};
    const std::vector<double> ones(7, 1.0);
    for (const auto& texts : {signs, ones}) {
      check_both_directions(Problem({7, 7, 1}, Buffer::from({7, 1}, dtype, signs),
                                    Buffer::from({7, 1}, dtype, texts), std::log(100.0)));
    }
    check_both_directions(Problem::random({300, 300, 2}, dtype, 100));
  }
}

TEST_CASE("contrastive loss has finite gradients where all similarities are -1 at scale 100") {
  // Their log-sum-exp is -97: behind the last column, where products are 0, exp(0 - lse) overflows in f32.
  constexpr int64_t kRows = 13, kWidth = 8;  // whole 16-byte accesses, but not along the columns
  std::vector<double> image(kRows * kWidth, 0.0), text(kRows * kWidth, 0.0);
  for (int64_t i = 0; i < kRows; ++i) {
    image[i * kWidth + i % kWidth] = 1.0;
    for (int64_t j = 0; j < kWidth; ++j) text[i * kWidth + j] = -1.0;
  }
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem p({kRows, kRows, kWidth}, Buffer::from({kRows, kWidth}, dtype, image),
              Buffer::from({kRows, kWidth}, dtype, text), std::log(100.0));
    check_both_directions(p);
    if (dtype == DType::bf16 || !on_cuda()) continue;
    TestContext ctx;
    p.reset_outputs();
    p.forward(with_tf32(ctx));
    p.backward(with_tf32(ctx));
    const auto inputs = p.reference_inputs(true);
    const auto result = ref_contrastive_loss(inputs);
    check_backward(
        p, ref_contrastive_loss_gradients(inputs, result.row_lse, result.column_lse, p.dloss.at(0)), true);
  }
}

TEST_CASE("contrastive loss keeps its digits when every pair is told apart") {
  // S = 100 on the diagonal, 90 elsewhere: loss = log(1 + 5 e^-10) = 2.3e-4, while an ulp of lse is 8e-6.
  std::vector<double> image(42, 0.0), text(42, 0.0);
  for (size_t i = 0; i < 6; ++i) {
    image[i * 7] = text[i * 7] = 3.0;
    image[i * 7 + i + 1] = text[i * 7 + i + 1] = 1.0;
  }
  Problem p({6, 6, 7}, Buffer::from({6, 7}, DType::f32, image), Buffer::from({6, 7}, DType::f32, text),
            std::log(10.0));
  TestContext ctx;
  // exp(log_scale) is off by an ulp, and sums next to 1 have an ulp of 1.2e-7.
  REQUIRE(loss_of(p, ctx) == Approx(std::log1p(5 * std::exp(-10.0))).margin(2e-7).epsilon(0));
}

TEST_CASE("contrastive loss of equal features is ln N") {
  Problem p({77, 77, 3}, Buffer::zeros({77, 3}, DType::f32), Buffer::zeros({77, 3}, DType::f32),
            std::log(1 / 0.07));
  TestContext ctx;
  REQUIRE(loss_of(p, ctx) == Approx(std::log(77.0)).epsilon(1e-6));
}

TEST_CASE("contrastive loss gradients agree with finite differences of its forward") {
  TestContext ctx;
  Problem p = Problem::random({37, 37, 24}, DType::f32, 5);
  p.forward(ctx);
  p.backward(ctx);
  const Problem at = p;
  // The loss, about 3, has an error of some 3e-7: 3e-5 in the difference. The third derivative adds h² of
  // scale³.
  const double h = 1e-2;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const Buffer direction = unit_rows(1, 37 * 24, DType::f32);
    CHECK(central_difference(p, p.image, direction, h, ctx) ==
          Approx(dot(at.dimage, direction)).margin(2e-4).epsilon(2e-3));
    CHECK(central_difference(p, p.text, direction, h, ctx) ==
          Approx(dot(at.dtext, direction)).margin(2e-4).epsilon(2e-3));
  }
  const Buffer one = Buffer::from({1}, DType::f32, {1.0});
  CHECK(central_difference(p, p.log_scale, one, h, ctx) ==
        Approx(at.dlog_scale.at(0) - Problem::kLogScaleGradientBefore).margin(2e-4).epsilon(2e-3));
}

TEST_CASE("contrastive loss has the same bits for any number of threads") {
  for (const auto& [dtype, tf32] :
       {std::pair(DType::f32, false), std::pair(DType::f32, true), std::pair(DType::bf16, false)}) {
    if (tf32 && !on_cuda()) continue;
    Problem p = Problem::random({700, 1300, 33, 100}, dtype, 30);
    REQUIRE(same_bits_for_any_thread_count([&, tf32 = tf32](ExecContext ctx) {
      if (tf32) ctx = with_tf32(ctx);
      p.reset_outputs();
      p.forward(ctx);
      p.backward(ctx);
      return p.outputs();
    }));
  }
}

TEST_CASE("contrastive loss of ranks that share the rows is that of the whole matrix") {
  const int64_t ranks = 3, share = 50, n = ranks * share, depth = 20;
  TestContext ctx;
  Problem whole = Problem::random({n, n, depth}, DType::f32, 20);
  whole.forward(ctx);
  whole.backward(ctx);

  std::vector<Problem> parts;
  std::vector<double> column_lse(static_cast<size_t>(n), -INFINITY);
  for (int64_t r = 0; r < ranks; ++r) {
    Buffer rows = Buffer::zeros({share, depth}, DType::f32);
    for (int64_t i = 0; i < rows.elements(); ++i) rows.set(i, whole.image.at(r * share * depth + i));
    Problem& part =
        parts.emplace_back(Problem({share, n, depth, r * share}, rows, whole.text, whole.log_scale.at(0)));
    part.forward(ctx);
    for (int64_t j = 0; j < n; ++j) {
      double& lse = column_lse[static_cast<size_t>(j)];
      lse = std::log(std::exp(lse) + std::exp(part.column_lse.at(j)));
    }
  }
  double loss = 0, dlog_scale = 0;
  std::vector<double> dimage, dtext(static_cast<size_t>(n * depth));
  for (Problem& part : parts) {
    part.column_lse = Buffer::from({n}, DType::f32, column_lse);
    part.backward(ctx);
    for (int64_t i = 0; i < share; ++i) {
      const double column = part.column_lse.at(part.c.label_offset + i);
      loss += ((part.row_lse.at(i) + column) / 2 - part.positive.at(i)) / static_cast<double>(n);
    }
    for (int64_t i = 0; i < share * depth; ++i) dimage.push_back(part.dimage.at(i) / ranks);
    for (int64_t i = 0; i < n * depth; ++i) dtext[static_cast<size_t>(i)] += part.dtext.at(i) / ranks;
    dlog_scale += (part.dlog_scale.at(0) - Problem::kLogScaleGradientBefore) / ranks;
  }
  // Roundings of logits and lse up to 20, and of sums of gradients up to 0.2.
  REQUIRE(whole.loss.at(0) == Approx(loss).epsilon(2e-6));
  expect_close("dimage", whole.dimage, dimage, {3e-6, 1e-5});
  expect_close("dtext", whole.dtext, dtext, {3e-6, 1e-5});
  REQUIRE(whole.dlog_scale.at(0) - Problem::kLogScaleGradientBefore == Approx(dlog_scale).margin(2e-5));
}

#ifndef __SANITIZE_THREAD__
TEST_CASE("contrastive loss at N = 16,640 is exact in bounded memory") {
  for (const auto& c : slow_case({16640, 16640, 4})) {
    // Features of four classes: every row and column has N/4 logits s and 3N/4 logits 0. So many rows that a
    // strip has several tiles.
    const int64_t n = c.rows;
    const double s = 3.0, quarter = n / 4;
    std::vector<double> one_hot(static_cast<size_t>(n * 4), 0.0);
    for (int64_t i = 0; i < n; ++i) one_hot[static_cast<size_t>(i * 4 + i % 4)] = 1.0;
    const Buffer features = Buffer::from({n, 4}, DType::bf16, one_hot);
    Problem p(c, features, features, std::log(s));
    ThreadPool pool(2);
    Scratch scratch(test_device());
    const ExecContext ctx{
        .device = test_device(), .pool = &pool, .scratch = &scratch, .stream = test_stream()};
    p.forward(ctx);
    p.backward(ctx);
    const double lse = std::log(quarter * std::exp(s) + 3 * quarter);
    REQUIRE(p.loss.at(0) == Approx(lse - s).epsilon(1e-6));
    // p_same and p_other are a row's probabilities; dlog_scale = s (Σ p_same - 1), dimage of a row of class 0
    // sums over its own texts, minus its positive.
    const double same = quarter * std::exp(s - lse), other = quarter * std::exp(-lse);
    REQUIRE(p.dlog_scale.at(0) - Problem::kLogScaleGradientBefore == Approx(s * (same - 1)).epsilon(1e-4));
    // All probabilities of a kind are equal, and so are their errors when rounded to bf16.
    const double error = s / n * same * 2 * roundoff(DType::bf16);
    for (const Buffer* gradient : {&p.dimage, &p.dtext}) {
      REQUIRE(gradient->at(0) == Approx(s / n * (same - 1)).margin(error).epsilon(0));
      REQUIRE(gradient->at((n - 4) * 4 + 1) == Approx(s / n * other).margin(error).epsilon(0));
    }
    // On the CPU 130 strips would hold 17 MiB of column statistics: they are merged into 64 or fewer. On CUDA
    // 130 groups of either side would hold 33 MiB, and a block of gradients has 64.
    REQUIRE(scratch.capacity() < (on_cuda() ? size_t{66} : size_t{20}) << 20);
  }
}
#endif

TEST_CASE("contrastive loss propagates NaN, whatever its payload") {
  for (const uint32_t bits : {0x7fc00000u, 0xffffffffu}) {
    TestContext ctx;
    Problem p = Problem::random({40, 40, 8}, DType::f32, 10);
    p.image.edit<float>()[21 * 8 + 3] = std::bit_cast<float>(bits);
    for_each_target([&](const ExecContext& target_ctx, const std::string& target) {
      INFO(target);
      p.reset_outputs();
      p.forward(target_ctx);
      REQUIRE(std::isnan(p.loss.at(0)));
      for (int64_t i = 0; i < 40; ++i) {
        REQUIRE(std::isnan(p.row_lse.at(i)) == (i == 21));
        REQUIRE(std::isnan(p.column_lse.at(i)));
      }
      p.backward(target_ctx);
      REQUIRE(std::isnan(p.dlog_scale.at(0)));
      REQUIRE(std::isnan(p.dimage.at(21 * 8)));
      REQUIRE(std::isnan(p.dtext.at(0)));
    });
  }
}

TEST_CASE("contrastive loss refuses wrong shapes and says which") {
  TestContext ctx;
  Problem p = Problem::random({3, 5, 4, 2}, DType::f32, 10);
  auto f = p.forward_params();
  f.label_offset = 3;
  REQUIRE_THROWS_WITH(
      contrastive_loss_forward(f, ctx),
      "contrastive_loss_forward: rows 3 to 5 need a text each, but text has 5 rows (label_offset 3)");
  f = p.forward_params();
  f.row_lse = p.column_lse.view();
  REQUIRE_THROWS_WITH(contrastive_loss_forward(f, ctx),
                      "contrastive_loss_forward: row_lse must be [3], got [5]");
  f = p.forward_params();
  const Buffer narrow = Buffer::zeros({5, 4}, DType::bf16);
  f.text = narrow.view();
  REQUIRE_THROWS_WITH(contrastive_loss_forward(f, ctx),
                      "contrastive_loss_forward: text must be f32, got bf16");
  f = p.forward_params();
  f.image = with_padded_rows(p.image);
  REQUIRE_THROWS_AS(contrastive_loss_forward(f, ctx), InputError);
  const Buffer empty = Buffer::zeros({0, 4}, DType::f32);
  f = p.forward_params();
  f.image = empty.view();
  REQUIRE_THROWS_WITH(
      contrastive_loss_forward(f, ctx),
      "contrastive_loss_forward: image must have at least one row and one feature, got [0, 4]");
  auto b = p.backward_params();
  b.dtext = p.dimage.view();
  REQUIRE_THROWS_WITH(contrastive_loss_backward(b, ctx),
                      "contrastive_loss_backward: dtext must be [5, 4], got [3, 4]");
  b = p.backward_params();
  b.dloss = TensorView();
  REQUIRE_THROWS_WITH(contrastive_loss_backward(b, ctx),
                      "contrastive_loss_backward: dloss is missing, expected f32 [1]");
}
