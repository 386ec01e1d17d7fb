#include "models/inference/relevance.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "models/inference/zero_shot.h"
#include "models/text/english.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

constexpr int64_t kWidth = 10;

Tensor units(Context& context, int64_t rows) {
  const Buffer values = Buffer::normal({rows, kWidth}, DType::f32);
  std::vector<float> flat(values.data<float>(), values.data<float>() + rows * kWidth);
  for (size_t r = 0; r < flat.size(); r += kWidth) {
    double square = 0;
    for (size_t c = r; c < r + kWidth; ++c) square += double{flat[c]} * double{flat[c]};
    for (size_t c = r; c < r + kWidth; ++c) flat[c] = static_cast<float>(flat[c] / std::sqrt(square));
  }
  return Tensor::from<float>(context, {rows, kWidth}, std::span<const float>(flat));
}

double dot(const Tensor& a, int64_t i, const Tensor& b, int64_t j) {
  double sum = 0;
  for (int64_t c = 0; c < kWidth; ++c)
    sum += double{a.data<float>()[i * kWidth + c]} * double{b.data<float>()[j * kWidth + c]};
  return sum;
}

// By the definition: similarities less each picture's mean over the prompts in both forms, and the mean of
// the best three.
double above_by_definition(const Tensor& pictures, const QueryForms& prompts, const Tensor& queries,
                           int64_t q) {
  std::vector<double> above;
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    double mean = 0;
    for (const Tensor& form : {prompts.asked, prompts.other})
      for (int64_t p = 0; p < form.size(0); ++p) mean += dot(pictures, i, form, p);
    above.push_back(dot(pictures, i, queries, q) - mean / static_cast<double>(2 * prompts.asked.size(0)));
  }
  std::sort(above.rbegin(), above.rend());
  above.resize(std::min<size_t>(3, above.size()));
  double sum = 0;
  for (const double x : above) sum += x;
  return sum / static_cast<double>(above.size());
}

double score_by_definition(const Tensor& pictures, const QueryForms& prompts, const QueryForms& queries,
                           int64_t q) {
  const double both = above_by_definition(pictures, prompts, queries.asked, q) +
                      above_by_definition(pictures, prompts, queries.other, q);
  return both / 2 * std::atanh(dot(queries.asked, q, queries.other, q));
}

TEST_CASE("a score is the best three pictures' similarity above the prompts', times the forms' agreement") {
  Context context(2);
  for (const int64_t pictures : {1, 2, 3, 57}) {
    for (const int64_t prompts : {2, 9, 40}) {
      const Tensor features = units(context, pictures);
      const QueryForms null{units(context, prompts), units(context, prompts)},
          queries{units(context, 5), units(context, 5)};
      const RelevanceScale scale(context, features, null);
      const std::vector<double> actual = scale.scores(queries);
      REQUIRE(actual.size() == 5);
      // Sums of ten products below 1 in f32, and roundings of unit rows: 20 · 2^-24, times an atanh below 3.
      for (int64_t q = 0; q < 5; ++q)
        CHECK(actual[static_cast<size_t>(q)] ==
              Approx(score_by_definition(features, null, queries, q)).margin(6e-6));
      // The threshold is one of the prompts' scores, with nine tenths of them not above it.
      std::vector<double> of_prompts;
      for (int64_t p = 0; p < prompts; ++p)
        of_prompts.push_back(score_by_definition(features, null, null, p));
      std::sort(of_prompts.begin(), of_prompts.end());
      const auto place = static_cast<size_t>(std::ceil(0.9 * static_cast<double>(prompts))) - 1;
      CHECK(scale.threshold() == Approx(of_prompts[place]).margin(6e-6));
    }
  }
}

TEST_CASE("of queries that pictures fit alike, the one whose forms agree more scores higher") {
  Context context(1);
  const Tensor features = units(context, 30);
  const QueryForms prompts{units(context, 8), units(context, 8)};
  const RelevanceScale scale(context, features, prompts);
  const Tensor query = features.rows(0, 1), other = features.rows(1, 1);
  CHECK(scale.scores({query, query})[0] > scale.scores({query, other})[0]);
  CHECK(std::isfinite(scale.scores({query, query})[0]));  // a cosine of 1
}

TEST_CASE("what a picture shows is relevant, and what is like the prompts is not, hubs or no hubs") {
  Context context(1);
  // Axis 0 is common to all pictures and queries, axis 1 what some pictures show, 2 to 4 the prompts'.
  const auto unit = [](std::vector<float> row) {
    row.resize(kWidth);
    double square = 0;
    for (const float x : row) square += double{x} * double{x};
    for (float& x : row) x = static_cast<float>(x / std::sqrt(square));
    return row;
  };
  const auto tensor = [&](const std::vector<std::vector<float>>& rows) {
    std::vector<float> flat;
    for (const auto& row : rows)
      for (const float x : unit(row)) flat.push_back(x);
    return Tensor::from<float>(context, {std::ssize(rows), kWidth}, std::span<const float>(flat));
  };
  // Three hubs that are more similar to everything than the pictures that show the thing.
  const Tensor features = tensor({{1}, {1}, {1}, {1, 1}, {1, 1}, {1, 1}});
  const Tensor prompts = tensor({{1, 0, 1}, {1, 0, 0, 1}, {1, 0, 0, 0, 1}});
  const auto same = [](const Tensor& form) { return QueryForms{form, form}; };
  const RelevanceScale scale(context, features, same(prompts));
  const std::vector<double> scores = scale.scores(same(tensor({{1, 1}, {1, 0, 0, 0, 0, 1}, {1, -1}})));
  CHECK(scale.is_relevant(scores[0]));
  CHECK_FALSE(scale.is_relevant(scores[1]));
  CHECK_FALSE(scale.is_relevant(scores[2]));
  for (const double score : scale.scores(same(prompts))) CHECK_FALSE(scale.is_relevant(score));
  CHECK_FALSE(scale.is_relevant(std::numeric_limits<double>::quiet_NaN()));
}

TEST_CASE("features that are not finite are refused") {
  Context context(1);
  const Tensor good = units(context, 4), bad = units(context, 4);
  bad.data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(RelevanceScale(context, good, {good, bad}), Contains("not finite"));
}

TEST_CASE("the prompts are distinct words, bare and with an article, asked with the queries' templates") {
  const auto words = words_without_pictures();
  CHECK(words.size() >= 100);
  CHECK(std::set<std::string>(words.begin(), words.end()).size() == words.size());
  Context context(2);
  Clip model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::vector<std::string> templates = {"x {}", "y {}"};
  const QueryForms prompts = encode_prompts(model, tokenizer, templates);
  const auto classifier = [&](std::span<const std::string> asked) {
    return zero_shot_classifier(model, tokenizer, asked, templates).to_floats();
  };
  CHECK(prompts.asked.to_floats() == classifier(words));
  CHECK(prompts.other.to_floats() == classifier(with_articles(words)));
}

}  // namespace
}  // namespace cuclip::test
