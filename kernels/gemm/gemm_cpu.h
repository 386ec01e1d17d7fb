// The CPU implementations behind gemm.cpp; arguments are already checked.
#pragma once

#include "kernels/gemm/gemm.h"

namespace cuclip {

// A tile's place in c, and where its f32 sums are (in scratch, or in c itself).
struct Tile {
  int64_t row, rows, column, columns;
  const float* sums;
  int64_t sums_stride;
};

void gemm_cpu(const Gemm& p, const ExecContext& ctx);
void gemm_weight_gradient_cpu(const GemmWeightGradient& p, const ExecContext& ctx);

}  // namespace cuclip
