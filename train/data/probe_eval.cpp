#include "train/data/probe_eval.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/counted.h"
#include "kernels/common/check.h"
#include "models/files/names.h"
#include "train/data/permutation.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kSplit = 0;  // draws of shots count from 1

// The indices of each class's samples, in an order that seed and draw determine.
std::vector<std::vector<int64_t>> shuffled_classes(std::span<const int32_t> labels, int64_t classes,
                                                   uint64_t seed, uint64_t draw) {
  std::vector<std::vector<int64_t>> of_class(static_cast<size_t>(classes));
  for (size_t i = 0; i < labels.size(); ++i)
    of_class.at(static_cast<size_t>(labels[i])).push_back(static_cast<int64_t>(i));
  for (size_t c = 0; c < of_class.size(); ++c) {
    const std::vector<int64_t> before = of_class[c];
    if (before.empty()) continue;
    const Permutation permutation(std::ssize(before), seed + c, draw);
    for (size_t i = 0; i < before.size(); ++i)
      of_class[c][i] = before[static_cast<size_t>(permutation(static_cast<int64_t>(i)))];
  }
  return of_class;
}

void check_classes(const ProbeSamples& train, const ProbeSamples& test,
                   std::span<const std::string> classes) {
  CUCLIP_CHECK(classes.size() >= 2, "linear probe: expected pictures of at least two classes, found {}",
               counted(std::ssize(classes), "class", "classes"));
  std::vector<int64_t> learnt(classes.size()), asked(classes.size());
  for (const int32_t label : train.labels) learnt.at(static_cast<size_t>(label))++;
  for (const int32_t label : test.labels) asked.at(static_cast<size_t>(label))++;
  for (const ProbeSamples* samples : {&train, &test}) {
    CUCLIP_CHECK(samples->first_not_finite() == samples->count(),
                 "linear probe: the features of {} picture {} are not all finite",
                 samples == &train ? "training" : "test", samples->first_not_finite());
  }
  for (size_t c = 0; c < classes.size(); ++c) {
    CUCLIP_CHECK(learnt[c] > 0,
                 "linear probe: the class \"{}\" has no training picture ({} to test); every class needs one",
                 shortened_name(classes[c]), asked[c]);
  }
}

struct FittedProbe {
  LambdaChoice choice;
  LinearProbe probe;
};

// λ as the settings say or the best for a probe of `part`, and with it a probe of `all`. `done` counts fits.
FittedProbe choose_and_fit(ThreadPool& pool, const ProbeSamples& part, const ProbeSamples& validation,
                           const ProbeSamples& all, int64_t classes, const ProbeSettings& settings,
                           const ProbeProgress& progress, int64_t& done) {
  const int64_t end = done + fits_of_probe(settings);
  const auto after_fit = [&] {
    if (progress) progress(++done);
  };
  FittedProbe fitted;
  if (settings.lambda) {
    fitted.choice.lambda = *settings.lambda;
  } else {
    fitted.choice = choose_lambda(pool, part, validation, classes, {}, after_fit);
  }
  fitted.probe = fit_linear_probe(pool, all, classes, {.lambda = fitted.choice.lambda});
  done = end;
  if (progress) progress(done);
  return fitted;
}

void set_mean_and_spread(FewShotScore& score) {
  const auto n = static_cast<double>(score.top1.size());
  score.mean = std::accumulate(score.top1.begin(), score.top1.end(), 0.0) / n;
  double squares = 0;
  for (const double x : score.top1) squares += (x - score.mean) * (x - score.mean);
  score.spread = std::sqrt(squares / (n - 1));  // 0 / 0 for a single draw: NaN
}

}  // namespace

ClassSplit split_by_class(std::span<const int32_t> labels, int64_t classes, double share, uint64_t seed) {
  ClassSplit split;
  for (const std::vector<int64_t>& members : shuffled_classes(labels, classes, seed, kSplit)) {
    if (members.empty()) continue;
    const auto wanted = static_cast<int64_t>(std::llround(share * static_cast<double>(members.size())));
    const auto cut = members.begin() + std::min(wanted, std::ssize(members) - 1);
    split.taken.insert(split.taken.end(), members.begin(), cut);
    split.rest.insert(split.rest.end(), cut, members.end());
  }
  std::sort(split.taken.begin(), split.taken.end());
  std::sort(split.rest.begin(), split.rest.end());
  return split;
}

int64_t fits_of_probe(const ProbeSettings& settings) { return settings.lambda ? 1 : kMostLambdaFits + 1; }

ClassSplit validation_split(std::span<const int32_t> labels, int64_t classes, const ProbeSettings& settings) {
  const double share = settings.lambda ? 0 : settings.val_fraction;
  ClassSplit split = split_by_class(labels, classes, share, settings.seed);
  CUCLIP_CHECK(
      settings.lambda || split.taken.size() >= 2,
      "linear probe: expected at least 2 pictures to choose lambda on, found {} (validation fraction "
      "{} of {} training pictures of {}); give more pictures, a larger fraction, or lambda itself",
      split.taken.size(), settings.val_fraction, labels.size(), counted(classes, "class", "classes"));
  return split;
}

