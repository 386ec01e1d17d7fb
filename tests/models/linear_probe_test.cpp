// labels: threads
#include "models/inference/linear_probe.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/common/check.h"
#include "tests/support/buffer.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

// Every class has a centre, and a sample at least.
ProbeSamples random_samples(int64_t count, int64_t width, int64_t classes, float distance = 1) {
  std::normal_distribution<float> normal;
  std::vector<float> centres(static_cast<size_t>(classes * width));
  for (float& x : centres) x = distance * normal(rng());
  ProbeSamples samples{.features = {}, .labels = {}, .width = width};
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<int32_t>(
        i < classes ? i : static_cast<int64_t>(rng()() % static_cast<uint64_t>(classes)));
    samples.labels.push_back(label);
    for (int64_t d = 0; d < width; ++d)
      samples.features.push_back(centres[static_cast<size_t>(label * width + d)] + normal(rng()));
  }
  return samples;
}

std::vector<double> reference_probabilities(const ProbeSamples& samples, const LinearProbe& probe,
                                            int64_t i) {
  std::vector<double> p;
  for (int64_t c = 0; c < probe.classes; ++c) {
    double z = probe.bias[static_cast<size_t>(c)];
    for (int64_t d = 0; d < probe.width; ++d) {
      z += probe.weight[static_cast<size_t>(c * probe.width + d)] *
           static_cast<double>(samples.features[static_cast<size_t>(i * probe.width + d)]);
    }
    p.push_back(std::exp(z));
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

// The largest element of the objective's gradient, sample by sample.
double reference_gradient(const ProbeSamples& samples, const LinearProbe& probe, double lambda) {
  std::vector<double> weight, bias(static_cast<size_t>(probe.classes));
  for (const double w : probe.weight) weight.push_back(lambda * w);
  for (int64_t i = 0; i < samples.count(); ++i) {
    std::vector<double> error = reference_probabilities(samples, probe, i);
    error[static_cast<size_t>(samples.labels[static_cast<size_t>(i)])] -= 1;
    for (int64_t c = 0; c < probe.classes; ++c) {
      bias[static_cast<size_t>(c)] += error[static_cast<size_t>(c)];
      for (int64_t d = 0; d < probe.width; ++d) {
        weight[static_cast<size_t>(c * probe.width + d)] +=
            error[static_cast<size_t>(c)] *
            static_cast<double>(samples.features[static_cast<size_t>(i * probe.width + d)]);
      }
    }
  }
  double largest = 0;
  for (const auto& values : {weight, bias}) {
    for (const double g : values) largest = std::max(largest, std::abs(g));
  }
  return largest / static_cast<double>(samples.count());
}

double norm(const LinearProbe& probe) {
  double squares = 0;
  for (const auto& values : {probe.weight, probe.bias}) {
    for (const double x : values) squares += x * x;
  }
  return std::sqrt(squares);
}

TEST_CASE("the gradient vanishes where the fit ends") {
  ThreadPool pool(2);
  for (const auto& [count, width, classes, lambda] : {std::tuple{2, 1, 2, 1.0},
                                                      {33, 7, 3, 0.3},
                                                      {301, 13, 5, 10.0},
                                                      {1203, 17, 4, 0.01},
                                                      {9, 60, 4, 1e-3}}) {
    const ProbeSamples samples = random_samples(count, width, classes);
    const LinearProbe probe = fit_linear_probe(pool, samples, classes, {.lambda = lambda});
    INFO(count << " samples, " << width << " features, " << classes << " classes, " << probe.iterations);
    CHECK(std::ssize(probe.weight) == int64_t{classes} * width);
    CHECK(probe.iterations > 0);
    CHECK(probe.converged == (probe.gradient_norm <= 1e-7 * std::max(1.0, norm(probe))));
    CHECK(reference_gradient(samples, probe, lambda) <= 2e-7 * std::max(1.0, norm(probe)));
    CHECK(std::accumulate(probe.bias.begin(), probe.bias.end(), 0.0) == Approx(0).margin(1e-9));
  }
}

TEST_CASE("a probe is what scikit-learn's logistic regression finds") {
  std::ifstream in(test_data() + "/linear_probe.json");
  const nlohmann::json recorded = nlohmann::json::parse(in);
  ProbeSamples samples{.features = {}, .labels = recorded["labels"], .width = 5};
  for (const auto& row : recorded["features"]) {
    for (const float x : row) samples.features.push_back(x);
  }
  ThreadPool pool(1);
  REQUIRE(recorded["fits"].size() == 3);
  for (const auto& fit : recorded["fits"]) {
    const LinearProbe probe =
        fit_linear_probe(pool, samples, 3, {.lambda = fit["lambda"], .tolerance = 1e-10});
    for (size_t c = 0; c < 3; ++c) {
      CHECK(probe.bias[c] == Approx(fit["bias"][c].get<double>()).epsilon(1e-5).margin(1e-6));
      for (size_t d = 0; d < 5; ++d)
        CHECK(probe.weight[c * 5 + d] ==
              Approx(fit["weight"][c][d].get<double>()).epsilon(1e-5).margin(1e-6));
    }
  }
}

TEST_CASE("the order of the samples makes no difference beyond roundings") {
  ThreadPool pool(2);
  const ProbeSamples samples = random_samples(1037, 11, 3);
  std::vector<int64_t> order(1037);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), rng());
  const ProbeOptions options{.lambda = 3, .tolerance = 1e-9};
  const LinearProbe first = fit_linear_probe(pool, samples, 3, options),
                    second = fit_linear_probe(pool, samples.chosen(order), 3, options);
  for (size_t i = 0; i < first.weight.size(); ++i)
    CHECK(first.weight[i] == Approx(second.weight[i]).margin(1e-6).epsilon(0));
  for (size_t c = 0; c < 3; ++c) CHECK(first.bias[c] == Approx(second.bias[c]).margin(1e-6).epsilon(0));
}

