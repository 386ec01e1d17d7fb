// Matrix products of linear layers with what follows them fused in.
//
// Inputs f32 or bf16 (both the same), sums in f32. Results are rounded once, where the text below says so.
// With ProductPolicy::tf32 f32 operands, including those summed for dbias, are rounded to tf32 on CUDA.
// Every tensor is contiguous and no output overlaps an input. Same bits for any number of threads: tiles are
// cut only by the shape. On CUDA the kernels are our own, or, where the context has a CublasLt, NVIDIA's for
// what that takes (gemm_cublaslt.h).
#pragma once

#include <optional>

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip {

/// With P = a · op(b):
///   z = round(P + bias)   rounded to c's dtype; z is also written to pre_activation where that is given
///   c = round(act(z))     act is the identity unless activation is set
/// or, with `gate` (the backward pass of an activation, and then none of the above):
///   c = round(P * act'(gate))
struct Gemm {
  TensorView a;  // [M, K]
  TensorView b;  // [K, N], or [N, K] with transpose_b (how PyTorch keeps Linear.weight)
  TensorView c;  // out, [M, N]: f32, or the inputs' dtype
  bool transpose_b = false;
  TensorView bias = {};  // optional, f32 [N]
  std::optional<Activation> activation = {};
  TensorView pre_activation = {};  // optional out with activation, [M, N], c's dtype
  TensorView gate = {};            // optional with activation, [M, N], c's dtype
};
void gemm(const Gemm& p, const ExecContext& ctx);

/// Gradients of a linear layer's parameters, accumulated:
///   dweight += dyᵀ · x        dbias += sum of dy's rows
/// The rows are cut into slices that the shape fixes; the slices' sums are added in order.
struct GemmWeightGradient {
  TensorView dy;          // [M, N], f32 or bf16
  TensorView x;           // [M, K], dy's dtype
  TensorView dweight;     // f32 [N, K], +=
  TensorView dbias = {};  // optional, f32 [N], +=
};
void gemm_weight_gradient(const GemmWeightGradient& p, const ExecContext& ctx);

}  // namespace cuclip
