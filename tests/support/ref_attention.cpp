#include "tests/support/ref_attention.h"

#include <algorithm>
#include <cmath>

namespace cuclip::test {
namespace {

// Access to one head: q(s, d), k(s, d) and v(s, d) are parts 0, 1 and 2 of row s.
struct Head {
  const AttentionShape& s;
  int64_t batch, head;
  size_t qkv(int64_t part, int64_t row, int64_t d) const {
    return static_cast<size_t>(((batch * s.length + row) * 3 + part) * s.width() + head * s.head_dim + d);
  }
  size_t out(int64_t row, int64_t d) const {
    return static_cast<size_t>((batch * s.length + row) * s.width() + head * s.head_dim + d);
  }
  size_t lse(int64_t row) const { return static_cast<size_t>((batch * s.heads + head) * s.length + row); }
  int64_t visible(int64_t row) const { return s.causal ? row + 1 : s.length; }
};

double scale_of(const AttentionShape& s) { return 1.0 / std::sqrt(static_cast<double>(s.head_dim)); }

// The probabilities of one row; returns its log-sum-exp.
double probabilities(const std::vector<double>& qkv, const Head& head, int64_t row, std::vector<double>& p) {
  const int64_t visible = head.visible(row);
  p.assign(static_cast<size_t>(visible), 0.0);
  for (int64_t t = 0; t < visible; ++t) {
    double dot = 0;
    for (int64_t d = 0; d < head.s.head_dim; ++d) dot += qkv[head.qkv(0, row, d)] * qkv[head.qkv(1, t, d)];
    p[static_cast<size_t>(t)] = dot * scale_of(head.s);
  }
  const double max = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (const double score : p) sum += std::exp(score - max);
  const double lse = max + std::log(sum);
  for (double& score : p) score = std::exp(score - lse);
  return lse;
}

template <typename Body>
void for_each_head(const AttentionShape& s, Body&& body) {
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) body(Head{s, b, h});
  }
}

}  // namespace

AttentionReference ref_attention(const std::vector<double>& qkv, const AttentionShape& s) {
  AttentionReference r;
  r.out.assign(static_cast<size_t>(s.batch * s.length * s.width()), 0.0);
  r.out_terms = r.out;
  r.lse.assign(static_cast<size_t>(s.batch * s.heads * s.length), 0.0);
  std::vector<double> p;
  for_each_head(s, [&](const Head& head) {
    for (int64_t row = 0; row < s.length; ++row) {
      r.lse[head.lse(row)] = probabilities(qkv, head, row, p);
      for (int64_t t = 0; t < head.visible(row); ++t) {
        for (int64_t d = 0; d < s.head_dim; ++d) {
          const double term = p[static_cast<size_t>(t)] * qkv[head.qkv(2, t, d)];
          r.out[head.out(row, d)] += term;
          r.out_terms[head.out(row, d)] += std::abs(term);
        }
      }
    }
  });
  return r;
}

AttentionGradient ref_attention_backward(const std::vector<double>& qkv, const std::vector<double>& out,
                                         const std::vector<double>& dout, const AttentionShape& s) {
  AttentionGradient g{std::vector<double>(qkv.size()), std::vector<double>(qkv.size())};
  const auto add = [&](size_t i, double term) {
    g.dqkv[i] += term;
    g.terms[i] += std::abs(term);
  };
  std::vector<double> p;
  std::vector<double> dp;
  for_each_head(s, [&](const Head& head) {
    for (int64_t row = 0; row < s.length; ++row) {
      probabilities(qkv, head, row, p);
      dp.assign(p.size(), 0.0);
      double delta = 0;
      for (int64_t d = 0; d < s.head_dim; ++d) delta += dout[head.out(row, d)] * out[head.out(row, d)];
      for (size_t t = 0; t < p.size(); ++t) {
        const auto key = static_cast<int64_t>(t);
        for (int64_t d = 0; d < s.head_dim; ++d) {
          dp[t] += dout[head.out(row, d)] * qkv[head.qkv(2, key, d)];
          add(head.qkv(2, key, d), p[t] * dout[head.out(row, d)]);
        }
      }
      for (size_t t = 0; t < p.size(); ++t) {
        const auto key = static_cast<int64_t>(t);
        const double ds = p[t] * (dp[t] - delta) * scale_of(s);
        for (int64_t d = 0; d < s.head_dim; ++d) {
          add(head.qkv(0, row, d), ds * qkv[head.qkv(1, key, d)]);
          add(head.qkv(1, key, d), ds * qkv[head.qkv(0, row, d)]);
        }
      }
    }
  });
  return g;
}

}  // namespace cuclip::test