TEST_CASE("any number of threads gives the same bits") {
  const ProbeSamples samples = random_samples(2111, 19, 6), others = random_samples(97, 19, 6);
  ThreadPool one(1);
  const LinearProbe expected = fit_linear_probe(one, samples, 6, {.lambda = 0.1});
  const ProbeAnswers answers = apply_probe(one, expected, others, 5);
  for (const int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    const LinearProbe probe = fit_linear_probe(pool, samples, 6, {.lambda = 0.1});
    CHECK(probe.weight == expected.weight);
    CHECK(probe.bias == expected.bias);
    const ProbeAnswers again = apply_probe(pool, probe, others, 5);
    CHECK(again.best == answers.best);
    CHECK(again.loss == answers.loss);
  }
}

TEST_CASE("features that say nothing leave the classes' frequencies") {
  ThreadPool pool(2);
  for (const float constant : {0.0f, 1e-20f}) {
    ProbeSamples samples{.features = std::vector<float>(60 * 3, constant), .labels = {}, .width = 3};
    for (int32_t i = 0; i < 60; ++i) samples.labels.push_back(i < 10 ? 0 : i < 30 ? 1 : 2);
    const LinearProbe probe = fit_linear_probe(pool, samples, 3, {.tolerance = 1e-10});
    const double mean = (std::log(10) + std::log(20) + std::log(30)) / 3;
    CHECK(probe.bias[0] == Approx(std::log(10) - mean).margin(1e-7));
    CHECK(probe.bias[2] == Approx(std::log(30) - mean).margin(1e-7));
    for (const double w : probe.weight) CHECK(w == Approx(0).margin(1e-7));
    CHECK(apply_probe(pool, probe, samples).accuracy == 0.5);
  }
  // A column of ones beside the others is one more bias: nothing breaks.
  ProbeSamples samples = random_samples(50, 3, 2);
  for (size_t i = 0; i < 50; ++i) samples.features[i * 3 + 1] = 1;
  const LinearProbe probe = fit_linear_probe(pool, samples, 2);
  CHECK(reference_gradient(samples, probe, 1) <= 2e-7 * std::max(1.0, norm(probe)));
}

TEST_CASE("answers are the most likely classes, and the loss that of the labels") {
  ThreadPool pool(2);
  const int64_t classes = 7;
  LinearProbe probe{.classes = classes, .width = 3, .weight = {}, .bias = {}};
  std::normal_distribution<double> normal;
  for (int i = 0; i < 7 * 3; ++i) probe.weight.push_back(normal(rng()));
  for (int i = 0; i < 7; ++i) probe.bias.push_back(normal(rng()));
  const ProbeSamples samples = random_samples(71, 3, classes);
  const ProbeAnswers answers = apply_probe(pool, probe, samples, 5);
  REQUIRE(answers.best.size() == 71 * 5);
  double loss = 0;
  int64_t right = 0;
  for (int64_t i = 0; i < 71; ++i) {
    const std::vector<double> p = reference_probabilities(samples, probe, i);
    std::vector<double> sorted = p;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    for (size_t k = 0; k < 5; ++k)
      CHECK(p[static_cast<size_t>(answers.best[static_cast<size_t>(i) * 5 + k])] == Approx(sorted[k]));
    const auto label = static_cast<size_t>(samples.labels[static_cast<size_t>(i)]);
    loss -= std::log(p[label]);
    right += p[label] == sorted[0];
  }
  CHECK(answers.loss == Approx(loss / 71));
  CHECK(answers.accuracy == Approx(static_cast<double>(right) / 71));
  // Equals: the first. More than there are: all.
  std::fill(probe.weight.begin(), probe.weight.end(), 0.0);
  std::fill(probe.bias.begin(), probe.bias.end(), 0.0);
  const ProbeAnswers equal = apply_probe(pool, probe, samples, 9);
  CHECK(equal.k == 7);
  for (int32_t c = 0; c < 7; ++c) CHECK(equal.best[7 + static_cast<size_t>(c)] == c);
}

