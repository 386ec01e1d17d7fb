// run:
// run: --check full
// link: -lcublas -lcublasLt
// The cuBLAS and cuBLASLt stand-ins against products on the host; a graph replays what it captured.
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>

#include <cmath>

#include "programs/check.h"

#define BLAS(call) EXPECT((call) == CUBLAS_STATUS_SUCCESS, "%s", #call)

// Small integers: exact in bf16 and in sums.
template <class T>
std::vector<T> integers(size_t n) {
  std::vector<T> values(n);
  for (T& value : values) value = T(static_cast<float>(static_cast<int>(rng()() % 9) - 4));
  return values;
}
template <class T>
float at(const std::vector<T>& x, int row, int column, int leading, bool transposed) {
  return static_cast<float>(transposed ? x[row * leading + column] : x[column * leading + row]);
}

template <class T>
void test_gemm(cublasHandle_t handle, cudaDataType type, bool ta, bool tb) {
  const int m = 13, n = 7, k = 21, lda = (ta ? k : m) + 2, ldb = (tb ? n : k) + 1, ldc = m + 3;
  const auto a = integers<T>(lda * (ta ? m : k)), b = integers<T>(ldb * (tb ? k : n));
  const auto c = integers<float>(ldc * n);
  Device<T> da(a), db(b);
  Device<float> dc(c);
  const float alpha = 2, beta = -1;
  BLAS(cublasGemmEx(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha,
                    da, type, lda, db, type, ldb, &beta, dc, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F,
                    CUBLAS_GEMM_DEFAULT));
  const auto got = dc.host();
  for (int row = 0; row < ldc; ++row) {
    for (int column = 0; column < n; ++column) {
      float expected = c[column * ldc + row];
      if (row < m) {
        expected = -expected;
        for (int i = 0; i < k; ++i) expected += 2 * at(a, row, i, lda, ta) * at(b, i, column, ldb, tb);
      }
      EXPECT(got[column * ldc + row] == expected, "%d %d (%d, %d): %g %g", ta, tb, row, column,
             got[column * ldc + row], expected);
    }
  }
}

void test_lt(bool gradient) {
  const int m = 9, n = 5, k = 12;
  const auto a = integers<__nv_bfloat16>(m * k), b = integers<__nv_bfloat16>(k * n);
  const auto bias = integers<float>(m);
  Device<__nv_bfloat16> da(a), db(b);
  Device<float> dd(m * n), dbias(bias);
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t la, lb, ld;
  BLAS(cublasLtCreate(&handle));
  BLAS(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t transpose = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue = gradient ? CUBLASLT_EPILOGUE_BGRADA : CUBLASLT_EPILOGUE_BIAS;
  float* pointer = dbias;
  BLAS(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose));
  BLAS(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  BLAS(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &pointer, sizeof pointer));
  BLAS(cublasLtMatrixLayoutCreate(&la, CUDA_R_16BF, k, m, k));
  BLAS(cublasLtMatrixLayoutCreate(&lb, CUDA_R_16BF, k, n, k));
  BLAS(cublasLtMatrixLayoutCreate(&ld, CUDA_R_32F, m, n, m));
  const float one = 1, zero = 0;
  cudaStream_t stream;
  CUDA(cudaStreamCreate(&stream));
  CUDA(cudaMemset(dd, 0, m * n * 4));
  CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  BLAS(
      cublasLtMatmul(handle, desc, &one, da, la, db, lb, &zero, dd, ld, dd, ld, nullptr, nullptr, 0, stream));
  cudaGraph_t graph;
  CUDA(cudaStreamEndCapture(stream, &graph));
  EXPECT(dd.host()[0] == 0, "captured work must not run");
  cudaGraphExec_t exec;
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, stream));
  CUDA(cudaStreamSynchronize(stream));
  const auto d = dd.host(), after = dbias.host();
  for (int row = 0; row < m; ++row) {
    float sum = 0;
    for (int i = 0; i < k; ++i) sum += at(a, row, i, k, true);
    if (gradient) EXPECT(after[row] == sum, "gradient %d: %g %g", row, after[row], sum);
    for (int column = 0; column < n; ++column) {
      float expected = gradient ? 0 : bias[row];
      for (int i = 0; i < k; ++i) expected += at(a, row, i, k, true) * at(b, i, column, k, false);
      EXPECT(d[column * m + row] == expected, "Lt (%d, %d): %g %g", row, column, d[column * m + row],
             expected);
    }
  }
  CUDA(cudaGraphExecDestroy(exec));
  CUDA(cudaGraphDestroy(graph));
  CUDA(cudaStreamDestroy(stream));
  BLAS(cublasLtMatrixLayoutDestroy(la));
  BLAS(cublasLtMatrixLayoutDestroy(lb));
  BLAS(cublasLtMatrixLayoutDestroy(ld));
  BLAS(cublasLtMatmulDescDestroy(desc));
  BLAS(cublasLtDestroy(handle));
}

// What a description asks for is done or refused.
template <class T>
void test_refusal(cublasLtMatmulDescAttributes_t attribute, T value) {
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t layout;
  Device<float> x(std::vector<float>(16));
  const float one = 1;
  BLAS(cublasLtCreate(&handle));
  BLAS(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  BLAS(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 4, 4, 4));
  const auto multiply = [&] {
    return cublasLtMatmul(handle, desc, &one, x, layout, x, layout, &one, x, layout, x, layout, nullptr,
                          nullptr, 0, 0);
  };
  BLAS(multiply());
  BLAS(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value));
  EXPECT(multiply() == CUBLAS_STATUS_NOT_SUPPORTED, "attribute %d", attribute);
  BLAS(cublasLtMatrixLayoutDestroy(layout));
  BLAS(cublasLtMatmulDescDestroy(desc));
  BLAS(cublasLtDestroy(handle));
}

int main() {
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  for (int which = 0; which < 4; ++which) {
    test_gemm<float>(handle, CUDA_R_32F, which & 1, which & 2);
    test_gemm<__nv_bfloat16>(handle, CUDA_R_16BF, which & 1, which & 2);
  }
  BLAS(cublasDestroy(handle));
  test_lt(false);
  test_lt(true);
  const float scale = 1;
  test_refusal(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &scale);
  test_refusal(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, CUBLAS_COMPUTE_64F);
  test_refusal(CUBLASLT_MATMUL_DESC_POINTER_MODE, CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO);
  test_refusal(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU_BIAS);
  return finish();
}
