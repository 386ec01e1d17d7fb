// How fast the machine can multiply: the denominator of "share of the peak".
#pragma once

#include "core/context.h"
#include "kernels/common/dtype.h"

namespace cuclip {

/// The best rate, in FLOP/s, of several 2048 x 2048 x 2048 products with inputs of this dtype and f32
/// results, oneDNN's, on all threads of the context's pool. Takes about a second.
double matrix_product_peak(Context& context, DType dtype);

}  // namespace cuclip
