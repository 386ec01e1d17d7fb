#include "tests/support/ref_conv2d.h"

namespace cuclip::test {
namespace {

// Calls body(index into x, into weight, into y) for every product of the convolution.
template <typename Body>
void for_each_product(const cases::Conv2dCase& c, Body&& body) {
  size_t y = 0;
  for (int64_t n = 0; n < c.batch; ++n) {
    for (int64_t row = 0; row < out_height(c); ++row) {
      for (int64_t column = 0; column < out_width(c); ++column) {
        for (int64_t o = 0; o < c.outputs; ++o, ++y) {
          for (int64_t i = 0; i < c.kernel; ++i) {
            for (int64_t j = 0; j < c.kernel; ++j) {
              const int64_t h = row * c.stride - c.padding + i, w = column * c.stride - c.padding + j;
              if (h < 0 || h >= c.height || w < 0 || w >= c.width) continue;
              const int64_t x = ((n * c.height + h) * c.width + w) * c.channels;
              const int64_t weight = ((o * c.kernel + i) * c.kernel + j) * c.channels;
              for (int64_t channel = 0; channel < c.channels; ++channel) {
                body(static_cast<size_t>(x + channel), static_cast<size_t>(weight + channel), y);
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace

std::vector<double> ref_conv2d(const std::vector<double>& x, const std::vector<double>& weight,
                               const cases::Conv2dCase& c) {
  std::vector<double> y(static_cast<size_t>(c.batch * out_height(c) * out_width(c) * c.outputs));
  for_each_product(
      c, [&](size_t at_x, size_t at_weight, size_t at_y) { y[at_y] += x[at_x] * weight[at_weight]; });
  return y;
}

Conv2dGradients ref_conv2d_backward(const std::vector<double>& x, const std::vector<double>& weight,
                                    const std::vector<double>& dy, const cases::Conv2dCase& c) {
  Conv2dGradients g{.dx = std::vector<double>(x.size()), .dweight = std::vector<double>(weight.size())};
  for_each_product(c, [&](size_t at_x, size_t at_weight, size_t at_y) {
    g.dx[at_x] += dy[at_y] * weight[at_weight];
    g.dweight[at_weight] += dy[at_y] * x[at_x];
  });
  return g;
}

}  // namespace cuclip::test
