// The order in which the CUDA kernels take a patch's elements.
#pragma once

#include "kernels/common/divisor.cuh"
#include "kernels/common/exec_context.h"
#include "kernels/patch_embed/pictures.h"

namespace cuclip {

/// That of the picture's memory, in lines. A row of a patch's pixels is a line (of one channel where the
/// picture is planar): for bytes the order is row, column, channel, where the weight has channel, row,
/// column. Or it is cut into lines of kSplitLine, the last of which may be partly empty.
struct PatchOrder {
  static constexpr int kSplitLine = 32;

  bool interleaved;
  Divisor patch;
  int segment;    // elements that follow one another in memory
  Divisor parts;  // lines of a segment
  Divisor line;   // elements of a line, empty ones too
  int lines;      // of a patch
  int length;     // elements of all lines

  PatchOrder(const Pictures& p, bool split)
      : interleaved(p.bytes != nullptr),
        patch(p.patch),
        segment(interleaved ? 3 * patch : patch),
        parts(split ? ceil_div(segment, kSplitLine) : 1),
        line(split ? kSplitLine : segment),
        lines((interleaved ? patch : 3 * patch) * parts),
        length(lines * line) {}

  /// Where element k of the kernels' order is in the weight's; negative: it is an empty one.
  __device__ __forceinline__ int place(int k) const {
    const int l = k / line, row = l / parts, x = l % parts * line + k % line;
    if (k >= length || x >= segment) return -1;
    return interleaved ? (x % 3 * patch + row) * patch + x / 3 : row * patch + x;
  }
};

}  // namespace cuclip
