// A linear probe: multinomial logistic regression on the features of a frozen encoder (Radford et al. 2021,
// 3.2 and appendix A.3).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/common/parallel.h"

namespace cuclip {

/// Labelled features, in the host's memory.
struct ProbeSamples {
  std::vector<float> features;  // [count(), width]
  std::vector<int32_t> labels;  // of each sample: its class, from 0
  int64_t width = 0;

  int64_t count() const { return std::ssize(labels); }
  /// The first sample with a feature that is not finite, or count().
  int64_t first_not_finite() const;
  std::span<const float> row(int64_t i) const {
    return std::span(features).subspan(static_cast<size_t>(i * width), static_cast<size_t>(width));
  }
  /// The samples with these indices, in this order.
  ProbeSamples chosen(std::span<const int64_t> indices) const;
};

struct ProbeOptions {
  double lambda = 1;          // strength of the L2 regularisation
  int max_iterations = 1000;  // as in the paper
  /// The fit has converged where the gradient of the objective, divided by the number of samples, has a norm
  /// of at most tolerance · max(1, norm of the parameters).
  double tolerance = 1e-7;
};

struct LinearProbe {
  int64_t classes = 0, width = 0;
  std::vector<double> weight;  // [classes, width]
  std::vector<double> bias;    // [classes]
  int iterations = 0;
  double gradient_norm = 0;  // at the end, of the objective divided by the number of samples
  bool converged = false;    // whether that is small enough (ProbeOptions::tolerance)
};

/// The W and b that minimise Σ −log softmax(W·x + b)[label] + λ/2 · ‖W‖², by L-BFGS from zero: what
/// scikit-learn's LogisticRegression minimises with C = 1/λ, with a row of W for each class where there are
/// two of them as well. b is not regularised; its mean is 0. Everything is summed in f64, in an order that
/// does not depend on the number of threads. It may end before it has converged: after max_iterations, or
/// where the line search finds nothing better. Throws InputError for fewer than two classes, labels outside
/// [0, classes), a class without a sample, and features that are not finite.
LinearProbe fit_linear_probe(ThreadPool& pool, const ProbeSamples& samples, int64_t classes,
                             const ProbeOptions& options = {});

/// What a probe says of samples.
struct ProbeAnswers {
  int64_t k = 0;
  std::vector<int32_t> best;  // [count, k]: the most likely classes, best first; among equals the first
  double accuracy = 0;        // share of samples whose best class is their label
  double loss = 0;            // mean of −log p(label)
};

/// Throws InputError where the samples do not fit the probe, or there is none.
ProbeAnswers apply_probe(ThreadPool& pool, const LinearProbe& probe, const ProbeSamples& samples,
                         int64_t k = 1);

/// So many fits choose_lambda makes at most.
inline constexpr int64_t kMostLambdaFits = 15;

struct LambdaChoice {
  double lambda = 0;
  double accuracy = 0;  // on the validation samples
};

/// λ with the best accuracy on the validation samples, by the paper's search over 10^-6 … 10^6: first every
/// second decade, then both neighbours of the best so far at half the distance, down to eighths of a decade;
/// `after_fit` is called after each. Among equal accuracies the smaller validation loss counts, then the
/// larger λ. `options.lambda` is ignored.
LambdaChoice choose_lambda(ThreadPool& pool, const ProbeSamples& train, const ProbeSamples& validation,
                           int64_t classes, const ProbeOptions& options = {},
                           const std::function<void()>& after_fit = {});

}  // namespace cuclip
