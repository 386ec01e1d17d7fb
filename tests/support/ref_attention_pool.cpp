#include "tests/support/ref_attention_pool.h"

#include <algorithm>
#include <cmath>

namespace cuclip::test {
namespace {

// Calls body(index of the head among all pictures', where it begins in q, its first key's place in kv).
template <typename Body>
void for_each_head(const AttentionPoolShape& s, const Body& body) {
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t h = 0; h < s.heads; ++h) {
      body(static_cast<size_t>(n * s.heads + h), static_cast<size_t>(n * s.width() + h * s.head_dim),
           static_cast<size_t>(n * s.length * 2 * s.width() + h * s.head_dim));
    }
  }
}

}  // namespace

AttentionPoolReference ref_attention_pool(const std::vector<double>& q, const std::vector<double>& kv,
                                          const AttentionPoolShape& s) {
  const auto length = static_cast<size_t>(s.length), dim = static_cast<size_t>(s.head_dim);
  const auto width = static_cast<size_t>(s.width());
  AttentionPoolReference r{.out = std::vector<double>(q.size()), .weights = {}};
  for_each_head(s, [&](size_t, size_t at, size_t key) {
    std::vector<double> scores(length);
    for (size_t t = 0; t < length; ++t) {
      for (size_t d = 0; d < dim; ++d) scores[t] += q[at + d] * kv[key + t * 2 * width + d];
      scores[t] /= std::sqrt(static_cast<double>(dim));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - max);
    for (size_t t = 0; t < length; ++t) {
      r.weights.push_back(scores[t] / sum);
      for (size_t d = 0; d < dim; ++d) r.out[at + d] += scores[t] / sum * kv[key + (t * 2 + 1) * width + d];
    }
  });
  return r;
}

AttentionPoolGradients ref_attention_pool_backward(const std::vector<double>& dout,
                                                   const std::vector<double>& q,
                                                   const std::vector<double>& kv,
                                                   const AttentionPoolShape& s) {
  const auto length = static_cast<size_t>(s.length), dim = static_cast<size_t>(s.head_dim);
  const auto width = static_cast<size_t>(s.width());
  const double scale = 1 / std::sqrt(static_cast<double>(dim));
  const std::vector<double> weights = ref_attention_pool(q, kv, s).weights;
  AttentionPoolGradients r{.dq = std::vector<double>(q.size()), .dkv = std::vector<double>(kv.size())};
  for_each_head(s, [&](size_t head, size_t at, size_t key) {
    const double* w = &weights[head * length];
    std::vector<double> dw(length);
    double mean = 0;
    for (size_t t = 0; t < length; ++t) {
      for (size_t d = 0; d < dim; ++d) dw[t] += dout[at + d] * kv[key + (t * 2 + 1) * width + d];
      mean += w[t] * dw[t];
    }
    for (size_t t = 0; t < length; ++t) {
      const double dscore = w[t] * (dw[t] - mean) * scale;
      for (size_t d = 0; d < dim; ++d) {
        r.dq[at + d] += dscore * kv[key + t * 2 * width + d];
        r.dkv[key + t * 2 * width + d] = dscore * q[at + d];
        r.dkv[key + (t * 2 + 1) * width + d] = w[t] * dout[at + d];
      }
    }
  });
  return r;
}

std::vector<double> ref_mean_token(const std::vector<double>& x, const std::vector<double>& positions,
                                   int64_t length, int64_t width) {
  const auto of_x = static_cast<size_t>(length * width), of_y = of_x + static_cast<size_t>(width);
  std::vector<double> y;
  for (size_t n = 0; n * of_x < x.size(); ++n) {
    y.insert(y.end(), positions.begin(), positions.end());
    for (size_t i = 0; i < of_x; ++i) {
      const double value = x[n * of_x + i];
      y[n * of_y + i % static_cast<size_t>(width)] += value / static_cast<double>(length);
      y[n * of_y + static_cast<size_t>(width) + i] += value;
    }
  }
  return y;
}

MeanTokenGradients ref_mean_token_backward(const std::vector<double>& dy, int64_t length, int64_t width) {
  const auto of_y = static_cast<size_t>((length + 1) * width), row = static_cast<size_t>(width);
  MeanTokenGradients r{.dx = {}, .dpositions = std::vector<double>(of_y)};
  for (size_t i = 0; i < dy.size(); ++i) {
    const size_t in_picture = i % of_y;
    r.dpositions[in_picture] += dy[i];
    if (in_picture < row) continue;
    r.dx.push_back(dy[i] + dy[i - in_picture + i % row] / static_cast<double>(length));
  }
  return r;
}

}  // namespace cuclip::test
