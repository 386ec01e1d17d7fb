// The parts of kernels/common that device code is built from, each in a kernel of one block
// (device_headers.cu). Views are device memory.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip::test {

/// out[i] = x[i] for `n` elements of one dtype through Vec, pack and unpack; the last partial vector through
/// load_part.
void copy_vectors(const TensorView& x, const TensorView& out, const ExecContext& ctx);
/// out[0] = block_sum(x) of `threads` numbers, out[1] = warp_sum and out[2] = warp_max of the second warp's.
void reduce_block(const TensorView& x, const TensorView& out, int threads, const ExecContext& ctx);
/// c[16, 8] = a[16, K] b[8, K]^T, f32, through mma_bf16 and ldmatrix (bf16: K = 16) or mma_tf32 (f32: K = 8).
void multiply_fragments(const TensorView& a, const TensorView& b, const TensorView& c,
                        const ExecContext& ctx);
/// c[16, 8] = a[16, 16] b[16, 8]: b is stored by rows of k, and both come through ldmatrix with trans, a from
/// its transpose at[16 k, 16].
void multiply_transposed(const TensorView& at, const TensorView& b, const TensorView& c,
                         const ExecContext& ctx);
/// out[rows, chunks * 4] = x[valid_rows, chunks * 4], rows beyond valid_rows zero: f32 through cp.async into
/// a swizzled tile, read down its columns. chunks is 2, 4, 8 or 16.
void copy_tile(const TensorView& x, const TensorView& out, int chunks, const ExecContext& ctx);
/// Launches a kernel with that many threads and bytes of dynamic shared memory, and writes 1 to out[0].
void launch_with(const TensorView& out, int64_t blocks, int threads, size_t shared_bytes,
                 const ExecContext& ctx);
/// The most dynamic shared memory that a launch of that kernel may ask for now, in bytes.
size_t allowed_shared_bytes();
/// A kernel that is compiled for sm_90 and newer only (newer_kernel.cu).
const void* newer_than_sm_80();

}  // namespace cuclip::test
