// What a linear probe learns of labelled features: with all of them, and with a few of each class.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/inference/classification.h"
#include "models/inference/linear_probe.h"

namespace cuclip {

/// Two parts of a labelled set, as ascending indices.
struct ClassSplit {
  std::vector<int64_t> rest, taken;
};

/// Takes a share of each class at random, to the nearest whole number but never all of a class. The seed and
/// the labels determine which.
ClassSplit split_by_class(std::span<const int32_t> labels, int64_t classes, double share, uint64_t seed);

struct ProbeSettings {
  std::optional<double> lambda;  // none: choose_lambda() on a validation split
  double val_fraction = 0.2;     // of each class's training samples
  uint64_t seed = 1;             // of the split, and of the shots that are drawn
};

struct ProbeResult {
  double lambda = 0;
  std::optional<double> val_accuracy;  // where λ was chosen
  int64_t train_samples = 0;           // of the last fit
  int64_t val_samples = 0;             // of the sweep
  int iterations = 0;                  // of the last fit
  double gradient_norm = 0;            // of the last fit, as LinearProbe has it
  bool converged = false;              // of the last fit
  ClassificationMetrics test;
};

/// Called after each fit with how many of fits_of_probe() are done, or of so many for each draw; choosing λ
/// may take fewer, and the number then jumps.
using ProbeProgress = std::function<void(int64_t done)>;
int64_t fits_of_probe(const ProbeSettings& settings);

/// The part to choose λ on (`taken`) and the part to learn from: everything where λ is given. Throws
/// InputError where fewer than two samples are taken.
ClassSplit validation_split(std::span<const int32_t> labels, int64_t classes, const ProbeSettings& settings);

/// Chooses λ on a validation split of `train`, fits a probe on all of `train` with it, as the paper does, and
/// applies it to `test`. Throws InputError as fit_linear_probe does, naming classes by `classes`; for a
/// class of `test` without a training sample; and for a validation split of fewer than two samples.
ProbeResult evaluate_probe(ThreadPool& pool, const ProbeSamples& train, const ProbeSamples& test,
                           std::span<const std::string> classes, const ProbeSettings& settings = {},
                           const ProbeProgress& progress = {});

/// `shots` of each class's samples at random, those among `candidates`; ascending. Seed and draw determine
/// which; fewer shots of the same draw are among them. Throws InputError for a class that has fewer.
std::vector<int64_t> draw_shots(std::span<const int32_t> labels, std::span<const int64_t> candidates,
                                std::span<const std::string> classes, int64_t shots, uint64_t seed,
                                int64_t draw);

/// Probes that have seen `shots` samples of each class.
struct FewShotScore {
  int64_t shots = 0;
  std::vector<double> lambdas, top1;  // of each draw
  double mean = 0;                    // of top1
  double spread = 0;                  // standard deviation (n − 1) of top1; NaN for a single draw
  int64_t unconverged = 0;            // draws whose last fit ended before it had converged
};

/// For each number of shots, `draws` times: as many samples of each class (draw_shots), of those that are not
/// in the validation split; λ chosen on that split, which stays whole; the probe fitted on the shots alone.
/// Throws InputError as evaluate_probe and draw_shots do.
std::vector<FewShotScore> evaluate_few_shot(ThreadPool& pool, const ProbeSamples& train,
                                            const ProbeSamples& test, std::span<const std::string> classes,
                                            std::span<const int64_t> shots, int64_t draws,
                                            const ProbeSettings& settings = {},
                                            const ProbeProgress& progress = {});

/// {"lambda", "validation_accuracy" (null where λ was given), "training_pictures", "validation_pictures",
/// "iterations", "gradient_norm", "converged"} and the test's metrics.
nlohmann::ordered_json to_json(const ProbeResult& result, std::span<const std::string> classes);

/// [{"shots", "mean", "spread", "unconverged", "draws": [{"lambda", "top1"}, ...]}, ...]
nlohmann::ordered_json to_json(std::span<const FewShotScore> scores);

}  // namespace cuclip
