#include "tests/support/ref_similarity.h"

#include <cmath>

namespace cuclip::test {
namespace {

constexpr double kMinNorm = 1e-12;

double dot(const double* a, const double* b, int64_t d) {
  double sum = 0;
  for (int64_t k = 0; k < d; ++k) sum += a[k] * b[k];
  return sum;
}

}  // namespace

std::vector<double> ref_norms(const std::vector<double>& x, int64_t n, int64_t d) {
  std::vector<double> norms;
  for (int64_t i = 0; i < n; ++i) {
    const double norm = std::sqrt(dot(x.data() + i * d, x.data() + i * d, d));
    norms.push_back(norm < kMinNorm ? kMinNorm : norm);
  }
  return norms;
}

std::vector<double> ref_normalize(const std::vector<double>& x, int64_t n, int64_t d) {
  const auto norms = ref_norms(x, n, d);
  std::vector<double> y = x;
  for (int64_t i = 0; i < n * d; ++i) y[static_cast<size_t>(i)] /= norms[static_cast<size_t>(i / d)];
  return y;
}

std::vector<double> ref_normalize_gradient(const std::vector<double>& x, const std::vector<double>& dy,
                                           int64_t n, int64_t d) {
  const auto norms = ref_norms(x, n, d);
  const auto y = ref_normalize(x, n, d);
  std::vector<double> dx(x.size());
  for (int64_t i = 0; i < n; ++i) {
    const double norm = norms[static_cast<size_t>(i)];
    const double along = norm == kMinNorm ? 0.0 : dot(y.data() + i * d, dy.data() + i * d, d);
    for (auto k = static_cast<size_t>(i * d); k < static_cast<size_t>((i + 1) * d); ++k) {
      dx[k] = (dy[k] - y[k] * along) / norm;
    }
  }
  return dx;
}

std::vector<double> ref_cosine_similarity(const std::vector<double>& a, const std::vector<double>& b,
                                          int64_t m, int64_t n, int64_t d, double scale) {
  const auto u = ref_normalize(a, m, d), v = ref_normalize(b, n, d);
  std::vector<double> out;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) out.push_back(scale * dot(u.data() + i * d, v.data() + j * d, d));
  }
  return out;
}

}  // namespace cuclip::test
