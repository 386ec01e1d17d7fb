// labels: threads
#include "core/ring_loss.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "kernels/contrastive_loss/contrastive_loss.h"
#include "tests/support/contrastive_loss_problem.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/word_sets.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {

// All pairs of a step: features of unit length, and sets of words.
struct Pairs {
  Pairs(int64_t count, int64_t depth, DType dtype, double scale)
      : count(count),
        depth(depth),
        dtype(dtype),
        log_scale(static_cast<float>(std::log(scale))),
        image(test::unit_rows(count, depth, dtype)),
        text(test::unit_rows(count, depth, dtype)),
        words(test::buffer_of(test::random_sets(count, 12, 4))) {}

  int64_t count, depth;
  DType dtype;
  float log_scale;
  test::Buffer image, text, words;
};

// The rows of a rank, as a tensor of its context.
Tensor share_of(Communicator& ranks, Context& context, const test::Buffer& all) {
  const TensorView whole = all.view();
  const int64_t rows = whole.size(0) / ranks.size();
  const Tensor own = Tensor::empty(context, {rows, whole.size(1)}, whole.dtype);
  std::memcpy(own.view().data,
              static_cast<const char*>(whole.data) + static_cast<size_t>(ranks.rank()) * own.bytes(),
              own.bytes());
  return own;
}

// What all ranks together have got; loss and scale's gradient of each.
struct Result {
  std::vector<float> losses, scale_gradients, image_gradient, text_gradient;
  std::vector<int64_t> sent;
  std::vector<size_t> memory;  // at most, besides the arguments
  bool operator==(const Result& other) const {
    return losses[0] == other.losses[0] && scale_gradients[0] == other.scale_gradients[0] &&
           image_gradient == other.image_gradient && text_gradient == other.text_gradient;
  }
};

struct How {
  int ranks = 1;
  int64_t leaves = 8;
  bool words = false;
  bool image_gradient = true;
  int threads = 1;
};

Result run(const Pairs& pairs, const How& how) {
  Result result;
  std::vector<std::vector<float>> image(static_cast<size_t>(how.ranks)), text = image;
  for (std::vector<float>* each : {&result.losses, &result.scale_gradients}) each->resize(image.size());
  result.sent.resize(image.size());
  result.memory.resize(image.size());
  test::run_ranks(how.ranks, [&](Communicator& ranks) {
    Context context(how.threads);
    const auto rank = static_cast<size_t>(ranks.rank());
    RingLossInput in{.image = share_of(ranks, context, pairs.image),
                     .text = share_of(ranks, context, pairs.text),
                     .words = how.words ? share_of(ranks, context, pairs.words) : Tensor(),
                     .log_scale = Tensor::full(context, {1}, pairs.log_scale),
                     .leaves = how.leaves,
                     .image_gradient = how.image_gradient};
    ring_loss(ranks, context, in);  // the kernels' scratch has grown
    const int64_t sent = ranks.bytes_sent();
    const size_t before = context.allocator().statistics().bytes_in_use;
    context.allocator().reset_peak();
    const RingLossResult out = ring_loss(ranks, context, in);
    result.memory[rank] =
        context.allocator().statistics().peak_in_use - before - context.exec().scratch->capacity();
    result.sent[rank] = ranks.bytes_sent() - sent;
    result.losses[rank] = out.loss.item();
    result.scale_gradients[rank] = out.log_scale_gradient.item();
    if (out.image_gradient) image[rank] = out.image_gradient.to_floats();
    text[rank] = out.text_gradient.to_floats();
  });
  for (const auto& part : image)
    result.image_gradient.insert(result.image_gradient.end(), part.begin(), part.end());
  for (const auto& part : text)
    result.text_gradient.insert(result.text_gradient.end(), part.begin(), part.end());
  for (const float loss : result.losses) REQUIRE(loss == result.losses[0]);
  for (const float gradient : result.scale_gradients) REQUIRE(gradient == result.scale_gradients[0]);
  return result;
}

}  // namespace

