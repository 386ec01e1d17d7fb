#include "train/data/probe_eval.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"
#include "train/data/labelled_features.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Names = std::vector<std::string>;

const Names kClasses = {"cat", "dog", "old house"};

// `count` samples of each class, on its own axis, so far from the others that a probe errs on none.
ProbeSamples distinct_samples(int64_t count) {
  std::normal_distribution<float> normal(0.0f, 0.05f);
  ProbeSamples samples{.features = {}, .labels = {}, .width = 5};
  for (int64_t i = 0; i < 3 * count; ++i) {
    samples.labels.push_back(static_cast<int32_t>(i % 3));
    for (int64_t d = 0; d < 5; ++d) samples.features.push_back((d == i % 3 ? 1.0f : 0.0f) + normal(rng()));
  }
  return samples;
}

// The same, but the classes lie on one another in part, so that accuracies differ from draw to draw.
ProbeSamples overlapping_samples(int64_t count) {
  ProbeSamples samples = distinct_samples(count);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  for (float& x : samples.features) x += normal(rng());
  return samples;
}

TEST_CASE("a split takes a share of each class, and never all of it") {
  std::vector<int32_t> labels;
  for (const auto& [label, count] : {std::pair{0, 10}, {1, 1}, {2, 25}, {4, 2}}) {
    for (int i = 0; i < count; ++i) labels.push_back(label);
  }
  std::shuffle(labels.begin(), labels.end(), rng());
  const auto taken_of = [&](const ClassSplit& split, int32_t label) {
    return std::count_if(split.taken.begin(), split.taken.end(),
                         [&](int64_t i) { return labels[static_cast<size_t>(i)] == label; });
  };
  const ClassSplit split = split_by_class(labels, 5, 0.2, 7);
  CHECK(taken_of(split, 0) == 2);
  CHECK(taken_of(split, 1) == 0);
  CHECK(taken_of(split, 2) == 5);
  CHECK(taken_of(split, 4) == 0);
  CHECK(std::is_sorted(split.taken.begin(), split.taken.end()));
  CHECK(std::is_sorted(split.rest.begin(), split.rest.end()));
  std::set<int64_t> all(split.taken.begin(), split.taken.end());
  all.insert(split.rest.begin(), split.rest.end());
  CHECK(all.size() == labels.size());
  CHECK(split.taken.size() + split.rest.size() == labels.size());
  CHECK(split_by_class(labels, 5, 0.2, 7).taken == split.taken);
  CHECK(split_by_class(labels, 5, 0.2, 8).taken != split.taken);
  CHECK(taken_of(split_by_class(labels, 5, 0.99, 7), 4) == 1);
}

TEST_CASE("a probe is chosen on a part, fitted on all and measured on the test") {
  ThreadPool pool(2);
  const ProbeSamples train = distinct_samples(20), test = distinct_samples(7);
  const ProbeResult result = evaluate_probe(pool, train, test, kClasses);
  CHECK(result.train_samples == 60);
  CHECK(result.val_samples == 12);
  CHECK(result.val_accuracy == 1.0);
  CHECK(result.test.pictures == 21);
  CHECK(result.test.top1 == 1);
  CHECK(result.test.class_pictures == std::vector<int64_t>{7, 7, 7});
  // The same by its parts.
  const ClassSplit split = split_by_class(train.labels, 3, 0.2, 1);
  const LambdaChoice choice = choose_lambda(pool, train.chosen(split.rest), train.chosen(split.taken), 3);
  CHECK(choice.lambda == result.lambda);
  const LinearProbe probe = fit_linear_probe(pool, train, 3, {.lambda = choice.lambda});
  CHECK(probe.iterations == result.iterations);
  CHECK(probe.gradient_norm == result.gradient_norm);
  CHECK(probe.converged == result.converged);
  const auto json = to_json(result, kClasses);
  CHECK(json["lambda"] == result.lambda);
  CHECK(json["validation_pictures"] == 12);
  CHECK(json["gradient_norm"] == result.gradient_norm);
  CHECK(json["converged"] == result.converged);
  CHECK(json["training_pictures"] == 60);
  CHECK(json["top1"] == 1);
  CHECK(json["classes"][2]["class"] == "old house");
}