TEST_CASE("lambda is the best that the search could find, in eighths of a decade") {
  ThreadPool pool(2);
  // Few samples of many features: too weak a regularisation overfits, too strong a one learns nothing.
  ProbeSamples all = random_samples(340, 30, 3, 0.25f);
  std::vector<int64_t> first(40), rest(300);
  std::iota(first.begin(), first.end(), 0);
  std::iota(rest.begin(), rest.end(), 40);
  const ProbeSamples train = all.chosen(first), validation = all.chosen(rest);
  int64_t fits = 0;
  const LambdaChoice choice = choose_lambda(pool, train, validation, 3, {}, [&] { ++fits; });
  CHECK(fits > 7);
  CHECK(fits <= kMostLambdaFits);
  const double place = 8 * std::log10(choice.lambda);
  CHECK(place == Approx(std::round(place)).margin(1e-9));
  CHECK(std::abs(place) <= 48);
  const auto answers = [&](double lambda) {
    return apply_probe(pool, fit_linear_probe(pool, train, 3, {.lambda = lambda}), validation);
  };
  const ProbeAnswers best = answers(choice.lambda);
  CHECK(best.accuracy == choice.accuracy);
  std::vector<double> others = {1e-6, 1e-4, 1e-2, 1, 1e2, 1e4, 1e6};
  for (const double step : {-1.0, 1.0}) {
    const double neighbour = std::pow(10.0, (std::round(place) + step) / 8);
    if (neighbour > 0.99e-6 && neighbour < 1.01e6) others.push_back(neighbour);
  }
  for (const double lambda : others) {
    INFO(lambda << " instead of " << choice.lambda);
    const ProbeAnswers other = answers(lambda);
    CHECK((other.accuracy < best.accuracy || (other.accuracy == best.accuracy && other.loss >= best.loss)));
  }
}

TEST_CASE("where nothing can be learnt, the strongest regularisation is chosen") {
  ThreadPool pool(1);
  const ProbeSamples samples{
      .features = std::vector<float>(8 * 2, 0.0f), .labels = {0, 1, 0, 1, 0, 1, 0, 1}, .width = 2};
  CHECK(choose_lambda(pool, samples, samples, 2).lambda == 1e6);
}

TEST_CASE("samples that nothing can be learnt of are refused") {
  ThreadPool pool(1);
  const ProbeSamples good = random_samples(20, 4, 3);
  const auto refused = [&](const ProbeSamples& samples, int64_t classes, const std::string& mention) {
    CHECK_THROWS_WITH(fit_linear_probe(pool, samples, classes), Contains(mention));
    CHECK_THROWS_AS(fit_linear_probe(pool, samples, classes), InputError);
  };
  refused(ProbeSamples{.features = {}, .labels = {}, .width = 4}, 3, "there is no sample");
  ProbeSamples one = good;
  std::fill(one.labels.begin(), one.labels.end(), 0);
  refused(one, 1, "at least two classes, found 1");
  refused(one, 3, "class 1 has no sample");
  refused(good, 2, "label 2 of sample");
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    ProbeSamples damaged = good;
    damaged.features[17 * 4 + 3] = wrong;
    CHECK(damaged.first_not_finite() == 17);
    refused(damaged, 3, "sample 17");
  }
  ProbeSamples ragged = good;
  ragged.features.pop_back();
  refused(ragged, 3, "[20, 4]");
  for (const double lambda : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(fit_linear_probe(pool, good, 3, {.lambda = lambda}), InputError);
  const LinearProbe probe = fit_linear_probe(pool, good, 3);
  CHECK_THROWS_AS(apply_probe(pool, probe, random_samples(5, 3, 2)), InputError);
  ProbeSamples unknown = good;
  unknown.labels[3] = 3;
  CHECK_THROWS_AS(apply_probe(pool, probe, unknown), InputError);
}

TEST_CASE("the limit of iterations ends a fit") {
  ThreadPool pool(1);
  const LinearProbe probe = fit_linear_probe(pool, random_samples(200, 20, 4), 4, {.max_iterations = 3});
  CHECK(probe.iterations == 3);
  CHECK(probe.gradient_norm > 1e-7);
  CHECK_FALSE(probe.converged);
}

// The norm of the objective's gradient where the fit ended is what it says, however the fit ended.
TEST_CASE("a fit whose line search gives up says how close it came") {
  ThreadPool pool(1);
  const ProbeSamples samples = random_samples(120, 6, 3);
  for (const double tolerance : {1e-7, 1e-300}) {  // the second is out of reach
    const LinearProbe probe = fit_linear_probe(pool, samples, 3, {.lambda = 0.5, .tolerance = tolerance});
    INFO(probe.iterations << " iterations, gradient " << probe.gradient_norm);
    CHECK(probe.iterations < 1000);
    CHECK(probe.converged == (tolerance > 1e-100));
    const double largest = reference_gradient(samples, probe, 0.5);
    CHECK(probe.gradient_norm >= largest * 0.99 - 1e-13);
    CHECK(probe.gradient_norm <= largest * std::sqrt(3 * 7) * 1.01 + 1e-13);
  }
}

}  // namespace
}  // namespace cuclip::test
