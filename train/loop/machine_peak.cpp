#include "train/loop/machine_peak.h"

#include <algorithm>

#include "core/clock.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {
constexpr int64_t kTileRows = 256;
constexpr int kRepeats = 8;
}  // namespace

// Zeros are no slower or faster to multiply on a CPU.
PeakProduct::PeakProduct(Context& context, DType dtype)
    : context_(context),
      a_(Tensor::zeros(context, {kSize, kSize}, dtype)),
      b_(Tensor::zeros(context, {kSize, kSize}, dtype)),
      c_(Tensor::zeros(context, {kSize, kSize}, DType::f32)) {}

void PeakProduct::run() const {
  parallel_for(context_.exec(), kSize / kTileRows, [&](int64_t tile, int) {
    tile_product({.a = a_.rows(tile * kTileRows, kTileRows).view().data,
                  .b = b_.view().data,
                  .c = c_.rows(tile * kTileRows, kTileRows).view().data,
                  .m = kTileRows,
                  .n = kSize,
                  .k = kSize,
                  .lda = kSize,
                  .ldb = kSize,
                  .ldc = kSize,
                  .input = a_.dtype()});
  });
}

double matrix_product_peak(Context& context, DType dtype) {
  const PeakProduct product(context, dtype);
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = seconds_now();
    product.run();
    best = std::max(best, PeakProduct::kFlop / (seconds_now() - start));
  }
  return best;
}

}  // namespace cuclip
