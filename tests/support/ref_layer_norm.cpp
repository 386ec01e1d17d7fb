#include "tests/support/ref_layer_norm.h"

#include <cmath>

namespace cuclip::test {

LayerNormReference ref_layer_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                  const std::vector<double>& bias, double eps) {
  const size_t width = weight.size();
  LayerNormReference r;
  for (size_t row = 0; row < x.size(); row += width) {
    double mean = 0;
    for (size_t c = 0; c < width; ++c) mean += x[row + c];
    mean /= static_cast<double>(width);
    double variance = 0;
    for (size_t c = 0; c < width; ++c) variance += (x[row + c] - mean) * (x[row + c] - mean);
    const double rstd = 1.0 / std::sqrt(variance / static_cast<double>(width) + eps);
    for (size_t c = 0; c < width; ++c) r.y.push_back((x[row + c] - mean) * rstd * weight[c] + bias[c]);
    r.mean.push_back(mean);
    r.rstd.push_back(rstd);
  }
  return r;
}

LayerNormGradients ref_layer_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                           const std::vector<double>& weight, double eps) {
  const size_t width = weight.size();
  const auto n = static_cast<double>(width);
  const std::vector<double> zero(width, 0.0);
  const LayerNormReference forward = ref_layer_norm(x, weight, zero, eps);
  LayerNormGradients r{.dx = std::vector<double>(x.size()), .dweight = zero, .dbias = zero};
  for (size_t row = 0; row * width < x.size(); ++row) {
    const double* g = &dy[row * width];
    const double rstd = forward.rstd[row];
    const auto xhat = [&](size_t c) { return (x[row * width + c] - forward.mean[row]) * rstd; };
    double sum = 0;
    double sum_xhat = 0;
    for (size_t c = 0; c < width; ++c) {
      r.dweight[c] += g[c] * xhat(c);
      r.dbias[c] += g[c];
      sum += g[c] * weight[c];
      sum_xhat += g[c] * weight[c] * xhat(c);
    }
    for (size_t c = 0; c < width; ++c) {
      r.dx[row * width + c] = rstd * (g[c] * weight[c] - sum / n - xhat(c) * sum_xhat / n);
    }
  }
  return r;
}

}  // namespace cuclip::test