TEST_CASE("the loss of all ranks and its gradients are those of the whole matrix") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const double scale : {1.0, 14.3, 100.0}) {
      const bool words = GENERATE(false, true);
      CAPTURE(name_of(dtype), scale, words);
      const Pairs pairs(24, 37, dtype, scale);
      test::ContrastiveLossProblem whole({24, 24, 37, 0}, pairs.image, pairs.text,
                                         static_cast<double>(pairs.log_scale));
      if (words) whole.image_words = whole.text_words = pairs.words;
      const test::ContrastiveLossInputs in = whole.reference_inputs();
      const test::ContrastiveLossResult expected = test::ref_contrastive_loss(in);
      const test::ContrastiveLossGradients gradients =
          test::ref_contrastive_loss_gradients(in, expected.row_lse, expected.column_lse, 1);
      const Result result = run(pairs, {.ranks = 3, .leaves = 6, .words = words});
      // The whole matrix's own problem says how near is near enough; what it checks is put in place.
      whole.loss.set(0, static_cast<double>(result.losses[0]));
      for (size_t i = 0; i < expected.row_lse.size(); ++i) {
        const auto at = static_cast<int64_t>(i);
        whole.row_lse.set(at, expected.row_lse[i]);
        whole.column_lse.set(at, expected.column_lse[i]);
        whole.positive.set(at, expected.positive[i]);
      }
      check_forward(whole, expected);
      for (size_t i = 0; i < result.image_gradient.size(); ++i) {
        whole.dimage.set(static_cast<int64_t>(i), static_cast<double>(result.image_gradient[i]));
        whole.dtext.set(static_cast<int64_t>(i), static_cast<double>(result.text_gradient[i]));
      }
      whole.dlog_scale.set(0, static_cast<double>(result.scale_gradients[0]) +
                                  test::ContrastiveLossProblem::kLogScaleGradientBefore);
      check_backward(whole, gradients);
    }
  }
}

TEST_CASE("loss and gradients have the same bits for any number of ranks and threads") {
  struct Case {
    int64_t leaves;
    std::vector<int> ranks;
  };
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Case& c : {Case{8, {2, 4, 8}}, Case{3, {3}}, Case{6, {2, 3, 6}}, Case{16, {4}}}) {
      for (const int64_t leaf : {1, 5, 34}) {
        for (const bool words : {false, true}) {
          const Pairs pairs(c.leaves * leaf, 33, dtype, 20);
          const Result alone = run(pairs, {.leaves = c.leaves, .words = words});
          CHECK(run(pairs, {.leaves = c.leaves, .words = words, .threads = 2}) == alone);
          for (const int ranks : c.ranks) {
            CAPTURE(name_of(dtype), c.leaves, leaf, words, ranks);
            REQUIRE(run(pairs, {.ranks = ranks, .leaves = c.leaves, .words = words}) == alone);
            Result locked =
                run(pairs, {.ranks = ranks, .leaves = c.leaves, .words = words, .image_gradient = false});
            REQUIRE(locked.image_gradient.empty());
            locked.image_gradient = alone.image_gradient;
            REQUIRE(locked == alone);
          }
        }
      }
    }
  }
}

TEST_CASE("a rank sends and holds what the formulas say") {
  constexpr int64_t kLeaf = 48, kDepth = 64, kLeaves = 8, kPairs = kLeaf * kLeaves;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t e = static_cast<int64_t>(size_of(dtype));
    const Pairs pairs(kPairs, kDepth, dtype, 20);
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int64_t w : {0, 1}) {
        CAPTURE(name_of(dtype), ranks, w);
        const Result result = run(pairs, {.ranks = ranks, .words = w == 1});
        const int64_t n = kPairs / ranks, m = kLeaves / ranks;
        const int64_t sent = (ranks - 1) * (2 * n * (kDepth * e + 16 * w) + 8 * m * n + 4 * n + 24 * m) +
                             (ranks > 1 ? 4 * ranks * n * kDepth : 0);
        const int64_t forward =
            2 * n * (kDepth * e + 16 * w) + 24 * kLeaves * n + 4 * kPairs + 8 * n + 16 * kLeaves;
        const int64_t rounded = dtype == DType::bf16 ? 4 * n * kDepth : 0;
        const int64_t backward =
            2 * n * (kDepth * e + 16 * w) + 12 * n * kDepth + rounded + 4 * kPairs + 4 * n + 8 * kLeaves;
        // Each tensor is a multiple of 64 bytes, and some are single numbers.
        const int64_t most = std::max(forward, backward) + 32 * 64;
        for (const int64_t bytes : result.sent) CHECK(bytes == sent);
        for (const size_t bytes : result.memory) CHECK(static_cast<int64_t>(bytes) <= most);
      }
    }
  }
}

TEST_CASE("ranks that cannot share a loss are told why") {
  const Pairs pairs(12, 8, DType::f32, 10);
  CHECK_THROWS_WITH(run(pairs, {.ranks = 2, .leaves = 3}),
                    Contains("3 leaves cannot be shared by 2 ranks alike"));
  CHECK_THROWS_WITH(run(pairs, {.ranks = 1, .leaves = 8}),
                    Contains("12 pairs of a rank cannot be cut into 8 leaves"));
}
