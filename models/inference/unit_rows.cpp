#include "models/inference/unit_rows.h"

#include <cmath>

#include "kernels/common/check.h"

namespace cuclip {

void require_unit_rows(std::span<const float> values, std::size_t width, std::string_view name,
                       std::string_view advice) {
  constexpr double kTolerance = 0.01;
  for (std::size_t row = 0; row < values.size() / width; ++row) {
    double square = 0;
    for (const float x : values.subspan(row * width, width)) square += double{x} * double{x};
    CUCLIP_CHECK(std::abs(std::sqrt(square) - 1) <= kTolerance,
                 "{}: expected features of length 1, that of row {} has length {:.3g}{}", name, row,
                 std::sqrt(square), advice);
  }
}

}  // namespace cuclip
