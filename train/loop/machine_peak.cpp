#include "train/loop/machine_peak.h"

#include <algorithm>
#include <chrono>

#include "core/tensor.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {
constexpr int64_t kSize = 2048;
constexpr int64_t kTileRows = 256;
constexpr int kRepeats = 8;
}  // namespace

double matrix_product_peak(Context& context, DType dtype) {
  // Zeros are no slower or faster to multiply on a CPU.
  const Tensor a = Tensor::zeros(context, {kSize, kSize}, dtype),
               b = Tensor::zeros(context, {kSize, kSize}, dtype);
  const Tensor c = Tensor::zeros(context, {kSize, kSize}, DType::f32);
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(context.exec(), kSize / kTileRows, [&](int64_t tile, int) {
      tile_product({.a = a.rows(tile * kTileRows, kTileRows).view().data,
                    .b = b.view().data,
                    .c = c.rows(tile * kTileRows, kTileRows).view().data,
                    .m = kTileRows,
                    .n = kSize,
                    .k = kSize,
                    .lda = kSize,
                    .ldb = kSize,
                    .ldc = kSize,
                    .input = dtype});
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds);
  }
  return best;
}

}  // namespace cuclip
