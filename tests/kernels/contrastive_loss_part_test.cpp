// labels: threads
// The contrastive loss in parts: statistics and gradients of some rows and columns.
#include "kernels/contrastive_loss/contrastive_loss_part.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/contrastive_loss_merge_problem.h"
#include "tests/support/contrastive_loss_problem.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_contrastive_loss.h"
#include "tests/support/word_sets.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::ContrastiveLossCase;

namespace {

constexpr float kLowest = -3.4028235e38f;
constexpr double kLogitSumBefore = 3.0;

// No positive, all of them, some; positives that lie behind the last column but in its tile, or before the
// first; odd sizes, beyond the tiles of both devices; rows that can be read in whole vectors.
std::vector<ContrastiveLossCase> part_cases() {
  return {{1, 1, 1, 0},        {1, 1, 3, 5},          {7, 5, 3, -2},       {5, 6, 3, 3},
          {33, 33, 64, 0},     {33, 33, 64, -33},     {33, 33, 64, 33},    {257, 130, 67, 100},
          {150, 300, 72, -20}, {130, 1103, 40, 1050}, {3, 16500, 8, 16498}};
}

struct Part {
  Part(const ContrastiveLossCase& c, DType dtype, double scale, int64_t pairs, double dloss)
      : in(c, unit_rows(c.rows, c.depth, dtype), unit_rows(c.columns, c.depth, dtype), std::log(scale),
           dloss),
        pairs(pairs) {
    reset();
  }

  void set_words(const std::vector<WordSet>& image, const std::vector<WordSet>& text) {
    in.image_words = buffer_of(image);
    in.text_words = buffer_of(text);
  }
  // Sets of few words; images have those of their positives, where there is one.
  void set_random_words() {
    std::vector<WordSet> text = random_sets(in.c.columns, 12, 4), image = random_sets(in.c.rows, 12, 4);
    for (int64_t i = 0; i < in.c.rows; ++i) {
      const int64_t j = in.c.label_offset + i;
      if (j >= 0 && j < in.c.columns) image[static_cast<size_t>(i)] = text[static_cast<size_t>(j)];
    }
    set_words(image, text);
  }
  // What backward adds to.
  void reset() {
    const int64_t rows = in.c.rows, columns = in.c.columns;
    for (Buffer* b : {&row_max, &row_sum, &positive}) *b = Buffer::poisoned({rows}, DType::f32);
    for (Buffer* b : {&column_max, &column_sum}) *b = Buffer::poisoned({columns}, DType::f32);
    dimage = dimage_before;
    dtext = dtext_before;
    logit_sum = OnDevice<double>({kLogitSumBefore});
  }

  ContrastiveLossPartForward forward_params() const {
    const auto f = in.forward_params();
    return {.image = f.image,
            .text = f.text,
            .log_scale = f.log_scale,
            .label_offset = f.label_offset,
            .image_words = f.image_words,
            .text_words = f.text_words,
            .row_max = row_max.view(),
            .row_sum = row_sum.view(),
            .column_max = column_max.view(),
            .column_sum = column_sum.view(),
            .positive = positive.view()};
  }
  ContrastiveLossPartBackward backward_params() const {
    const auto b = in.backward_params();
    return {.image = b.image,
            .text = b.text,
            .log_scale = b.log_scale,
            .label_offset = b.label_offset,
            .image_words = b.image_words,
            .text_words = b.text_words,
            .row_lse = b.row_lse,
            .column_lse = b.column_lse,
            .dloss = b.dloss,
            .pairs = pairs,
            .dimage = dimage.view(),
            .dtext = dtext.view(),
            .logit_sum = logit_sum.view()};
  }

