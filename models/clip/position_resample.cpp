#include "models/clip/position_resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace cuclip {
namespace {

// Keys' cubic convolution with a = -1/2 ("Cubic Convolution Interpolation for Digital Image Processing",
// 1981).
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Which inputs an output is made of, and how much of each.
struct Window {
  int64_t first;
  std::vector<double> weights;
};

std::vector<Window> windows(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(1.0, scale);  // when shrinking, the filter grows: that is the antialiasing
  std::vector<Window> result;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(centre - 2 * stretch + 0.5));
    const auto last = std::min<int64_t>(from, static_cast<int64_t>(centre + 2 * stretch + 0.5));
    Window window{first, {}};
    double sum = 0;
    for (int64_t j = first; j < last; ++j) {
      window.weights.push_back(cubic((static_cast<double>(j) + 0.5 - centre) / stretch));
      sum += window.weights.back();
    }
    for (double& w : window.weights) w /= sum;
    result.push_back(std::move(window));
  }
  return result;
}

// in [outer, from, inner] → out [outer, to, inner].
void resample_axis(const std::vector<double>& in, int64_t outer, int64_t from, int64_t inner,
                   const std::vector<Window>& filter, std::vector<double>& out) {
  const auto to = static_cast<int64_t>(filter.size());
  out.assign(static_cast<size_t>(outer * to * inner), 0.0);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t t = 0; t < to; ++t) {
      const Window& window = filter[static_cast<size_t>(t)];
      double* y = out.data() + (o * to + t) * inner;
      for (size_t j = 0; j < window.weights.size(); ++j) {
        const double* x = in.data() + (o * from + window.first + static_cast<int64_t>(j)) * inner;
        for (int64_t c = 0; c < inner; ++c) y[c] += window.weights[j] * x[c];
      }
    }
  }
}

}  // namespace

void resample_positions(const float* in, int64_t from, float* out, int64_t to, int64_t width) {
  std::memcpy(out, in, static_cast<size_t>(width) * sizeof(float));
  const std::vector<Window> filter = windows(from, to);
  const std::vector<double> grid(in + width, in + width + from * from * width);
  std::vector<double> wide, resized;
  resample_axis(grid, from, from, width, filter, wide);
  resample_axis(wide, 1, from, to * width, filter, resized);
  for (size_t i = 0; i < resized.size(); ++i)
    out[width + static_cast<int64_t>(i)] = static_cast<float>(resized[i]);
}

}  // namespace cuclip
