// Rows of tensors from one place to another, on the device.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace cuclip {

/// Copies `rows` [n, ...] over n rows of `to` [N, ...], from row `first` on, in the dtype of `to`: any dtype
/// if both have the same, otherwise f32 or bf16. Both lie on the context's device; the copy is ordered on its
/// stream and not waited for. Throws InputError if the rows do not fit.
void copy_rows(Context& context, const Tensor& rows, const Tensor& to, int64_t first);

/// The rows of all parts, one after the other. There is at least one part; all have the first one's dtype and
/// extents but for the number of rows.
Tensor concatenate(Context& context, const std::vector<Tensor>& parts);

}  // namespace cuclip