std::vector<int64_t> draw_shots(std::span<const int32_t> labels, std::span<const int64_t> candidates,
                                std::span<const std::string> classes, int64_t shots, uint64_t seed,
                                int64_t draw) {
  std::vector<int32_t> candidate_labels;
  for (const int64_t i : candidates) candidate_labels.push_back(labels[static_cast<size_t>(i)]);
  const auto of_class =
      shuffled_classes(candidate_labels, std::ssize(classes), seed, static_cast<uint64_t>(draw) + kSplit + 1);
  std::vector<int64_t> chosen;
  for (size_t c = 0; c < classes.size(); ++c) {
    CUCLIP_CHECK(
        std::ssize(of_class[c]) >= shots,
        "linear probe: the class \"{}\" has {} to draw from, {} were asked for; draw fewer or give more",
        shortened_name(classes[c]), counted(std::ssize(of_class[c]), "training picture"),
        counted(shots, "shot"));
    for (int64_t i = 0; i < shots; ++i)
      chosen.push_back(candidates[static_cast<size_t>(of_class[c][static_cast<size_t>(i)])]);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

ProbeResult evaluate_probe(ThreadPool& pool, const ProbeSamples& train, const ProbeSamples& test,
                           std::span<const std::string> classes, const ProbeSettings& settings,
                           const ProbeProgress& progress) {
  check_classes(train, test, classes);
  const int64_t count = std::ssize(classes);
  const ClassSplit split = validation_split(train.labels, count, settings);
  int64_t done = 0;
  const auto [choice, probe] = choose_and_fit(pool, train.chosen(split.rest), train.chosen(split.taken),
                                              train, count, settings, progress, done);
  ProbeResult result{
      .lambda = choice.lambda,
      .val_accuracy = {},
      .train_samples = train.count(),
      .val_samples = std::ssize(split.taken),
      .iterations = probe.iterations,
      .gradient_norm = probe.gradient_norm,
      .converged = probe.converged,
      .test = classification_metrics(apply_probe(pool, probe, test, 5).best, test.labels, count)};
  if (!settings.lambda) result.val_accuracy = choice.accuracy;
  return result;
}

std::vector<FewShotScore> evaluate_few_shot(ThreadPool& pool, const ProbeSamples& train,
                                            const ProbeSamples& test, std::span<const std::string> classes,
                                            std::span<const int64_t> shots, int64_t draws,
                                            const ProbeSettings& settings, const ProbeProgress& progress) {
  check_classes(train, test, classes);
  const int64_t count = std::ssize(classes);
  const ClassSplit split = validation_split(train.labels, count, settings);
  const ProbeSamples validation = train.chosen(split.taken);
  const auto drawn = [&](int64_t number, int64_t draw) {
    return draw_shots(train.labels, split.rest, classes, number, settings.seed, draw);
  };
  // What cannot be drawn is refused before the first fit.
  for (const int64_t number : shots) drawn(number, 0);
  int64_t done = 0;
  std::vector<FewShotScore> scores;
  for (const int64_t number : shots) {
    FewShotScore score{.shots = number, .lambdas = {}, .top1 = {}};
    for (int64_t draw = 0; draw < draws; ++draw) {
      const ProbeSamples few = train.chosen(drawn(number, draw));
      const auto [choice, probe] =
          choose_and_fit(pool, few, validation, few, count, settings, progress, done);
      score.lambdas.push_back(choice.lambda);
      score.unconverged += !probe.converged;
      score.top1.push_back(apply_probe(pool, probe, test).accuracy);
    }
    set_mean_and_spread(score);
    scores.push_back(std::move(score));
  }
  return scores;
}

Json to_json(const ProbeResult& result, std::span<const std::string> classes) {
  Json json = {{"lambda", result.lambda},
               {"validation_accuracy", result.val_accuracy ? Json(*result.val_accuracy) : Json()},
               {"training_pictures", result.train_samples},
               {"validation_pictures", result.val_samples},
               {"iterations", result.iterations},
               {"gradient_norm", result.gradient_norm},
               {"converged", result.converged}};
  json.update(to_json(result.test, classes));
  return json;
}

Json to_json(std::span<const FewShotScore> scores) {
  auto json = Json::array();
  for (const FewShotScore& score : scores) {
    auto draws = Json::array();
    for (size_t d = 0; d < score.top1.size(); ++d)
      draws.push_back({{"lambda", score.lambdas[d]}, {"top1", score.top1[d]}});
    json.push_back({{"shots", score.shots},
                    {"mean", score.mean},
                    {"spread", std::isfinite(score.spread) ? Json(score.spread) : Json()},
                    {"unconverged", score.unconverged},
                    {"draws", draws}});
  }
  return json;
}

}  // namespace cuclip
