#include "models/inference/relevance.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "models/inference/zero_shot.h"
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
double above_by_definition(const Tensor& pictures, const PhraseForms& prompts, const Tensor& queries,
                           int64_t q) {
  std::vector<double> above;
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    double mean = 0;
    for (const Tensor& form : {prompts.bare, prompts.with_article})
      for (int64_t p = 0; p < form.size(0); ++p) mean += dot(pictures, i, form, p);
    above.push_back(dot(pictures, i, queries, q) - mean / static_cast<double>(2 * prompts.bare.size(0)));
  }
  std::sort(above.rbegin(), above.rend());
  above.resize(std::min<size_t>(3, above.size()));
  double sum = 0;
  for (const double x : above) sum += x;
  return sum / static_cast<double>(above.size());
}

double score_by_definition(const Tensor& pictures, const PhraseForms& prompts, const PhraseForms& queries,
                           int64_t q) {
  const double both = above_by_definition(pictures, prompts, queries.bare, q) +
                      above_by_definition(pictures, prompts, queries.with_article, q);
  return both / 2 * std::atanh(std::max(0.0, dot(queries.bare, q, queries.with_article, q)));
}

TEST_CASE("a score is the best three pictures' similarity above the prompts', times the forms' agreement") {
  Context context(2);
  for (const int64_t pictures : {1, 2, 3, 57}) {
    for (const int64_t prompts : {2, 9, 40}) {
      const Tensor features = units(context, pictures);
      const PhraseForms null{units(context, prompts), units(context, prompts)},
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

TEST_CASE("of phrases that pictures fit alike, the one whose forms agree more scores higher") {
  Context context(1);
  const auto tensor = [&](std::vector<float> rows) {
    return Tensor::from<float>(context, {std::ssize(rows) / 3, 3}, std::span<const float>(rows));
  };
  // One picture, to which all forms have the cosine .6; the prompts are at right angles to it.
  const Tensor picture = tensor({1, 0, 0}), prompt = tensor({0, 1, 0, 0, -1, 0});
  const RelevanceScale scale(context, picture, {prompt, prompt});
  const Tensor a = tensor({0.6f, 0.8f, 0}), near = tensor({0.6f, 0.48f, 0.64f}),
               opposite = tensor({0.6f, -0.8f, 0});
  const auto score = [&](const Tensor& form) { return scale.scores({a, form})[0]; };
  CHECK(score(near) == Approx(0.6 * std::atanh(0.36 + 0.384)).epsilon(1e-5));
  CHECK(std::isfinite(score(a)));  // a cosine of 1
  CHECK(score(a) > score(near));
  CHECK(score(opposite) == 0);  // and not what two negative factors would make
  CHECK_THROWS_WITH(scale.scores({prompt, a}), Contains("6 values of bare phrases, 3 with an article"));
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
  const auto same = [](const Tensor& form) { return PhraseForms{form, form}; };
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

TEST_CASE("the words without pictures are distinct") {
  const auto words = words_without_pictures();
  CHECK(words.size() >= 100);
  CHECK(std::set<std::string>(words.begin(), words.end()).size() == words.size());
}

TEST_CASE("a query scores as the least of its terms and heads, a plural as the better of both numbers") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::vector<std::string> templates = {"x {}", "y {}"};
  const Tensor features = zero_shot_classifier(
      model, tokenizer, std::vector<std::string>{"pictures", "that", "are", "texts"}, templates);
  const RelevanceScale scale = make_relevance_scale(model, tokenizer, features, templates);
  const auto of = [&](const std::vector<std::string>& phrases) {
    const std::vector<double> scores = scale.scores(encode_forms(model, tokenizer, phrases, templates));
    return std::vector<double>(scores);
  };
  const std::vector<std::pair<std::string, double>> expected = {
      {"bird", of({"bird"})[0]},
      {"a bird", of({"bird"})[0]},
      {"the bird!", of({"bird"})[0]},
      {"a red bird", std::min(of({"red bird"})[0], of({"bird"})[0])},
      {"\"a red bird\"", std::min(of({"red bird"})[0], of({"bird"})[0])},
      {"bird +snow -cat", std::min(of({"bird"})[0], of({"snow"})[0])},
      {"two birds", std::max(of({"birds"})[0], of({"bird"})[0])},
  };
  std::vector<std::vector<QueryTerm>> queries;
  for (const auto& [words, score] : expected) queries.push_back(parse_query(words));
  const std::vector<double> scores = relevance_scores(scale, model, tokenizer, queries, templates);
  REQUIRE(scores.size() == expected.size());
  // They are encoded in batches of other sizes: roundings of cosines near 1, which atanh multiplies, and of
  // their differences, 2 · 2^-24 times an atanh below 9, where these are next to nothing.
  for (size_t q = 0; q < scores.size(); ++q) {
    CAPTURE(expected[q].first);
    CHECK(scores[q] == Approx(expected[q].second).epsilon(1e-3).margin(1.1e-6));
  }
  const std::vector<std::vector<QueryTerm>> nothing(1);
  CHECK(relevance_scores(scale, model, tokenizer, nothing, templates)[0] > scale.threshold());
}

}  // namespace
}  // namespace cuclip::test
