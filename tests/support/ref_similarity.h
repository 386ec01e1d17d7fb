// float64 references of normalisation, the similarity matrix and top-k.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::test {

/// max(‖x‖, 1e-12) of each row of x [n, d].
std::vector<double> ref_norms(const std::vector<double>& x, int64_t n, int64_t d);
/// x / norm, row by row.
std::vector<double> ref_normalize(const std::vector<double>& x, int64_t n, int64_t d);
/// Gradient of ref_normalize in x for the gradient dy of its result.
std::vector<double> ref_normalize_gradient(const std::vector<double>& x, const std::vector<double>& dy,
                                           int64_t n, int64_t d);
/// [m, n]
std::vector<double> ref_cosine_similarity(const std::vector<double>& a, const std::vector<double>& b,
                                          int64_t m, int64_t n, int64_t d, double scale);

}  // namespace cuclip::test
