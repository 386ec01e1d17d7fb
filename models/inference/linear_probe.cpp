#include "models/inference/linear_probe.h"

#include <lbfgs.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <numeric>

#include "kernels/common/check.h"
#include "kernels/common/rounding.h"

namespace cuclip {
namespace {

constexpr int64_t kBlock = 32;       // samples that stay in the cache between both products
constexpr int64_t kMostSlices = 32;  // of the samples, with a gradient each
constexpr int64_t kSliceRows = 256;  // at least, so that small problems have few gradients to add

// Lanes are added in a fixed order, so the compiler may use vectors of any width.
double dot(const double* w, const float* x, int64_t n) {
  constexpr int64_t kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t l = 0; l < kLanes; ++l) lanes[l] += w[i + l] * static_cast<double>(x[i + l]);
  }
  for (; i < n; ++i) lanes[i % kLanes] += w[i] * static_cast<double>(x[i]);
  return std::accumulate(lanes, lanes + kLanes, 0.0);
}

void add_scaled(double a, const float* x, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * static_cast<double>(x[i]);
}

// logits → log Σ exp(logits).
double log_sum_exp(std::span<const double> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double z : logits) sum += std::exp(z - highest);
  return highest + std::log(sum);
}

// The objective divided by the number of samples, and its gradient. Parameters are W and then b.
class Objective {
 public:
  Objective(ThreadPool& pool, const ProbeSamples& samples, int64_t classes, double lambda)
      : pool_(pool),
        samples_(samples),
        classes_(classes),
        lambda_(lambda),
        slices_(std::clamp<int64_t>(samples.count() / kSliceRows, 1, kMostSlices)),
        losses_(static_cast<size_t>(slices_)),
        gradients_(static_cast<size_t>(slices_ * parameters())),
        logits_(static_cast<size_t>(slices_ * kBlock * classes)) {}

  int64_t weights() const { return classes_ * samples_.width; }
  int64_t parameters() const { return weights() + classes_; }

  double operator()(const double* parameters, double* gradient) {
    parameters_ = parameters;
    pool_.run(slices_, [this](int64_t slice, int) { compute(slice); });
    const auto n = static_cast<double>(samples_.count());
    const double loss = std::accumulate(losses_.begin(), losses_.end(), 0.0);
    double squares = 0;
    for (int64_t p = 0; p < this->parameters(); ++p) {
      double sum = 0;
      for (int64_t s = 0; s < slices_; ++s) sum += gradient_of(s)[p];
      if (p < weights()) {
        sum += lambda_ * parameters[p];
        squares += parameters[p] * parameters[p];
      }
      gradient[p] = sum / n;
    }
    return (loss + 0.5 * lambda_ * squares) / n;
  }

 private:
  double* gradient_of(int64_t slice) { return gradients_.data() + slice * parameters(); }

  void compute(int64_t slice) {
    const int64_t first = samples_.count() * slice / slices_, end = samples_.count() * (slice + 1) / slices_;
    std::fill_n(gradient_of(slice), parameters(), 0.0);
    losses_[static_cast<size_t>(slice)] = 0;
    for (int64_t row = first; row < end; row += kBlock) add_block(slice, row, std::min(end, row + kBlock));
  }

  void add_block(int64_t slice, int64_t first, int64_t end) {
    double* logits = logits_.data() + slice * kBlock * classes_;
    for (int64_t c = 0; c < classes_; ++c) {
      for (int64_t i = first; i < end; ++i) {
        logits[(i - first) * classes_ + c] =
            parameters_[weights() + c] +
            dot(parameters_ + c * samples_.width, samples_.row(i).data(), samples_.width);
      }
    }
    for (int64_t i = first; i < end; ++i) {
      const std::span row(logits + (i - first) * classes_, static_cast<size_t>(classes_));
      const auto label = static_cast<size_t>(samples_.labels[static_cast<size_t>(i)]);
      const double total = log_sum_exp(row);
      losses_[static_cast<size_t>(slice)] += total - row[label];
      for (double& z : row) z = std::exp(z - total);
      row[label] -= 1;
    }
    double* gradient = gradient_of(slice);
    for (int64_t c = 0; c < classes_; ++c) {
      for (int64_t i = first; i < end; ++i) {
        const double error = logits[(i - first) * classes_ + c];
        add_scaled(error, samples_.row(i).data(), gradient + c * samples_.width, samples_.width);
        gradient[weights() + c] += error;
      }
    }
  }

  ThreadPool& pool_;
  const ProbeSamples& samples_;
  int64_t classes_;
  double lambda_;
  int64_t slices_;
  std::vector<double> losses_, gradients_;  // of each slice
  std::vector<double> logits_;              // [slices, kBlock, classes]
  const double* parameters_ = nullptr;
};