  ContrastiveLossProblem in;
  int64_t pairs;
  Buffer row_max = in.loss, row_sum = in.loss, positive = in.loss, column_max = in.loss, column_sum = in.loss;
  Buffer dimage_before = Buffer::normal(in.image.shape(), DType::f32),
         dtext_before = Buffer::normal(in.text.shape(), DType::f32);
  Buffer dimage = in.loss, dtext = in.loss;
  OnDevice<double> logit_sum{{0.0}};
};

// log Σ exp, as maximum and sum say. Where all is left out they are what the contract says.
std::vector<double> lse_of(const Buffer& max, const Buffer& sum) {
  std::vector<double> lse;
  for (int64_t i = 0; i < max.elements(); ++i) {
    if (sum.at(i) == 0) REQUIRE(max.at(i) == kLowest);
    lse.push_back(max.at(i) + std::log(sum.at(i)));
  }
  return lse;
}

void check_statistics(const Part& p, const ContrastiveLossResult& expected) {
  // As in contrastive_loss_problem.cpp, but that the maximum and the logarithm are added in f64.
  const Tolerance t{p.in.logit_error() + 64 * roundoff(DType::f32), 2 * roundoff(DType::f32)};
  for (const Buffer* b : {&p.row_max, &p.row_sum, &p.column_max, &p.column_sum}) b->check_guards();
  const auto close = [&](const char* what, const std::vector<double>& lse, const std::vector<double>& e) {
    for (size_t i = 0; i < lse.size(); ++i) {
      INFO(what << " " << i << ": " << lse[i] << ", expected " << e[i]);
      REQUIRE((lse[i] == e[i] || std::abs(lse[i] - e[i]) <= t.absolute + t.relative * std::abs(e[i])));
    }
  };
  close("row", lse_of(p.row_max, p.row_sum), expected.row_lse);
  close("column", lse_of(p.column_max, p.column_sum), expected.column_lse);
  expect_close("positive", p.positive, expected.positive, t);
}

// Log-sum-exps of a matrix that the part is of: its own, and as much again.
std::vector<double> of_whole(const std::vector<double>& lse) {
  std::vector<double> whole;
  for (const double x : lse) whole.push_back(static_cast<float>(x + std::log(2.0)));
  return whole;
}

void check_gradients(const Part& p, const ContrastiveLossGradients& expected, bool tf32) {
  // As in contrastive_loss_problem.cpp; each addition to what was there, of up to 5, is rounded.
  const DType dtype = p.in.image.dtype();
  const double term = 2 * p.in.logit_error() + 356 * roundoff(DType::f32) +
                      (dtype == DType::bf16 ? roundoff(dtype)
                       : tf32               ? 0x1p-11
                                            : 0.0);
  const double sums = 5 * 16 * roundoff(DType::f32);
  const auto added = [](const Buffer& before, std::vector<double> gradient) {
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] += before.at(static_cast<int64_t>(i));
    return gradient;
  };
  expect_close("dimage", p.dimage, added(p.dimage_before, expected.dimage),
               {term * expected.dimage_terms + sums, 0});
  expect_close("dtext", p.dtext, added(p.dtext_before, expected.dtext),
               {term * expected.dtext_terms + sums, 0});
  REQUIRE(p.logit_sum.at(0) == Approx(kLogitSumBefore + expected.dlog_scale)
                                   .margin(term * expected.dlog_scale_terms + 1e-15)
                                   .epsilon(0));
}

void check_both_directions(Part p, bool tf32 = false) {
  const auto inputs = p.in.reference_inputs(tf32);
  const auto result = ref_contrastive_loss_part(inputs);
  const auto row_lse = of_whole(result.row_lse), column_lse = of_whole(result.column_lse);
  p.in.row_lse = Buffer::from({p.in.c.rows}, DType::f32, row_lse);
  p.in.column_lse = Buffer::from({p.in.c.columns}, DType::f32, column_lse);
  // The reference's share is that of a matrix of as many rows.
  const double dloss = p.in.dloss.at(0) * static_cast<double>(p.in.c.rows) / static_cast<double>(p.pairs);
  const auto gradients = ref_contrastive_loss_gradients(inputs, row_lse, column_lse, dloss);
  for_each_target([&](ExecContext ctx, const std::string& target) {
    INFO(target << " " << p.in.c.to_string());
    if (tf32) ctx = with_tf32(ctx);
    p.reset();
    contrastive_loss_part_forward(p.forward_params(), ctx);
    check_statistics(p, result);
    contrastive_loss_part_backward(p.backward_params(), ctx);
    check_gradients(p, gradients, tf32);
  });
}

}  // namespace

