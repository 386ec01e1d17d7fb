// How the products of weight gradients share their long reductions out over blocks. Host code.
#pragma once

#include <algorithm>

#include "kernels/common/exec_context.h"
#include "kernels/common/tuning.h"

namespace cuclip {

/// Few tiles with a long reduction would leave most of a GPU idle, so its rows are cut into slices, by the
/// shape alone. All but the last have `rows` rows.
struct RowSlices {
  int64_t rows;
  int64_t count;
};

/// `reduction` rows for each of `tiles` tiles, in slices of whole steps.
inline RowSlices cut_into_slices(int64_t reduction, int64_t tiles, int64_t step) {
  const int64_t wanted = std::clamp<int64_t>(ceil_div(SumOrder::kGradientBlocks, tiles), 1,
                                             ceil_div(reduction, SumOrder::kSliceRows));
  const int64_t rows = round_up(ceil_div(reduction, wanted), step);
  return {rows, ceil_div(reduction, rows)};
}

}  // namespace cuclip