void check_width(const ProbeSamples& samples, int64_t width) {
  CUCLIP_CHECK(samples.count() > 0, "linear probe: there is no sample");
  CUCLIP_CHECK(samples.width == width && std::ssize(samples.features) == samples.count() * width,
               "linear probe: expected features [{}, {}], found {} values in rows of {}", samples.count(),
               width, samples.features.size(), samples.width);
  CUCLIP_CHECK(samples.first_not_finite() == samples.count(),
               "linear probe: the features of sample {} are not all finite", samples.first_not_finite());
}

void check_labels(const ProbeSamples& samples, int64_t classes) {
  CUCLIP_CHECK(classes >= 2, "linear probe: expected at least two classes, found {}", classes);
  std::vector<int64_t> of_class(static_cast<size_t>(classes));
  for (int64_t i = 0; i < samples.count(); ++i) {
    const int32_t label = samples.labels[static_cast<size_t>(i)];
    CUCLIP_CHECK(label >= 0 && label < classes, "linear probe: label {} of sample {}, there are {} classes",
                 label, i, classes);
    of_class[static_cast<size_t>(label)]++;
  }
  const auto none = std::find(of_class.begin(), of_class.end(), 0);
  CUCLIP_CHECK(none == of_class.end(), "linear probe: class {} has no sample to learn from",
               none - of_class.begin());
}

struct Progress {
  Objective& objective;
  LinearProbe& probe;
};

double evaluate(void* instance, const double* parameters, double* gradient, int, double) {
  return static_cast<Progress*>(instance)->objective(parameters, gradient);
}

int note(void* instance, const double*, const double*, double, double, double, double, int, int iteration,
         int) {
  static_cast<Progress*>(instance)->probe.iterations = iteration;
  return 0;
}

double norm(const double* values, int count) {
  return std::sqrt(std::inner_product(values, values + count, values, 0.0));
}

// Reaching the limit of iterations is no failure, nor is a line search that finds nothing better: close to
// the minimum, roundings outweigh what a step gains. How close it is, LinearProbe::converged says.
bool is_result(int status) {
  constexpr int kResults[] = {
      LBFGS_SUCCESS,        LBFGS_ALREADY_MINIMIZED, LBFGSERR_MAXIMUMITERATION, LBFGSERR_ROUNDING_ERROR,
      LBFGSERR_MINIMUMSTEP, LBFGSERR_WIDTHTOOSMALL,  LBFGSERR_MAXIMUMLINESEARCH};
  return std::find(std::begin(kResults), std::end(kResults), status) != std::end(kResults);
}

}  // namespace

int64_t ProbeSamples::first_not_finite() const {
  const auto wrong =
      std::find_if_not(features.begin(), features.end(), [](float x) { return std::isfinite(x); });
  return wrong == features.end() ? count() : (wrong - features.begin()) / width;
}

ProbeSamples ProbeSamples::chosen(std::span<const int64_t> indices) const {
  ProbeSamples result{.features = {}, .labels = {}, .width = width};
  result.features.reserve(indices.size() * static_cast<size_t>(width));
  for (const int64_t i : indices) {
    const std::span<const float> values = row(i);
    result.features.insert(result.features.end(), values.begin(), values.end());
    result.labels.push_back(labels.at(static_cast<size_t>(i)));
  }
  return result;
}

LinearProbe fit_linear_probe(ThreadPool& pool, const ProbeSamples& samples, int64_t classes,
                             const ProbeOptions& options) {
  check_width(samples, samples.width);
  check_labels(samples, classes);
  CUCLIP_CHECK(std::isfinite(options.lambda) && options.lambda > 0,
               "linear probe: lambda must be a number above 0, got {}", options.lambda);
  Objective objective(pool, samples, classes, options.lambda);
  CUCLIP_CHECK(objective.parameters() <= std::numeric_limits<int>::max() - 8,
               "linear probe: {} classes of {} features are too many", classes, samples.width);
  const auto count = static_cast<int>(objective.parameters());
  const std::unique_ptr<double, decltype(&lbfgs_free)> parameters(lbfgs_malloc(count), lbfgs_free);
  if (!parameters) throw std::bad_alloc();
  std::fill_n(parameters.get(), count, 0.0);

  LinearProbe probe{.classes = classes, .width = samples.width, .weight = {}, .bias = {}};
  lbfgs_parameter_t settings;
  lbfgs_parameter_init(&settings);
  settings.m = 10;  // as in SciPy, whose L-BFGS scikit-learn calls
  settings.epsilon = options.tolerance;
  settings.max_iterations = options.max_iterations;
  Progress progress{objective, probe};
  const int status = lbfgs(count, parameters.get(), nullptr, evaluate, note, &progress, &settings);
  if (status == LBFGSERR_OUTOFMEMORY) throw std::bad_alloc();
  if (!is_result(status)) fail("linear probe: L-BFGS failed (liblbfgs, code {})", status);
  double* first_bias = parameters.get() + objective.weights();
  std::vector<double> gradient(static_cast<size_t>(count));
  objective(parameters.get(), gradient.data());
  probe.gradient_norm = norm(gradient.data(), count);
  probe.converged = status == LBFGS_SUCCESS || status == LBFGS_ALREADY_MINIMIZED ||
                    probe.gradient_norm <= options.tolerance * std::max(1.0, norm(parameters.get(), count));
  probe.weight.assign(parameters.get(), first_bias);
  probe.bias.assign(first_bias, first_bias + classes);
  return probe;
}

