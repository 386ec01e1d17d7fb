// Products by cuBLASLt, as good as it can: the fastest of the algorithms that it proposes.
#pragma once

#include "bench/cuda/operation.h"

namespace cuclip::bench {

enum class LtEpilogue : uint8_t {
  none,
  bias,           // c + bias
  gelu_aux_bias,  // aux = c + bias, gelu(aux); its GELU is the one through tanh
  dgelu,          // c * gelu'(aux)
  bias_gradient,  // bias = the sums of a's columns, besides
};

/// c = alpha op(a) op(b) + beta c, row by row; `batch` such products of matrices that lie one behind another.
struct LtProduct {
  int64_t m, n, k;
  DType in, out;
  bool transpose_a = false, transpose_b = false;
  int64_t batch = 1;
  float alpha = 1.0f, beta = 0.0f;
  LtEpilogue epilogue = LtEpilogue::none;
};

struct LtOperands {
  TensorView a, b, c;
  TensorView bias = {};  // of c's dtype; where it's a result, too
  TensorView aux = {};   // [m, n], c's dtype
};

using LtRun = std::function<void(const LtOperands&)>;

/// Tries the algorithms on `sample`, whose results are undefined afterwards. Refusal where cuBLASLt is not
/// installed or has no algorithm.
LtRun lt_product(Lab& lab, const LtProduct& product, const LtOperands& sample);

/// "13.0.2", or why there is none.
std::string cublaslt_version();

}  // namespace cuclip::bench
