// Four random values from the four words of a Philox block, for either device: random.h has the formulas.
#pragma once

#include <cmath>
#include <numbers>

#include "kernels/common/host_device.h"
#include "kernels/random/philox.h"
#include "kernels/random/random.h"

namespace cuclip {

struct FourValues {
  float values[4];
};

struct NormalValues {
  double mean, stddev;

  CUCLIP_HOST_DEVICE FourValues operator()(const PhiloxBlock& words) const {
    FourValues out;
    for (int k = 0; k < 4; k += 2) {
      const double radius = sqrt(-2.0 * log((words[k] + 0.5) * 0x1p-32));
      const double angle = 2.0 * std::numbers::pi * (words[k + 1] * 0x1p-32);
      out.values[k] = static_cast<float>(mean + stddev * (radius * cos(angle)));
      out.values[k + 1] = static_cast<float>(mean + stddev * (radius * sin(angle)));
    }
    return out;
  }
};

struct UniformValues {
  double low, width;
  float below_high;  // the greatest float below the upper bound

  CUCLIP_HOST_DEVICE FourValues operator()(const PhiloxBlock& words) const {
    FourValues out;
    for (int k = 0; k < 4; ++k) {
      const auto value = static_cast<float>(low + width * (words[k] * 0x1p-32));
      out.values[k] = value < below_high ? value : below_high;
    }
    return out;
  }
};

inline NormalValues values_of(const FillNormal& p) {
  return {static_cast<double>(p.mean), static_cast<double>(p.stddev)};
}
inline UniformValues values_of(const FillUniform& p) {
  return {static_cast<double>(p.low), static_cast<double>(p.high) - static_cast<double>(p.low),
          std::nextafter(p.high, p.low)};
}

}  // namespace cuclip
