// float64 reference of layer norm over [rows, width].
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::test {

struct LayerNormReference {
  std::vector<double> y, mean, rstd;
};
LayerNormReference ref_layer_norm(const std::vector<double>& x, const std::vector<double>& weight,
                                  const std::vector<double>& bias, double eps);

struct LayerNormGradients {
  std::vector<double> dx, dweight, dbias;
};
/// Without a residual gradient: the caller adds it to dx.
LayerNormGradients ref_layer_norm_backward(const std::vector<double>& dy, const std::vector<double>& x,
                                           const std::vector<double>& weight, double eps);

}  // namespace cuclip::test
