// How fast the machine can multiply: the denominator of "share of the peak".
#pragma once

#include "core/context.h"
#include "core/tensor.h"
#include "kernels/common/dtype.h"

namespace cuclip {

/// The product whose rate is the yardstick: 2048 x 2048 x 2048 with inputs of one dtype and f32 results,
/// oneDNN's, on all threads of the context's pool. The context must outlive it.
class PeakProduct {
 public:
  static constexpr int64_t kSize = 2048;
  static constexpr double kFlop = 2.0 * kSize * kSize * kSize;

  PeakProduct(Context& context, DType dtype);
  void run() const;

 private:
  Context& context_;
  Tensor a_, b_, c_;
};

/// The best rate, in FLOP/s, of several runs of PeakProduct. Takes about a second.
double matrix_product_peak(Context& context, DType dtype);

}  // namespace cuclip
