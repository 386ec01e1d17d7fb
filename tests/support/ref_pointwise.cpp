#include "tests/support/ref_pointwise.h"

#include <cmath>
#include <numbers>

namespace cuclip::test {
namespace {

// erfc rather than 1 + erf: the lower tail would cancel.
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

double ref_activation(Activation kind, double x) {
  return kind == Activation::gelu ? x * normal_cdf(x) : x * sigmoid(1.702 * x);
}

double ref_activation_derivative(Activation kind, double x) {
  if (kind == Activation::gelu) {
    return normal_cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
  }
  const double s = sigmoid(1.702 * x);
  return s + 1.702 * x * s * (1.0 - s);
}

}  // namespace cuclip::test
