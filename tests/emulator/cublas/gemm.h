// The product behind the cuBLAS stand-ins: column-major matrices in the emulated device's memory, f32 sums.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <library_types.h>

#include <cstdint>
#include <functional>

namespace emu::blas {

struct Matrix {
  const void* data = nullptr;
  cudaDataType type = CUDA_R_32F;
  int64_t rows = 0, columns = 0, leading = 0;  // as stored
  bool transposed = false;
  int64_t stride = 0;  // between the matrices of a batch, in elements
};

enum class Epilogue { none, bias, relu, relu_bias, gradient_a, gradient_b };

/// D = alpha op(A) op(B) + beta C for each of a batch; C and D of one shape (C may be D).
struct Product {
  int64_t m = 0, n = 0, k = 0, batch = 1;
  Matrix a, b, c, d;
  const void* alpha = nullptr;  // f32
  const void* beta = nullptr;
  bool scalars_on_device = false;  // read when the work runs, not when it is enqueued
  Epilogue epilogue = Epilogue::none;
  void* bias = nullptr;  // m values; gradient_a writes m, gradient_b n
  cudaDataType bias_type = CUDA_R_32F;
};

/// f32, f16 and bf16 are known.
bool is_supported(cudaDataType type);

/// Types of computation that sum in f32; what narrower inputs they would allow is not made use of.
inline bool sums_in_f32(cublasComputeType_t type) {
  return type == CUBLAS_COMPUTE_32F || type == CUBLAS_COMPUTE_32F_PEDANTIC ||
         type == CUBLAS_COMPUTE_32F_FAST_TF32 || type == CUBLAS_COMPUTE_32F_FAST_16BF ||
         type == CUBLAS_COMPUTE_32F_FAST_16F;
}

/// Enqueues the product on a stream: captured and replayed like everything else there.
cudaError_t enqueue(const Product& product, cudaStream_t stream);

}  // namespace emu::blas
