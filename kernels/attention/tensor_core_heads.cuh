// Which problems the tensor-core kernels take, and how they divide a head's rows among warps.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/attention/attention_arguments.cuh"
#include "kernels/attention/head_tile.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/tuning.h"

namespace cuclip {

inline constexpr int kMaxWarps = Tuning::Attention::kMaxWarps;
inline constexpr int kMaxThreads = kMaxWarps * kWarp;
/// Rows that a block owns where it does not hold a whole head.
inline constexpr int kStreamedRows = kMaxWarps * kStripRows;

/// Calls body(std::integral_constant<int, head_dim>) where there are tensor-core kernels for the head
/// dimension and the tensors allow 16-byte access; returns whether it did.
template <typename Body, typename... Pointers>
bool with_tensor_cores(const HeadLayout& layout, DType dtype, Body&& body, const Pointers*... tensors) {
  if (dtype != DType::bf16 || layout.length > (int64_t{1} << 30) || !aligned_to(kVecBytes, tensors...))
    return false;
  switch (layout.head_dim) {
    case 32:
      body(std::integral_constant<int, 32>{});
      return true;
    case 64:
      body(std::integral_constant<int, 64>{});
      return true;
    case 80:
      body(std::integral_constant<int, 80>{});
      return true;
    case 128:
      body(std::integral_constant<int, 128>{});
      return true;
    default:
      return false;
  }
}

/// The warps of a block that owns a whole head: as few as finish its strips in the number of rounds that 8
/// would take. 17 strips (257 tokens) take 3 rounds of 6 warps, as they would of 8, most of them idle in the
/// last.
inline int warps_of_head(int64_t length) {
  const int64_t strips = ceil_div(length, kStripRows);
  return static_cast<int>(ceil_div(strips, ceil_div(strips, kMaxWarps)));
}

}  // namespace cuclip
