#include "tests/support/ref_adamw.h"

#include <cmath>

namespace cuclip::test {

AdamWElement ref_adamw(AdamWElement e, const AdamWStep& p, const AdamWControl& control,
                       const AdamWSegment& segment) {
  const double gradient = e.gradient * static_cast<double>(control.gradient_scale);
  e.weight *= 1 - control.lr * static_cast<double>(segment.weight_decay);
  e.exp_avg += (gradient - e.exp_avg) * (1 - p.beta1);
  e.exp_avg_sq = e.exp_avg_sq * p.beta2 + (1 - p.beta2) * gradient * gradient;
  const double bias_correction1 = 1 - std::pow(p.beta1, static_cast<double>(control.steps));
  const double bias_correction2 = 1 - std::pow(p.beta2, static_cast<double>(control.steps));
  const double denominator = std::sqrt(e.exp_avg_sq) / std::sqrt(bias_correction2) + p.eps;
  e.weight -= control.lr / bias_correction1 * e.exp_avg / denominator;
  if (p.zero_gradients) e.gradient = 0;
  return e;
}

}  // namespace cuclip::test
