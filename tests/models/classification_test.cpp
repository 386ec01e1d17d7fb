#include "models/inference/classification.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/common/check.h"

namespace cuclip::test {
namespace {

using Names = std::vector<std::string>;

// The probability of at most k successes of n with probability p each.
double binomial_up_to(int k, int n, double p) {
  double sum = 0;
  for (int i = 0; i <= k; ++i) {
    sum += std::exp(std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1) + i * std::log(p) +
                    (n - i) * std::log1p(-p));
  }
  return sum;
}

TEST_CASE("an interval's ends are the shares whose score is at the 97.5th percentile") {
  for (const auto& [right, count] :
       {std::pair{0, 1}, {1, 1}, {6, 6}, {0, 7}, {3, 7}, {30, 40}, {999, 1000}}) {
    const Interval interval = wilson_interval(right, count);
    const double share = static_cast<double>(right) / count;
    INFO(right << " of " << count << ": " << interval.low << " to " << interval.high);
    CHECK(interval.low <= share);
    CHECK(interval.high >= share);
    CHECK(interval.low >= 0);
    CHECK(interval.high <= 1);
    CHECK(interval.high - interval.low > 0);
    for (const double end : {interval.low, interval.high}) {
      if (end == share) continue;  // 0 or 1
      const double score = (share - end) / std::sqrt(end * (1 - end) / count);
      CHECK(std::abs(score) == Approx(1.959963984540054));
    }
    const Interval wrong = wilson_interval(count - right, count);
    CHECK(wrong.low == Approx(1 - interval.high).margin(1e-12));
    CHECK(wrong.high == Approx(1 - interval.low).margin(1e-12));
  }
  CHECK(wilson_interval(6, 6).low == Approx(0.6096657));
  CHECK(wilson_interval(6, 6).high == 1);
}

TEST_CASE("intervals hold the true share in about 95 of 100 samples") {
  for (const auto& [count, share] : {std::pair{40, 0.75}, {40, 0.97}, {500, 0.12}, {325, 0.3}}) {
    double held = 0;
    for (int right = 0; right <= count; ++right) {
      const Interval interval = wilson_interval(right, count);
      if (interval.low > share || interval.high < share) continue;
      held += binomial_up_to(right, count, share) - (right > 0 ? binomial_up_to(right - 1, count, share) : 0);
    }
    INFO(count << " of " << share);
    CHECK(held > 0.92);
    CHECK(held < 0.98);
  }
}

TEST_CASE("shares that are none have no interval") {
  for (const auto& [right, count] : {std::pair{0, 0}, {-1, 3}, {4, 3}})
    CHECK_THROWS_AS(wilson_interval(right, count), InputError);
}

TEST_CASE("metrics count the first, the first five, and each class") {
  const std::vector<int32_t> labels = {0, 1, 0, 2};
  const std::vector<int32_t> best = {0, 1, 2, 3, 4, 5, 0, 2, 3, 4, 5, 1, 1, 2, 3, 4, 0, 5, 2, 0, 1, 3, 4, 5};
  const ClassificationMetrics metrics = classification_metrics(best, labels, 7);
  CHECK(metrics.pictures == 4);
  CHECK(metrics.top1 == 0.5);
  CHECK(metrics.top5 == 0.75);  // the second picture's class comes sixth
  CHECK(metrics.predicted == std::vector<int32_t>{0, 0, 1, 2});
  CHECK(metrics.class_accuracy[0] == 0.5);
  CHECK(metrics.class_accuracy[1] == 0);
  CHECK(std::isnan(metrics.class_accuracy[6]));
  CHECK(metrics.mean_per_class == Approx(0.5));
  CHECK(metrics.top1_interval.low >= 0);
  CHECK(metrics.top1_interval.low < 0.5);
  CHECK(metrics.top1_interval.high > 0.5);
  const auto json = to_json(metrics, Names{"a", "b", "c", "d", "e", "f", "caf\xE9"});
  CHECK(json["top1_interval"].size() == 2);
  CHECK(json["classes"][6]["accuracy"].is_null());
  CHECK(json["classes"][6]["class_bytes"] == "caf%E9");
  CHECK(json["chance"] == 1.0 / 7);
  CHECK(json["top5"] == 0.75);
  CHECK(json["top5_interval"].size() == 2);
}

TEST_CASE("of five classes or fewer the first five say nothing") {
  const std::vector<int32_t> labels = {0, 1}, best = {0, 1, 2, 3, 4, 0, 1, 2, 3, 4};
  const Names names = {"a", "b", "c", "d", "e", "f"};
  for (const int64_t classes : {5, 6}) {
    const auto json = to_json(classification_metrics(best, labels, classes),
                              std::span(names).first(static_cast<size_t>(classes)));
    CHECK(json.contains("top5") == (classes == 6));
    CHECK(json.contains("top5_interval") == (classes == 6));
    CHECK(json["top1"] == 0.5);
  }
}

TEST_CASE("labels and classes that do not fit are refused") {
  const std::vector<int32_t> two = {0, 1}, one = {0}, three = {0, 1, 0}, outside = {0, 2}, negative = {-1, 0};
  CHECK_THROWS_AS(classification_metrics({}, {}, 2), InputError);
  CHECK_THROWS_AS(classification_metrics(three, two, 2), InputError);
  CHECK_THROWS_AS(classification_metrics(one, two, 2), InputError);
  CHECK_THROWS_AS(classification_metrics(two, outside, 2), InputError);
  CHECK_THROWS_AS(classification_metrics(two, negative, 2), InputError);
}

TEST_CASE("a confusion table has a row for each class with pictures") {
  const std::vector<int32_t> labels = {0, 0, 0, 0, 2}, predicted = {0, 1, 1, 1, 2};
  const ConfusionTable table =
      confusion_table(classification_metrics(predicted, labels, 3), Names{"a", "b", "c"}, 3);
  CHECK(table.rows == Names{"a", "c"});
  CHECK(table.columns == Names{"a", "b", "c"});
  CHECK(table.shares == std::vector<float>{0.25f, 0.75f, 0, 0, 0, 1});
}

TEST_CASE("of many classes a confusion table has those with the most mistakes, and the others' sum") {
  // Class 3 is taken for 1 three times, 4 for 0 once, 2 is always right.
  const std::vector<int32_t> labels = {0, 1, 2, 2, 3, 3, 3, 3, 4}, predicted = {0, 1, 2, 2, 1, 1, 1, 2, 0};
  const Names classes = {"a", "b", "c", "d", "e"};
  const ConfusionTable table = confusion_table(classification_metrics(predicted, labels, 5), classes, 2);
  CHECK(table.classes == 5);
  CHECK(table.rows == Names{"b", "d"});
  CHECK(table.columns == Names{"b", "d", "(others)"});
  CHECK(table.shares == std::vector<float>{1, 0, 0, 0.75f, 0, 0.25f});
}

}  // namespace
}  // namespace cuclip::test