ProbeAnswers apply_probe(ThreadPool& pool, const LinearProbe& probe, const ProbeSamples& samples, int64_t k) {
  check_width(samples, probe.width);
  const auto classes = static_cast<size_t>(probe.classes);
  const int64_t n = samples.count();
  ProbeAnswers answers{.k = std::min(k, probe.classes), .best = {}};
  answers.best.resize(static_cast<size_t>(n * answers.k));
  std::vector<double> losses(static_cast<size_t>(n));
  pool.run(ceil_div(n, kBlock), [&](int64_t block, int) {
    std::vector<double> logits(classes);
    std::vector<int32_t> order(classes);
    for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
      for (size_t c = 0; c < classes; ++c) {
        logits[c] = probe.bias[c] + dot(probe.weight.data() + static_cast<int64_t>(c) * probe.width,
                                        samples.row(i).data(), probe.width);
      }
      std::iota(order.begin(), order.end(), 0);
      const auto before = [&](int32_t a, int32_t b) {
        const double za = logits[static_cast<size_t>(a)], zb = logits[static_cast<size_t>(b)];
        return za != zb ? za > zb : a < b;
      };
      std::partial_sort(order.begin(), order.begin() + answers.k, order.end(), before);
      std::copy_n(order.begin(), answers.k, answers.best.begin() + i * answers.k);
      const auto label = static_cast<size_t>(samples.labels[static_cast<size_t>(i)]);
      CUCLIP_CHECK(label < classes, "linear probe: label {} of sample {}, there are {} classes",
                   samples.labels[static_cast<size_t>(i)], i, classes);
      losses[static_cast<size_t>(i)] = log_sum_exp(logits) - logits[label];
    }
  });
  int64_t right = 0;
  for (int64_t i = 0; i < n; ++i)
    right += answers.best[static_cast<size_t>(i * answers.k)] == samples.labels[static_cast<size_t>(i)];
  answers.accuracy = static_cast<double>(right) / static_cast<double>(n);
  answers.loss = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(n);
  return answers;
}

LambdaChoice choose_lambda(ThreadPool& pool, const ProbeSamples& train, const ProbeSamples& validation,
                           int64_t classes, const ProbeOptions& options,
                           const std::function<void()>& after_fit) {
  constexpr int kStepsPerDecade = 8, kEnd = 6 * kStepsPerDecade, kFirstStep = 2 * kStepsPerDecade;
  const auto lambda_at = [](int place) {
    return std::pow(10.0, static_cast<double>(place) / kStepsPerDecade);
  };
  std::map<int, ProbeAnswers, std::greater<>> tried;  // by the place of λ, the largest first
  const auto try_at = [&](int place) {
    if (place < -kEnd || place > kEnd || tried.contains(place)) return;
    ProbeOptions here = options;
    here.lambda = lambda_at(place);
    tried[place] = apply_probe(pool, fit_linear_probe(pool, train, classes, here), validation);
    if (after_fit) after_fit();
  };
  const auto best = [&] {
    return std::max_element(tried.begin(), tried.end(), [](const auto& a, const auto& b) {
      return a.second.accuracy != b.second.accuracy ? a.second.accuracy < b.second.accuracy
                                                    : a.second.loss > b.second.loss;
    });
  };
  for (int place = -kEnd; place <= kEnd; place += kFirstStep) try_at(place);
  for (int step = kFirstStep / 2; step >= 1; step /= 2) {
    const int peak = best()->first;
    try_at(peak - step);
    try_at(peak + step);
  }
  return {.lambda = lambda_at(best()->first), .accuracy = best()->second.accuracy};
}

}  // namespace cuclip
