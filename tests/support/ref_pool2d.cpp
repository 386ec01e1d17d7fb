#include "tests/support/ref_pool2d.h"

namespace cuclip::test {
namespace {

// Calls body(i of x, i of y) for each element of x that is in a window.
template <typename Body>
void for_each_pooled(const Shape& s, int64_t k, const Body& body) {
  const int64_t height = s[1] / k, width = s[2] / k;
  for (int64_t n = 0; n < s[0]; ++n) {
    for (int64_t h = 0; h < height * k; ++h) {
      for (int64_t w = 0; w < width * k; ++w) {
        for (int64_t c = 0; c < s[3]; ++c) {
          body(static_cast<size_t>(((n * s[1] + h) * s[2] + w) * s[3] + c),
               static_cast<size_t>(((n * height + h / k) * width + w / k) * s[3] + c));
        }
      }
    }
  }
}

}  // namespace

std::vector<double> ref_avg_pool2d(const std::vector<double>& x, const Shape& shape, int64_t k) {
  std::vector<double> y(static_cast<size_t>(shape[0] * (shape[1] / k) * (shape[2] / k) * shape[3]));
  for_each_pooled(shape, k,
                  [&](size_t of_x, size_t of_y) { y[of_y] += x[of_x] / static_cast<double>(k * k); });
  return y;
}

std::vector<double> ref_avg_pool2d_backward(const std::vector<double>& dy, const Shape& shape, int64_t k) {
  std::vector<double> dx(static_cast<size_t>(shape.elements()));
  for_each_pooled(shape, k,
                  [&](size_t of_x, size_t of_y) { dx[of_x] = dy[of_y] / static_cast<double>(k * k); });
  return dx;
}

}  // namespace cuclip::test