TEST_CASE("parts of the contrastive loss match float64, f32") {
  for (const auto& c : part_cases()) {
    Part p(c, DType::f32, 1 / 0.07, 1000, -0.7);
    check_both_directions(p);
    p.set_random_words();
    check_both_directions(p);
  }
}

TEST_CASE("parts of the contrastive loss match float64, bf16") {
  for (const auto& c : part_cases()) {
    Part p(c, DType::bf16, 1 / 0.07, 1000, 2.0);
    check_both_directions(p);
    p.set_random_words();
    check_both_directions(p);
  }
}

TEST_CASE("parts of the contrastive loss match float64, tf32") {
  CUCLIP_NEEDS_CUDA();
  for (const auto& c : part_cases()) {
    if (c.columns <= 1103) check_both_directions(Part(c, DType::f32, 1 / 0.07, 1000, -0.7), true);
  }
}

TEST_CASE("parts of the contrastive loss match float64 at scale 100") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto& c : {ContrastiveLossCase{300, 300, 2, 0}, {300, 300, 2, 300}, {65, 65, 2, -5}}) {
      check_both_directions(Part(c, dtype, 100, c.rows, 1.0));
    }
  }
}

TEST_CASE("a part of the contrastive loss needs no gradient of its images") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TestContext ctx;
    Part p({150, 170, 72, 9}, dtype, 20, 300, 1.0);
    contrastive_loss_part_forward(p.forward_params(), ctx);
    p.in.row_lse = Buffer::from({150}, DType::f32, of_whole(lse_of(p.row_max, p.row_sum)));
    p.in.column_lse = Buffer::from({170}, DType::f32, of_whole(lse_of(p.column_max, p.column_sum)));
    contrastive_loss_part_backward(p.backward_params(), ctx);
    const Buffer dtext = p.dtext;
    const double logit_sum = p.logit_sum.at(0);
    p.reset();
    auto b = p.backward_params();
    b.dimage = TensorView();
    contrastive_loss_part_backward(b, ctx);
    REQUIRE(p.dtext.same_bits(dtext));
    REQUIRE_FALSE(p.dtext.same_bits(p.dtext_before));
    REQUIRE(p.logit_sum.at(0) == logit_sum);
  }
}

TEST_CASE("parts of the contrastive loss say where every pair is left out") {
  // The sets of rows and columns 0 to 4 are all the same, the others' empty; no positives. At rows 0 to 4 and
  // columns 0 to 4 only the others are left.
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Part p({5, 40, 6, 100}, dtype, 10, 300, 1.0);
    std::vector<WordSet> same(5, WordSet{1, 2, 3, 4}), text(40);
    std::fill_n(text.begin(), 5, WordSet{1, 2, 3, 4});
    p.set_words(same, text);
    check_both_directions(p);
    TestContext ctx;
    contrastive_loss_part_forward(p.forward_params(), ctx);
    for (int64_t j = 0; j < 40; ++j) {
      REQUIRE((p.column_max.at(j) == kLowest) == (j < 5));
      REQUIRE((p.column_sum.at(j) == 0.0) == (j < 5));
    }
    for (int64_t i = 0; i < 5; ++i) REQUIRE(p.row_sum.at(i) >= 1.0);
  }
}

