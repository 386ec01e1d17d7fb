// cublasLtMatmul with layouts, batches, bias and bias-gradient epilogues.
#include <cublasLt.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "cublas/gemm.h"

using namespace emu::blas;

namespace {

// Descriptions are sets of attributes.
struct Attributes {
  std::map<int, std::vector<uint8_t>> values;

  cublasStatus_t set(int attribute, const void* value, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(value);
    values[attribute].assign(bytes, bytes + size);
    return CUBLAS_STATUS_SUCCESS;
  }
  cublasStatus_t get(int attribute, void* value, size_t size, size_t* written) const {
    const auto found = values.find(attribute);
    if (found == values.end() || found->second.size() > size) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(value, found->second.data(), found->second.size());
    if (written != nullptr) *written = found->second.size();
    return CUBLAS_STATUS_SUCCESS;
  }
  template <class T>
  T as(int attribute, T otherwise) const {
    const auto found = values.find(attribute);
    if (found == values.end() || found->second.size() != sizeof(T)) return otherwise;
    T value;
    std::memcpy(&value, found->second.data(), sizeof value);
    return value;
  }
};

template <class Handle>
Attributes& attributes(Handle handle) {
  return *reinterpret_cast<Attributes*>(handle);
}

cublasStatus_t refuse(const char* what) {
  std::fprintf(stderr, "emulate: cublasLt: %s is not supported\n", what);
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

// Where products are refused, as a real cuBLASLt may: EMULATE_CUBLASLT_REFUSE is "heuristic" (no algorithm is
// found), "call" (not supported after all) or "launch" (the product's last kernel cannot be launched).
bool refuses_at(std::string_view where) {
  const char* asked = std::getenv("EMULATE_CUBLASLT_REFUSE");
  return asked != nullptr && asked == where;
}

Matrix matrix_of(const void* data, cublasLtMatrixLayout_t layout, cublasOperation_t operation) {
  const Attributes& a = attributes(layout);
  Matrix matrix;
  matrix.data = data;
  matrix.type = static_cast<cudaDataType>(a.as<uint32_t>(CUBLASLT_MATRIX_LAYOUT_TYPE, CUDA_R_32F));
  matrix.rows = static_cast<int64_t>(a.as<uint64_t>(CUBLASLT_MATRIX_LAYOUT_ROWS, 0));
  matrix.columns = static_cast<int64_t>(a.as<uint64_t>(CUBLASLT_MATRIX_LAYOUT_COLS, 0));
  matrix.leading = a.as<int64_t>(CUBLASLT_MATRIX_LAYOUT_LD, matrix.rows);
  matrix.stride = a.as<int64_t>(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 0);
  matrix.transposed = operation != CUBLAS_OP_N;
  return matrix;
}

bool epilogue_of(uint32_t value, Epilogue& out) {
  switch (value) {
    case CUBLASLT_EPILOGUE_DEFAULT:
      out = Epilogue::none;
      return true;
    case CUBLASLT_EPILOGUE_BIAS:
      out = Epilogue::bias;
      return true;
    case CUBLASLT_EPILOGUE_RELU:
      out = Epilogue::relu;
      return true;
    case CUBLASLT_EPILOGUE_RELU_BIAS:
      out = Epilogue::relu_bias;
      return true;
    case CUBLASLT_EPILOGUE_BGRADA:
      out = Epilogue::gradient_a;
      return true;
    case CUBLASLT_EPILOGUE_BGRADB:
      out = Epilogue::gradient_b;
      return true;
    default:
      return false;
  }
}

// What a description asks for and cublasLtMatmul does not do; null when there is nothing.
const char* unsupported(const Attributes& how) {
  const auto compute = how.as<int32_t>(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, CUBLAS_COMPUTE_32F);
  if (!sums_in_f32(static_cast<cublasComputeType_t>(compute))) return "this compute type";
  if (how.as<int32_t>(CUBLASLT_MATMUL_DESC_SCALE_TYPE, CUDA_R_32F) != CUDA_R_32F) return "this scale type";
  if (how.as<int32_t>(CUBLASLT_MATMUL_DESC_POINTER_MODE, 0) > CUBLASLT_POINTER_MODE_DEVICE)
    return "this pointer mode";
  for (const auto& [attribute, value] : how.values) {
    switch (attribute) {
      case CUBLASLT_MATMUL_DESC_COMPUTE_TYPE:
      case CUBLASLT_MATMUL_DESC_SCALE_TYPE:
      case CUBLASLT_MATMUL_DESC_POINTER_MODE:
      case CUBLASLT_MATMUL_DESC_TRANSA:
      case CUBLASLT_MATMUL_DESC_TRANSB:
      case CUBLASLT_MATMUL_DESC_EPILOGUE:
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
      case CUBLASLT_MATMUL_DESC_FAST_ACCUM:
        break;
      default:  // zero is what they are if nobody sets them
        if (std::any_of(value.begin(), value.end(), [](uint8_t byte) { return byte != 0; }))
          return "an attribute of this description";
    }
  }
  return nullptr;
}

}  // namespace

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_INVALID_VALUE:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "a status that the stand-in never gives";
  }
}
size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new Attributes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete &attributes(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  auto* made = new Attributes;
  const int32_t compute_value = compute, scale_value = scale;
  made->set(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, &compute_value, 4);
  made->set(CUBLASLT_MATMUL_DESC_SCALE_TYPE, &scale_value, 4);
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(made);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete &attributes(desc);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t size) {
  return attributes(desc).set(attribute, value, size);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute, void* value,
                                              size_t size, size_t* written) {
  return attributes(desc).get(attribute, value, size, written);
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  auto* made = new Attributes;
  const uint32_t type_value = type;
  made->set(CUBLASLT_MATRIX_LAYOUT_TYPE, &type_value, 4);
  made->set(CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, 8);
  made->set(CUBLASLT_MATRIX_LAYOUT_COLS, &columns, 8);
  made->set(CUBLASLT_MATRIX_LAYOUT_LD, &leading, 8);
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(made);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &attributes(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t size) {
  return attributes(layout).set(attribute, value, size);
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Attributes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &attributes(preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t size) {
  return attributes(preference).set(attribute, value, size);
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  *count = wanted > 0 && !refuses_at("heuristic") ? 1 : 0;
  if (*count > 0) {
    results[0] = {};
    results[0].state = CUBLAS_STATUS_SUCCESS;
    results[0].wavesCount = 1;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb,
                              const void* beta, const void* c, cublasLtMatrixLayout_t lc, void* d,
                              cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t*, void*, size_t,
                              cudaStream_t stream) {
  const Attributes& how = attributes(desc);
  if (refuses_at("call")) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (const char* what = unsupported(how)) return refuse(what);
  Product product;
  product.a = matrix_of(
      a, la, static_cast<cublasOperation_t>(how.as<int32_t>(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N)));
  product.b = matrix_of(
      b, lb, static_cast<cublasOperation_t>(how.as<int32_t>(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N)));
  product.c = matrix_of(c, lc, CUBLAS_OP_N);
  product.d = matrix_of(d, ld, CUBLAS_OP_N);
  product.m = product.d.rows;
  product.n = product.d.columns;
  product.k = product.a.transposed ? product.a.rows : product.a.columns;
  product.batch = attributes(ld).as<int32_t>(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 1);
  for (cublasLtMatrixLayout_t layout : {la, lb, lc, ld}) {
    if (attributes(layout).as<int32_t>(CUBLASLT_MATRIX_LAYOUT_ORDER, CUBLASLT_ORDER_COL) !=
        CUBLASLT_ORDER_COL)
      return refuse("this order");
  }
  for (const Matrix* matrix : {&product.a, &product.b, &product.c, &product.d}) {
    if (!is_supported(matrix->type)) return refuse("this type");
    if (matrix->leading < matrix->rows) return CUBLAS_STATUS_INVALID_VALUE;
  }
  const int64_t rows_of_a = product.a.transposed ? product.a.columns : product.a.rows;
  const int64_t columns_of_b = product.b.transposed ? product.b.rows : product.b.columns;
  const int64_t inner_of_b = product.b.transposed ? product.b.columns : product.b.rows;
  if (rows_of_a != product.m || columns_of_b != product.n || inner_of_b != product.k)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!epilogue_of(how.as<uint32_t>(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT),
                   product.epilogue))
    return refuse("this epilogue");
  product.bias = how.as<void*>(CUBLASLT_MATMUL_DESC_BIAS_POINTER, nullptr);
  product.bias_type =
      static_cast<cudaDataType>(how.as<int32_t>(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, product.d.type));
  const bool needs_bias = product.epilogue != Epilogue::none && product.epilogue != Epilogue::relu;
  if (needs_bias && product.bias_type != product.d.type) return refuse("a bias of another type than D");
  if ((needs_bias && product.bias == nullptr) || alpha == nullptr || beta == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  product.alpha = alpha;
  product.beta = beta;
  product.scalars_on_device = how.as<int32_t>(CUBLASLT_MATMUL_DESC_POINTER_MODE,
                                              CUBLASLT_POINTER_MODE_HOST) == CUBLASLT_POINTER_MODE_DEVICE;
  const bool enqueued = enqueue(product, stream) == cudaSuccess;
  return enqueued && !refuses_at("launch") ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
