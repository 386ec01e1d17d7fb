// labels: threads
// The contrastive loss with sets of words, by which pairs are left out of it.
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/contrastive_loss/contrastive_loss.h"
#include "tests/cases/contrastive_loss_cases.h"
#include "tests/support/contrastive_loss_problem.h"
#include "tests/support/kernel_test.h"
#include "tests/support/ref_contrastive_loss.h"
#include "tests/support/word_sets.h"

using namespace cuclip;
using namespace cuclip::test;
using cases::ContrastiveLossCase;
using Problem = ContrastiveLossProblem;

namespace {

using Set = WordSet;

// Rows have the sets of the columns that are their positives, as the pictures of a batch have.
void set_words(Problem& p, const std::vector<Set>& columns) {
  const auto first = columns.begin() + p.c.label_offset;
  p.image_words = buffer_of({first, first + p.c.rows});
  p.text_words = buffer_of(columns);
}

Problem random_problem(const ContrastiveLossCase& c, DType dtype, double scale, double dloss = 1) {
  Problem p = Problem::random(c, dtype, scale, dloss);
  set_words(p, random_sets(c.columns, 12, 4));
  return p;
}

void check_both_directions(Problem p, bool tf32 = false) {
  const auto inputs = p.reference_inputs(tf32);
  const auto result = ref_contrastive_loss(inputs);
  const auto gradients =
      ref_contrastive_loss_gradients(inputs, result.row_lse, result.column_lse, p.dloss.at(0));
  for_each_target([&](ExecContext ctx, const std::string& target) {
    INFO(target << " " << p.c.to_string());
    if (tf32) ctx = with_tf32(ctx);
    p.reset_outputs();
    p.forward(ctx);
    check_forward(p, result);
    p.backward(ctx);
    check_backward(p, gradients, tf32);
  });
}

std::vector<Buffer> outputs_of(Problem p, const ExecContext& ctx) {
  p.reset_outputs();
  p.forward(ctx);
  p.backward(ctx);
  return p.outputs();
}

bool same_bits(const std::vector<Buffer>& a, const std::vector<Buffer>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Buffer& x, const Buffer& y) { return x.same_bits(y); });
}

}  // namespace

TEST_CASE("contrastive loss with words matches float64, f32") {
  for (const auto& c : cases::contrastive_loss_cases())
    check_both_directions(random_problem(c, DType::f32, 1 / 0.07, -0.7));
}

TEST_CASE("contrastive loss with words matches float64, bf16") {
  for (const auto& c : cases::contrastive_loss_cases())
    check_both_directions(random_problem(c, DType::bf16, 1 / 0.07, 2.0));
}

TEST_CASE("contrastive loss with words matches float64, tf32") {
  CUCLIP_NEEDS_CUDA();
  for (const auto& c : cases::contrastive_loss_cases())
    check_both_directions(random_problem(c, DType::f32, 1 / 0.07, -0.7), true);
}

TEST_CASE("contrastive loss with words matches float64 at scale 100 and beyond one block of rows") {
  for (const auto& c :
       cases_here(std::vector{ContrastiveLossCase{300, 300, 2}, cases::contrastive_loss_beyond_block()},
                  [](const ContrastiveLossCase& c) { return c.rows <= 300; })) {
    check_both_directions(random_problem(c, on_cuda() ? DType::bf16 : DType::f32, 100));
  }
}

TEST_CASE("contrastive loss sees every bit of both sets") {
  // Text j has bits j and j + 1, image i the bit i alone, or the other way round: the pairs (i, i − 1) are
  // left out, and none else, since (i, i) is the positive. Then all have the first and the last bit too, so
  // that it is the bits between them that count.
  for (const auto& [image_is_smaller, with_ends] :
       {std::pair(true, false), std::pair(false, false), std::pair(true, true), std::pair(false, true)}) {
    Problem p = Problem::random({128, 128, 9}, DType::f32, 20);
    std::vector<Set> one(128), two(128);
    for (uint32_t i = 0; i < 128; ++i) {
      for (Set* set : {&one[i], &two[i]}) {
        add_bit(*set, i);
        if (with_ends) add_bit(*set, 0);
        if (with_ends) add_bit(*set, 127);
      }
      add_bit(two[i], (i + 1) % 128);
    }
    p.image_words = buffer_of(image_is_smaller ? one : two);
    p.text_words = buffer_of(image_is_smaller ? two : one);
    const auto inputs = p.reference_inputs();
    for (int64_t i = 0; i < 128; ++i) {
      const int64_t j = (i + (image_is_smaller ? 127 : 1)) % 128;
      REQUIRE(ref_left_out(inputs, i, j));
      REQUIRE_FALSE(ref_left_out(inputs, i, i));
    }
    check_both_directions(p);
  }
}

