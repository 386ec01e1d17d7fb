// cuclip::Features and the version, of cuclip/cuclip.h.
#include <fmt/core.h>

#include "models/api/clip_impl.h"
#include "models/inference/unit_rows.h"

namespace cuclip {

Features::Features(std::vector<float> values, std::size_t dimensions)
    : values_(std::move(values)), dimensions_(dimensions) {
  CUCLIP_CHECK(dimensions_ > 0 && values_.size() % dimensions_ == 0,
               "features: {} values are not rows of {} dimensions", values_.size(), dimensions_);
  require_unit_rows(values_, dimensions_, "features");
}

std::span<const float> Features::row(std::size_t i) const {
  CUCLIP_CHECK(i < size(), "features: expected a row below {}, got {}", size(), i);
  return std::span(values_).subspan(i * dimensions_, dimensions_);
}

Features features_of(const Tensor& rows) {
  return Features(rows.to_floats(), static_cast<size_t>(rows.size(1)));
}

Representations representations_of(const Tensor& values) {
  const bool has_positions = values.shape().rank() == 3;
  return {.values = values.to_floats(),
          .count = static_cast<size_t>(values.size(0)),
          .positions = has_positions ? static_cast<size_t>(values.size(1)) : 1,
          .width = static_cast<size_t>(values.size(has_positions ? 2 : 1))};
}

Tensor tensor_of(Context& context, const Features& features) {
  const auto rows = static_cast<int64_t>(features.size());
  return Tensor::from<float>(context, {rows, static_cast<int64_t>(features.dimensions())}, features.values());
}

Tensor row_of(Context& context, std::span<const float> feature, int64_t width, const char* what) {
  CUCLIP_CHECK(std::ssize(feature) == width, "{}: expected a feature of {} dimensions, got {}", what, width,
               feature.size());
  return tensor_of(context, Features({feature.begin(), feature.end()}, feature.size()));
}

#define CUCLIP_TEXT_OF(x) #x
#define CUCLIP_VERSION_TEXT(major, minor, patch) \
  CUCLIP_TEXT_OF(major) "." CUCLIP_TEXT_OF(minor) "." CUCLIP_TEXT_OF(patch)

const char* version() noexcept {
  return CUCLIP_VERSION_TEXT(CUCLIP_VERSION_MAJOR, CUCLIP_VERSION_MINOR, CUCLIP_VERSION_PATCH);
}

}  // namespace cuclip
