// What the contrastive loss's functions check alike.
#pragma once

#include <string>

#include "kernels/common/tensor_view.h"

namespace cuclip {

/// Features, scale and words of a call.
template <typename Params>
void check_features(const char* operation, const Params& p) {
  const auto name = [&](const char* tensor) { return fmt::format("{}: {}", operation, tensor); };
  CUCLIP_CHECK(p.image.rank() == 2, "{} must be [rows, D], got {}", name("image"), p.image.shape.to_string());
  CUCLIP_CHECK(p.text.rank() == 2, "{} must be [columns, D], got {}", name("text"), p.text.shape.to_string());
  const int64_t rows = p.image.size(0), depth = p.image.size(1), columns = p.text.size(0);
  check_floating(name("image"), p.image.dtype);
  CUCLIP_CHECK(rows >= 1 && depth >= 1, "{}: image must have at least one row and one feature, got {}",
               operation, p.image.shape.to_string());
  check_tensor(name("image"), p.image, p.image.dtype, {rows, depth});
  check_tensor(name("text"), p.text, p.image.dtype, {columns, depth});
  check_tensor(name("log_scale"), p.log_scale, DType::f32, {1});
  if (p.image_words || p.text_words) {
    check_tensor(name("image_words"), p.image_words, DType::i32, {rows, 4});
    check_tensor(name("text_words"), p.text_words, DType::i32, {columns, 4});
  }
}

}  // namespace cuclip