TEST_CASE("contrastive loss of pairs that all have the same words is 0") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const ContrastiveLossCase& c : {ContrastiveLossCase{1, 1, 3}, {37, 37, 5}, {300, 300, 8}}) {
      Problem p = Problem::random(c, dtype, 100);
      set_words(p, std::vector<Set>(static_cast<size_t>(c.columns), Set{0, 1u << 31, 0, 5}));
      for_each_target([&](const ExecContext& ctx, const std::string& target) {
        INFO(target << " " << c.to_string());
        p.reset_outputs();
        p.forward(ctx);
        p.backward(ctx);
        REQUIRE(p.loss.at(0) == 0.0);
        REQUIRE(p.row_lse.same_bits(p.positive));
        REQUIRE(p.column_lse.same_bits(p.positive));
        REQUIRE(p.dlog_scale.at(0) == Problem::kLogScaleGradientBefore);
        for (const double x : p.dimage.to_doubles()) REQUIRE(x == 0.0);
        for (const double x : p.dtext.to_doubles()) REQUIRE(x == 0.0);
      });
    }
  }
}

TEST_CASE("contrastive loss whose words leave nothing out has the bits of one without words") {
  const ContrastiveLossCase c{150, 260, 40, 70};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    TestContext ctx;
    Problem p = Problem::random(c, dtype, 30);
    const auto plain = outputs_of(p, ctx);
    set_words(p, std::vector<Set>(static_cast<size_t>(c.columns)));
    REQUIRE(same_bits(outputs_of(p, ctx), plain));
    // No set of three bits contains another one; nor do empty sets among them.
    std::vector<Set> sets(static_cast<size_t>(c.columns));
    for (uint32_t j = 0; j < sets.size(); ++j) {
      if (j % 7 == 3) continue;
      add_bit(sets[j], j % 64);
      add_bit(sets[j], 64 + j / 64);
      add_bit(sets[j], 127);
    }
    set_words(p, sets);
    REQUIRE(same_bits(outputs_of(p, ctx), plain));
  }
}

TEST_CASE("contrastive loss with words of ranks that share the rows is that of the whole matrix") {
  const int64_t ranks = 3, share = 50, n = ranks * share, depth = 20;
  TestContext ctx;
  Problem whole = random_problem({n, n, depth}, DType::f32, 20);
  whole.forward(ctx);
  whole.backward(ctx);

  const auto rows_of = [&](const Buffer& x, int64_t rank) {
    Buffer rows = Buffer::zeros({share, x.shape()[1]}, x.dtype());
    for (int64_t i = 0; i < rows.elements(); ++i) rows.set(i, x.at(rank * rows.elements() + i));
    return rows;
  };
  std::vector<Problem> parts;
  std::vector<double> column_sum(static_cast<size_t>(n)), column_lse, dtext(static_cast<size_t>(n * depth));
  for (int64_t r = 0; r < ranks; ++r) {
    Problem& part = parts.emplace_back(
        Problem({share, n, depth, r * share}, rows_of(whole.image, r), whole.text, whole.log_scale.at(0)));
    part.image_words = rows_of(*whole.image_words, r);
    part.text_words = whole.text_words;
    part.forward(ctx);
    for (int64_t j = 0; j < n; ++j) column_sum[static_cast<size_t>(j)] += std::exp(part.column_lse.at(j));
  }
  for (const double sum : column_sum) column_lse.push_back(std::log(sum));
  // An lse, up to 20, has roundings of 1e-6 each; gradients as in contrastive_loss_test.
  expect_close("column_lse", whole.column_lse, column_lse, {3e-5, 0});
  for (int64_t r = 0; r < ranks; ++r) {
    Problem& part = parts[static_cast<size_t>(r)];
    part.column_lse = Buffer::from({n}, DType::f32, column_lse);
    part.backward(ctx);
    for (int64_t i = 0; i < share; ++i) {
      REQUIRE(part.row_lse.at(i) == Approx(whole.row_lse.at(r * share + i)).epsilon(0).margin(3e-5));
    }
    std::vector<double> dimage = rows_of(whole.dimage, r).to_doubles();
    for (double& x : dimage) x *= ranks;
    expect_close("dimage", part.dimage, dimage, {9e-6, 1e-5});
    for (int64_t i = 0; i < n * depth; ++i) dtext[static_cast<size_t>(i)] += part.dtext.at(i) / ranks;
  }
  expect_close("dtext", whole.dtext, dtext, {3e-6, 1e-5});
}