TEST_CASE("parts of the contrastive loss have the same bits for any number of threads") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Part p({700, 1300, 33, 100}, dtype, 30, 2000, 1.0);
    p.set_random_words();
    p.in.row_lse = Buffer::normal({700}, DType::f32, 1.0, 40.0);
    p.in.column_lse = Buffer::normal({1300}, DType::f32, 1.0, 40.0);
    std::vector<double> sums;
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) {
      p.reset();
      contrastive_loss_part_forward(p.forward_params(), ctx);
      contrastive_loss_part_backward(p.backward_params(), ctx);
      sums.push_back(p.logit_sum.at(0));
      return std::vector{p.row_max, p.row_sum, p.column_max, p.column_sum, p.positive, p.dimage, p.dtext};
    }));
    REQUIRE(sums == std::vector(3, sums[0]));
  }
}

TEST_CASE("parts of the contrastive loss propagate NaN") {
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    Part p({40, 50, 8, 3}, DType::f32, 10, 100, 1.0);
    p.in.image.set(21 * 8 + 3, NAN);
    contrastive_loss_part_forward(p.forward_params(), ctx);
    for (int64_t i = 0; i < 40; ++i) REQUIRE(std::isnan(p.row_sum.at(i)) == (i == 21));
    for (int64_t j = 0; j < 50; ++j) REQUIRE(std::isnan(p.column_sum.at(j)));
    ContrastiveLossMergeProblem m(2, 40, 1);
    for (int64_t i = 0; i < 40; ++i) {
      m.max.set(i, p.row_max.at(i));
      m.sum.set(i, p.row_sum.at(i));
    }
    contrastive_loss_merge(m.params(), ctx);
    for (int64_t i = 0; i < 40; ++i) REQUIRE(std::isnan(m.lse.at(i)) == (i == 21));
    REQUIRE(std::isnan(m.losses.at(0)));
    p.in.row_lse = m.lse;
    p.in.column_lse = Buffer::zeros({50}, DType::f32);
    contrastive_loss_part_backward(p.backward_params(), ctx);
    for (int64_t i = 0; i < 40; ++i) REQUIRE(std::isnan(p.dimage.at(i * 8)) == (i == 21));
    for (int64_t j = 0; j < 50; ++j) REQUIRE(std::isnan(p.dtext.at(j * 8)));
    REQUIRE(std::isnan(p.logit_sum.at(0)));
  });
}

TEST_CASE("parts of the contrastive loss refuse wrong arguments and say which") {
  TestContext ctx;
  Part p({3, 5, 4, 2}, DType::f32, 10, 10, 1.0);
  auto f = p.forward_params();
  f.column_sum = p.row_sum.view();
  REQUIRE_THROWS_WITH(contrastive_loss_part_forward(f, ctx),
                      "contrastive_loss_part_forward: column_sum must be [5], got [3]");
  f = p.forward_params();
  f.positive = TensorView();
  REQUIRE_THROWS_WITH(contrastive_loss_part_forward(f, ctx),
                      "contrastive_loss_part_forward: positive is missing, expected f32 [3]");
  const Buffer none = Buffer::zeros({0, 4}, DType::f32);
  f = p.forward_params();
  f.text = none.view();
  REQUIRE_THROWS_WITH(contrastive_loss_part_forward(f, ctx),
                      "contrastive_loss_part_forward: text must have at least one row, got [0, 4]");
  auto b = p.backward_params();
  b.pairs = 0;
  REQUIRE_THROWS_WITH(contrastive_loss_part_backward(b, ctx),
                      "contrastive_loss_part_backward: pairs must be at least 1, got 0");
  b = p.backward_params();
  b.logit_sum = {};
  REQUIRE_THROWS_WITH(contrastive_loss_part_backward(b, ctx),
                      "contrastive_loss_part_backward: logit_sum must have 1 element, got 0");
  Part narrow({3, 5, 4, 2}, DType::bf16, 10, 10, 1.0);
  b = narrow.backward_params();
  b.dimage = narrow.in.image.view();
  REQUIRE_THROWS_WITH(contrastive_loss_part_backward(b, ctx),
                      "contrastive_loss_part_backward: dimage must be f32, got bf16");
}
