#include "tests/support/ref_contrastive_loss.h"

#include <algorithm>
#include <bitset>
#include <cmath>

namespace cuclip::test {
namespace {

const double* row_of(const std::vector<double>& x, int64_t row, int64_t depth) {
  return x.data() + row * depth;
}

double logit(const ContrastiveLossInputs& in, int64_t i, int64_t j) {
  const double* a = row_of(in.image, i, in.c.depth);
  const double* b = row_of(in.text, j, in.c.depth);
  double sum = 0;
  for (int64_t k = 0; k < in.c.depth; ++k) sum += a[k] * b[k];
  return std::exp(in.log_scale) * sum;
}

// The four words of a row's set as one.
std::bitset<128> set_of(const std::vector<uint32_t>& words, int64_t row) {
  std::bitset<128> set;
  for (size_t w = 0; w < 4; ++w) set |= std::bitset<128>(words[static_cast<size_t>(row) * 4 + w]) << 32 * w;
  return set;
}

// log(exp a + exp b)
double log_add(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return NAN;
  const double high = std::max(a, b), low = std::min(a, b);
  return low == -INFINITY ? high : high + std::log1p(std::exp(low - high));
}

// out += weight · x; returns nothing, but adds |weight · x| to terms.
void add_scaled(double weight, double magnitude, const double* x, int64_t depth, double* out, double* terms) {
  for (int64_t k = 0; k < depth; ++k) {
    out[k] += weight * x[k];
    terms[k] += magnitude * std::abs(x[k]);
  }
}

}  // namespace

bool ref_left_out(const ContrastiveLossInputs& in, int64_t i, int64_t j) {
  if (in.image_words.empty() || j == in.c.label_offset + i) return false;
  const std::bitset<128> a = set_of(in.image_words, i), b = set_of(in.text_words, j);
  return a.any() && b.any() && ((a & b) == a || (a & b) == b);
}

ContrastiveLossResult ref_contrastive_loss_part(const ContrastiveLossInputs& in) {
  const auto& c = in.c;
  ContrastiveLossResult r{.loss = 0,
                          .row_lse = std::vector<double>(static_cast<size_t>(c.rows), -INFINITY),
                          .column_lse = std::vector<double>(static_cast<size_t>(c.columns), -INFINITY),
                          .positive = std::vector<double>(static_cast<size_t>(c.rows), NAN)};
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.columns; ++j) {
      if (ref_left_out(in, i, j)) continue;
      const double s = logit(in, i, j);
      double& row = r.row_lse[static_cast<size_t>(i)];
      double& column = r.column_lse[static_cast<size_t>(j)];
      row = log_add(row, s);
      column = log_add(column, s);
      if (j == c.label_offset + i) r.positive[static_cast<size_t>(i)] = s;
    }
  }
  return r;
}

ContrastiveLossResult ref_contrastive_loss(const ContrastiveLossInputs& in) {
  const auto& c = in.c;
  ContrastiveLossResult r = ref_contrastive_loss_part(in);
  for (int64_t i = 0; i < c.rows; ++i) {
    const auto row = static_cast<size_t>(i), column = static_cast<size_t>(c.label_offset + i);
    r.loss += (r.row_lse[row] + r.column_lse[column]) / 2 - r.positive[row];
  }
  r.loss /= static_cast<double>(c.rows);
  return r;
}

ContrastiveLossGradients ref_contrastive_loss_gradients(const ContrastiveLossInputs& in,
                                                        const std::vector<double>& row_lse,
                                                        const std::vector<double>& column_lse, double dloss) {
  const auto& c = in.c;
  ContrastiveLossGradients g{};
  g.dimage.resize(in.image.size());
  g.dtext.resize(in.text.size());
  std::vector<double> image_terms(in.image.size()), text_terms(in.text.size());
  const double scale = std::exp(in.log_scale), factor = dloss / (2.0 * static_cast<double>(c.rows));
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.columns; ++j) {
      if (ref_left_out(in, i, j)) continue;
      const double s = logit(in, i, j);
      const double p =
          std::exp(s - row_lse[static_cast<size_t>(i)]) + std::exp(s - column_lse[static_cast<size_t>(j)]);
      const double label = j == c.label_offset + i ? 2.0 : 0.0;
      const double ds = factor * (p - label), magnitude = std::abs(factor) * (p + label);
      g.dlog_scale += ds * s;
      g.dlog_scale_terms += magnitude * std::abs(s);
      add_scaled(scale * ds, scale * magnitude, row_of(in.text, j, c.depth), c.depth,
                 g.dimage.data() + i * c.depth, image_terms.data() + i * c.depth);
      add_scaled(scale * ds, scale * magnitude, row_of(in.image, i, c.depth), c.depth,
                 g.dtext.data() + j * c.depth, text_terms.data() + j * c.depth);
    }
  }
  g.dimage_terms = *std::max_element(image_terms.begin(), image_terms.end());
  g.dtext_terms = *std::max_element(text_terms.begin(), text_terms.end());
  return g;
}

}  // namespace cuclip::test
