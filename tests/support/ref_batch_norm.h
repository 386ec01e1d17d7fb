// float64 reference of batch norm over [rows, channels].
#pragma once

#include <vector>

namespace cuclip::test {

struct BatchNormReference {
  std::vector<double> y;
  std::vector<double> mean, variance, rstd;  // variance: biased
};
/// `residual` may be empty. The number of channels is that of the weights.
BatchNormReference ref_batch_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                  const std::vector<double>& bias, const std::vector<double>& residual,
                                  bool relu, double eps);

/// By statistics that are given.
std::vector<double> ref_batch_norm_inference(const std::vector<double>& x, const std::vector<double>& weight,
                                             const std::vector<double>& bias, const std::vector<double>& mean,
                                             const std::vector<double>& variance,
                                             const std::vector<double>& residual, bool relu, double eps);

struct BatchNormGradients {
  std::vector<double> dx, dresidual, dweight, dbias;
};
/// `y`, the forward's result as it was stored, decides what passes the ReLU; empty without one.
BatchNormGradients ref_batch_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                           const std::vector<double>& weight, const std::vector<double>& y,
                                           double eps);

}  // namespace cuclip::test