TEST_CASE("a given lambda needs no validation") {
  ThreadPool pool(1);
  const ProbeResult result =
      evaluate_probe(pool, distinct_samples(1), distinct_samples(5), kClasses, {.lambda = 0.01});
  CHECK(result.lambda == 0.01);
  CHECK(result.val_samples == 0);
  CHECK(result.train_samples == 3);
  CHECK(result.test.top1 == 1);
  CHECK(to_json(result, kClasses)["validation_accuracy"].is_null());
}

TEST_CASE("shots are of each class alike, the fewer among the more, and none is validated on") {
  const ProbeSamples train = distinct_samples(20);
  const ClassSplit split = validation_split(train.labels, 3, {.lambda = {}, .val_fraction = 0.25, .seed = 7});
  REQUIRE(split.taken.size() == 15);
  const auto draw = [&](int64_t shots, uint64_t seed, int64_t number) {
    const std::vector<int64_t> drawn = draw_shots(train.labels, split.rest, kClasses, shots, seed, number);
    CHECK(std::is_sorted(drawn.begin(), drawn.end()));
    CHECK(std::set(drawn.begin(), drawn.end()).size() == static_cast<size_t>(3 * shots));
    for (int32_t c = 0; c < 3; ++c) {
      CHECK(std::count_if(drawn.begin(), drawn.end(),
                          [&](int64_t i) { return train.labels.at(static_cast<size_t>(i)) == c; }) == shots);
    }
    for (const int64_t i : drawn) CHECK(std::binary_search(split.rest.begin(), split.rest.end(), i));
    return drawn;
  };
  for (const uint64_t seed : {1, 2}) {
    for (const int64_t number : {0, 1, 2}) {
      const std::vector<int64_t> one = draw(1, seed, number), four = draw(4, seed, number),
                                 nine = draw(9, seed, number);
      CHECK(std::includes(four.begin(), four.end(), one.begin(), one.end()));
      CHECK(std::includes(nine.begin(), nine.end(), four.begin(), four.end()));
      CHECK(draw(4, seed, number) == four);
    }
  }
  CHECK(draw(4, 1, 0) != draw(4, 2, 0));
  CHECK(draw(4, 1, 0) != draw(4, 1, 1));
  CHECK(draw(15, 1, 0) == split.rest);
  CHECK_THROWS_WITH(draw_shots(train.labels, split.rest, kClasses, 16, 1, 0),
                    Contains("15 training pictures"));
}

TEST_CASE("a few-shot probe is fitted on the shots of its draw alone, and each fit is counted") {
  ThreadPool pool(2);
  const ProbeSamples train = overlapping_samples(20), test = overlapping_samples(40);
  for (const ProbeSettings& settings :
       {ProbeSettings{.lambda = {}, .seed = 5}, ProbeSettings{.lambda = 0.1, .seed = 5}}) {
    const std::vector<int64_t> shots = {2, 5};
    int64_t last = 0;
    const auto scores = evaluate_few_shot(pool, train, test, kClasses, shots, 2, settings, [&](int64_t done) {
      CHECK(done > last);
      last = done;
    });
    CHECK(last == 4 * fits_of_probe(settings));
    const ClassSplit split = validation_split(train.labels, 3, settings);
    for (size_t s = 0; s < 2; ++s) {
      int64_t unconverged = 0;
      for (size_t d = 0; d < 2; ++d) {
        const ProbeSamples few = train.chosen(
            draw_shots(train.labels, split.rest, kClasses, shots[s], 5, static_cast<int64_t>(d)));
        const LinearProbe probe = fit_linear_probe(pool, few, 3, {.lambda = scores[s].lambdas[d]});
        CHECK(apply_probe(pool, probe, test).accuracy == scores[s].top1[d]);
        unconverged += !probe.converged;
      }
      CHECK(scores[s].unconverged == unconverged);
    }
  }
}

