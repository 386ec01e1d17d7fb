// The order in which the CUDA kernels take a patch's elements.
#pragma once

#include "kernels/patch_embed/pictures.h"

namespace cuclip {

/// That of the picture's memory: for bytes row, column, channel, where the weight has channel, row, column.
struct PatchOrder {
  bool interleaved;
  int patch;
  int length;

  explicit PatchOrder(const Pictures& p)
      : interleaved(p.bytes != nullptr),
        patch(static_cast<int>(p.patch)),
        length(static_cast<int>(p.length)) {}

  /// Where element k of the kernels' order is in the weight's.
  __device__ __forceinline__ int place(int k) const {
    return interleaved ? k % 3 * patch * patch + k / 3 : k;
  }
};

}  // namespace cuclip
