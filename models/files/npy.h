// NumPy's .npy files.
#pragma once

#include <filesystem>

#include "kernels/common/tensor_view.h"

namespace cuclip {

/// Writes a contiguous f32, i32 or u8 tensor as a .npy file of format version 1.0, little-endian, C order,
/// atomically (numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Throws InputError for bf16,
/// which NumPy does not have.
void write_npy(const std::filesystem::path& path, const TensorView& tensor);

}  // namespace cuclip