TEST_CASE("few-shot scores have the draws' mean and spread") {
  ThreadPool pool(2);
  const ProbeSamples train = overlapping_samples(20), test = overlapping_samples(40);
  const std::vector<int64_t> shots = {1, 4, 16};
  const std::vector<FewShotScore> scores = evaluate_few_shot(pool, train, test, kClasses, shots, 3);
  REQUIRE(scores.size() == 3);
  for (const FewShotScore& score : scores) {
    REQUIRE(score.top1.size() == 3);
    REQUIRE(score.lambdas.size() == 3);
    const double mean = (score.top1[0] + score.top1[1] + score.top1[2]) / 3;
    double squares = 0;
    for (const double x : score.top1) squares += (x - mean) * (x - mean);
    CHECK(score.mean == Approx(mean));
    CHECK(score.spread == Approx(std::sqrt(squares / 2)).margin(1e-12));
  }
  // 16 of the 16 that are not in the validation split: all draws are the same.
  CHECK(scores[2].spread == Approx(0).margin(1e-12));
  const auto again = evaluate_few_shot(pool, train, test, kClasses, shots, 3);
  for (size_t i = 0; i < 3; ++i) CHECK(again[i].top1 == scores[i].top1);
  const auto json = to_json(scores);
  CHECK(json[1]["shots"] == 4);
  CHECK(json[1]["draws"].size() == 3);
  CHECK(json[1]["unconverged"] == scores[1].unconverged);
  CHECK(to_json(evaluate_few_shot(pool, train, test, kClasses, std::vector<int64_t>{2}, 1))[0]["spread"]
            .is_null());
}

TEST_CASE("what cannot be learnt is refused by its class's name") {
  ThreadPool pool(1);
  const ProbeSamples train = distinct_samples(6), test = distinct_samples(2);
  const auto refused = [&](const ProbeSamples& learn, const ProbeSamples& ask, const Names& classes,
                           const std::string& mention, const ProbeSettings& settings = {}) {
    CHECK_THROWS_WITH(evaluate_probe(pool, learn, ask, classes, settings), Contains(mention));
    CHECK_THROWS_AS(evaluate_probe(pool, learn, ask, classes, settings), InputError);
  };
  ProbeSamples one{.features = {1, 2}, .labels = {0, 0}, .width = 1};
  refused(one, one, {"cat"}, "at least two classes, found 1 class");
  std::vector<int64_t> without;
  for (int64_t i = 0; i < train.count(); ++i) {
    if (i % 3 != 2) without.push_back(i);
  }
  refused(train.chosen(without), test, kClasses,
          "the class \"old house\" has no training picture (2 to test)");
  refused(distinct_samples(2), test, kClasses, "at least 2 pictures to choose lambda on, found 0");
  refused(train, test, kClasses, "found 0", {.lambda = {}, .val_fraction = 0.01});
  ProbeSamples damaged = train;
  damaged.features[4 * 5] = std::numeric_limits<float>::quiet_NaN();
  refused(damaged, test, kClasses, "training picture 4 are not all finite");
  refused(train, damaged, kClasses, "test picture 4 are not all finite");
  CHECK_THROWS_WITH(evaluate_few_shot(pool, train, test, kClasses, std::vector<int64_t>{1, 6}, 3),
                    Contains("the class \"cat\" has 5 training pictures") && Contains("6 shots"));
}

TEST_CASE("synthetic pictures are labelled by what they show, and encoded before the projection") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const LabelledFeatures features = encode_synthetic_labelled(model, 90, 5);
  CHECK(features.samples.count() == 90);
  CHECK(features.samples.width == 16);
  CHECK(features.classes.size() > 20);
  CHECK(std::is_sorted(features.classes.begin(), features.classes.end()));
  std::set<int32_t> labels(features.samples.labels.begin(), features.samples.labels.end());
  CHECK(labels.size() == features.classes.size());
  CHECK(std::count(features.classes.begin(), features.classes.end(), "a red bicycle") == 0);
}

TEST_CASE("test pictures take the training's classes by name") {
  LabelledFeatures train, test;
  train.classes = train.class_labels = {"a", "b", "c"};
  test.class_labels = {"b", "c"};
  test.classes = {"B", "C"};
  test.samples.labels = {0, 1, 1};
  use_classes_of(train, test);
  CHECK(test.samples.labels == std::vector<int32_t>{1, 2, 2});
  CHECK(test.classes == train.classes);
  LabelledFeatures other;
  other.class_labels = other.classes = {"b", "wolf"};
  other.samples.labels = {1};
  CHECK_THROWS_WITH(use_classes_of(train, other), Contains("\"wolf\"") && Contains("3 to learn"));
}

}  // namespace
}  // namespace cuclip::test