TEST_CASE("a column of which every row is left out has no part in the loss") {
  // Text 4 belongs to no row, and contains every row's word.
  Problem p = Problem::random({4, 5, 6}, DType::f32, 10);
  std::vector<Set> sets(5);
  for (uint32_t j = 0; j < 4; ++j) {
    add_bit(sets[j], 40 * j % 128);
    add_bit(sets[4], 40 * j % 128);
  }
  set_words(p, sets);
  check_both_directions(p);
  TestContext ctx;
  p.forward(ctx);
  p.backward(ctx);
  REQUIRE(p.column_lse.at(4) == -INFINITY);
  for (int64_t k = 0; k < 6; ++k) REQUIRE(p.dtext.at(4 * 6 + k) == 0.0);
}

TEST_CASE("contrastive loss leaves out pairs whose logit is NaN") {
  // Image 1 is NaN. All but its own text are left out for it, so that only its row and its column know.
  Problem p = Problem::random({6, 6, 3}, DType::f32, 10);
  p.image.set(1 * 3 + 2, NAN);
  std::vector<Set> sets(6);
  for (uint32_t j = 0; j < 6; ++j) {
    add_bit(sets[j], 20 * j);
    add_bit(sets[1], 20 * j);
  }
  set_words(p, sets);
  for_each_target([&](const ExecContext& ctx, const std::string& target) {
    INFO(target);
    p.reset_outputs();
    p.forward(ctx);
    p.backward(ctx);
    for (int64_t i = 0; i < 6; ++i) {
      REQUIRE(std::isnan(p.row_lse.at(i)) == (i == 1));
      REQUIRE(std::isnan(p.column_lse.at(i)) == (i == 1));
      REQUIRE(std::isnan(p.dimage.at(i * 3)) == (i == 1));
    }
  });
}

TEST_CASE("contrastive loss gradients with words agree with finite differences of its forward") {
  TestContext ctx;
  Problem p = random_problem({37, 37, 24}, DType::f32, 5);
  p.forward(ctx);
  p.backward(ctx);
  const Problem at = p;
  // As in contrastive_loss_test: an error of some 3e-7 in a loss of about 3, and h² of the third derivative.
  const double h = 1e-2;
  const auto check = [&](Buffer& x, const Buffer& gradient, double before) {
    const Buffer direction = unit_rows(1, x.elements(), DType::f32), start = x;
    double losses[2], expected = 0;
    for (const int side : {0, 1}) {
      for (int64_t i = 0; i < x.elements(); ++i) x.set(i, start.at(i) + (side ? h : -h) * direction.at(i));
      p.forward(ctx);
      losses[side] = p.loss.at(0);
    }
    x = start;
    for (int64_t i = 0; i < x.elements(); ++i) expected += (gradient.at(i) - before) * direction.at(i);
    CHECK((losses[1] - losses[0]) / (2 * h) == Approx(expected).margin(2e-4).epsilon(2e-3));
  };
  for (int repeat = 0; repeat < 3; ++repeat) {
    check(p.image, at.dimage, 0);
    check(p.text, at.dtext, 0);
  }
  check(p.log_scale, at.dlog_scale, Problem::kLogScaleGradientBefore);
}

TEST_CASE("contrastive loss with words has the same bits for any number of threads") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Problem p = random_problem({700, 1300, 33, 100}, dtype, 30);
    REQUIRE(same_bits_for_any_thread_count([&](const ExecContext& ctx) { return outputs_of(p, ctx); }));
  }
}

TEST_CASE("contrastive loss refuses words of one side or of another shape") {
  TestContext ctx;
  Problem p = random_problem({3, 5, 4, 2}, DType::f32, 10);
  auto f = p.forward_params();
  f.text_words = TensorView();
  REQUIRE_THROWS_WITH(contrastive_loss_forward(f, ctx),
                      "contrastive_loss_forward: text_words is missing, expected i32 [5, 4]");
  f = p.forward_params();
  f.image_words = TensorView();
  REQUIRE_THROWS_WITH(contrastive_loss_forward(f, ctx),
                      "contrastive_loss_forward: image_words is missing, expected i32 [3, 4]");
  auto b = p.backward_params();
  b.image_words = p.text_words->view();
  REQUIRE_THROWS_WITH(contrastive_loss_backward(b, ctx),
                      "contrastive_loss_backward: image_words must be [3, 4], got [5, 4]");
}
