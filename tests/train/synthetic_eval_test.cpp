#include "train/data/synthetic_eval.h"

#include <catch2/catch.hpp>

#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

TEST_CASE("a model to which everything is the same answers no question") {
  Context context(2);
  const ClipModel model(context, tiny_config());  // all weights zero: all features are, and every similarity
  const std::vector<SyntheticScore> scores = evaluate_synthetic(model, tiny_tokenizer(), 10, 1);
  REQUIRE(scores.size() == std::size(kSyntheticQuestions));
  for (const SyntheticScore& score : scores) {
    CHECK(score.accuracy == 0);
    CHECK(score.chance > 0);
    CHECK(score.pictures == 10);
  }
}

TEST_CASE("scores depend only on the seed, and go by the questions' names") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const auto first = to_json(evaluate_synthetic(model, tiny_tokenizer(), 25, 7));
  CHECK(first == to_json(evaluate_synthetic(model, tiny_tokenizer(), 25, 7)));
  CHECK(first.contains("seen"));
  CHECK(first["negation"]["chance"].get<double>() == Approx(0.5));
  CHECK_THROWS_AS(evaluate_synthetic(model, tiny_tokenizer(), 0, 7), InputError);
}

}  // namespace
}  // namespace cuclip::test
