// How the products of weight gradients share their long reductions out over blocks.
#pragma once

#include <algorithm>

#include "kernels/common/exec_context.h"
#include "kernels/common/host_device.h"
#include "kernels/common/tuning.h"

namespace cuclip {

/// Few tiles with a long reduction would leave most of a GPU idle, so its rows are cut into slices, by the
/// shape alone: slice i has rows begin(i) to begin(i + 1), in whole steps but for the last row, and none is
/// empty unless there are no rows.
///
/// They are equal, or `falling`: n slices have 2n - 1, 2n - 3, ... 1 shares of the rows. Where there are more
/// blocks than a GPU runs at once, equal ones rarely fill its last round; of falling ones the longest run
/// first (grid.y), and the last and shortest end nearly together on any number of multiprocessors
/// (bench/grid_balance).
struct RowSlices {
  int64_t rows;
  int64_t step;
  int64_t count;
  bool falling;

  CUCLIP_HOST_DEVICE int64_t begin(int64_t i) const {
    const int64_t shares = falling ? i * (2 * count - i) : i, all = falling ? count * count : count;
    const int64_t at = (rows + step - 1) / step * shares / all * step;
    return at < rows ? at : rows;
  }
};

/// As many equal slices as one round of blocks needs, of `reduction` rows for each of `tiles` tiles.
inline RowSlices equal_slices(int64_t reduction, int64_t tiles, int64_t step) {
  const int64_t wanted =
      std::min(ceil_div(SumOrder::kGradientBlocks, tiles), ceil_div(reduction, SumOrder::kSliceRows));
  return {reduction, step, std::max<int64_t>(wanted, 1), false};
}

/// The slices that weight gradients use: falling ones where they load a GPU more evenly.
inline RowSlices cut_into_slices(int64_t reduction, int64_t tiles, int64_t step) {
  using Order = SumOrder;
  const RowSlices equal = equal_slices(reduction, tiles, step);
  // Of tiles that are many rounds by themselves there is nothing to gain.
  const int64_t best =
      std::min(ceil_div(2 * Order::kGradientBlocks, tiles) + 4, ceil_div(6 * Order::kGradientBlocks, tiles));
  RowSlices falling{reduction, step, std::max(equal.count, std::min(best, reduction / Order::kFallingRows)),
                    true};
  while (falling.count > equal.count && falling.count * falling.count > ceil_div(reduction, step))
    --falling.count;
  const bool filled = falling.count * falling.count <= ceil_div(reduction, step);
  return filled && falling.count > 1 && falling.count * tiles > Order::kGradientBlocks ? falling : equal;
}

}  // namespace cuclip
