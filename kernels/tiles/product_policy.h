// How the matrix products of all operations are computed on Device::cuda, where there is a choice.
#pragma once

#include "kernels/common/exec_context.h"

namespace cuclip {

class CublasLt;  // kernels/gemm/gemm_cublaslt.h

struct ProductPolicy {
  /// Products of f32 round their operands to tf32 (11 significant bits) and run on tensor cores; sums stay
  /// f32. The CPU computes them in f32 all the same.
  bool tf32 = false;
  /// Optional: gemm's products go to cuBLASLt where it computes the same (gemm.h).
  CublasLt* cublaslt = nullptr;
};

/// The context's, or the default.
inline ProductPolicy product_policy(const ExecContext& ctx) {
  return ctx.products ? *ctx.products : ProductPolicy{};
}

}  // namespace cuclip
