#include "tests/support/ref_batch_norm.h"

#include <cmath>

namespace cuclip::test {

std::vector<double> ref_batch_norm_inference(const std::vector<double>& x, const std::vector<double>& weight,
                                             const std::vector<double>& bias, const std::vector<double>& mean,
                                             const std::vector<double>& variance,
                                             const std::vector<double>& residual, bool relu, double eps) {
  const size_t channels = weight.size();
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % channels;
    y[i] = (x[i] - mean[c]) / std::sqrt(variance[c] + eps) * weight[c] + bias[c];
    if (!residual.empty()) y[i] += residual[i];
    if (relu && y[i] < 0) y[i] = 0;
  }
  return y;
}

BatchNormReference ref_batch_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                  const std::vector<double>& bias, const std::vector<double>& residual,
                                  bool relu, double eps) {
  const size_t channels = weight.size();
  const auto rows = static_cast<double>(x.size() / channels);
  BatchNormReference r;
  r.mean.resize(channels);
  r.variance.resize(channels);
  for (size_t i = 0; i < x.size(); ++i) r.mean[i % channels] += x[i] / rows;
  for (size_t i = 0; i < x.size(); ++i) {
    const double off = x[i] - r.mean[i % channels];
    r.variance[i % channels] += off * off / rows;
  }
  for (const double variance : r.variance) r.rstd.push_back(1 / std::sqrt(variance + eps));
  r.y = ref_batch_norm_inference(x, weight, bias, r.mean, r.variance, residual, relu, eps);
  return r;
}

BatchNormGradients ref_batch_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                           const std::vector<double>& weight, const std::vector<double>& y,
                                           double eps) {
  const size_t channels = weight.size();
  const auto rows = static_cast<double>(x.size() / channels);
  const std::vector<double> zero(channels, 0.0);
  const BatchNormReference forward = ref_batch_norm(x, weight, zero, {}, false, eps);
  const auto xhat = [&](size_t i) {
    return (x[i] - forward.mean[i % channels]) * forward.rstd[i % channels];
  };
  BatchNormGradients r{.dx = zero, .dresidual = dy, .dweight = zero, .dbias = zero};
  r.dx.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    if (!y.empty() && !(y[i] > 0)) r.dresidual[i] = 0;
    r.dweight[i % channels] += r.dresidual[i] * xhat(i);
    r.dbias[i % channels] += r.dresidual[i];
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % channels;
    r.dx[i] =
        weight[c] * forward.rstd[c] * (r.dresidual[i] - r.dbias[c] / rows - xhat(i) * r.dweight[c] / rows);
  }
  return r;
}

}  // namespace cuclip::test
