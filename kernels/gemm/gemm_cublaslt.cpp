// gemm.h's products are of row-major matrices, cuBLASLt's of column-major ones. The same memory read the
// other way is the transpose, so what is computed is cᵀ = op(b)ᵀ aᵀ and dweightᵀ = xᵀ dy, without copies.
#include "kernels/gemm/gemm_cublaslt.h"

#include "kernels/common/check.h"

#ifdef CUCLIP_WITH_CUDA

#include <algorithm>
#include <cstdio>
#include <map>
#include <utility>

#include "kernels/common/cuda_check.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/gemm/cublaslt_library.h"
#include "kernels/pointwise/pointwise_cuda.h"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

/// d = op(a) op(b), column by column, with what decides which algorithm can compute it.
struct Product {
  int64_t m, n, k;
  cublasOperation_t op_a, op_b;
  cudaDataType_t in, out;
  cublasComputeType_t compute;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  uint32_t a_alignment = 0, b_alignment = 0, d_alignment = 0, bias_alignment = 0;

  auto operator<=>(const Product&) const = default;
};

/// Its memory; `bias` is read or written as the epilogue says.
struct Operands {
  const void* a;
  const void* b;
  void* d;
  void* bias;
};

/// Made once for each kind of product.
struct Plan {
  enum class State { untried, works, refused } state = State::untried;
  CublasLtDescription description;
  CublasLtLayout a, b, d;
  cublasLtMatmulAlgo_t algorithm;
};

// What NVIDIA recommends as cuBLAS' workspace, by the major number of the compute capability.
int64_t workspace_bytes() {
  int device = 0, major = 0;
  CUCLIP_CUDA_CHECK(cudaGetDevice(&device));
  CUCLIP_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  return int64_t{major >= 9 ? 32 : 4} << 20;
}

uint32_t alignment(const void* memory) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  return static_cast<uint32_t>(std::min<uintptr_t>(address & -address, 256));
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::f32 ? CUDA_R_32F : CUDA_R_16BF; }

// Its workspace is scratch: products on two streams must not share one.
class CublasLtWithScratch : public CublasLt {
 public:
  CublasLtWithScratch() : workspace_bytes_(workspace_bytes()) {
    const cublasStatus_t status = cublaslt_library().Create(handle_.place());
    if (status != CUBLAS_STATUS_SUCCESS)
      fail("cublasLtCreate failed: {}", cublaslt_library().GetStatusName(status));
  }

  bool run(const Gemm& p, const ExecContext& ctx) override {
    const Product product{.m = p.c.size(1),
                          .n = p.c.size(0),
                          .k = p.a.size(1),
                          .op_a = p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                          .op_b = CUBLAS_OP_N,
                          .in = type_of(p.a.dtype),
                          .out = type_of(p.c.dtype),
                          .compute = compute_type(ctx),
                          .epilogue = p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT,
                          .a_alignment = alignment(p.b.data),
                          .b_alignment = alignment(p.a.data),
                          .d_alignment = alignment(p.c.data),
                          .bias_alignment = p.bias ? alignment(p.bias.data) : 0};
    ScratchPlan scratch;
    const auto workspace = scratch.add<std::byte>(workspace_bytes_);
    scratch.reserve(ctx);
    return multiply(plans_[product], product, {p.b.data, p.a.data, p.c.data, p.bias.data}, 0.0f,
                    scratch[workspace], ctx);
  }

  bool run(const GemmWeightGradient& p, const ExecContext& ctx) override {
    const Product product{.m = p.dweight.size(1),
                          .n = p.dweight.size(0),
                          .k = p.dy.size(0),
                          .op_a = CUBLAS_OP_N,
                          .op_b = CUBLAS_OP_T,
                          .in = type_of(p.dy.dtype),
                          .out = CUDA_R_32F,
                          .compute = compute_type(ctx),
                          .epilogue = p.dbias ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT,
                          .a_alignment = alignment(p.x.data),
                          .b_alignment = alignment(p.dy.data),
                          .d_alignment = alignment(p.dweight.data),
                          .bias_alignment = p.dbias ? uint32_t{Scratch::kAlignment} : 0};
    Plan& plan = plans_[product];
    if (plan.state == Plan::State::refused) return false;
    // A product that is tried for the first time may fail after some of its kernels have added to dweight.
    const bool untried = plan.state == Plan::State::untried;
    ScratchPlan scratch;
    const auto workspace = scratch.add<std::byte>(workspace_bytes_);
    const auto bias = scratch.add<float>(p.dbias ? product.n : 0);  // the epilogue overwrites
    const auto before = scratch.add<float>(untried ? p.dweight.elements() : 0);
    scratch.reserve(ctx);
    const size_t bytes = static_cast<size_t>(p.dweight.elements()) * sizeof(float);
    if (untried) device_copy(Device::cuda, scratch[before], p.dweight.data, bytes, ctx.stream);
    if (!multiply(plan, product, {p.x.data, p.dy.data, p.dweight.data, scratch[bias]}, 1.0f,
                  scratch[workspace], ctx)) {
      if (untried) device_copy(Device::cuda, p.dweight.data, scratch[before], bytes, ctx.stream);
      return false;
    }
    if (p.dbias) add_cuda({.a = p.dbias, .b = make_view(scratch[bias], p.dbias.shape), .out = p.dbias}, ctx);
    return true;
  }

 private:
  static cublasComputeType_t compute_type(const ExecContext& ctx) {
    return product_policy(ctx).tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  }

  /// d = op(a) op(b) + beta d. Returns false for this and all later calls if cuBLASLt refuses the plan's
  /// first product: d is undefined then. Throws Error if it fails at a product that succeeded earlier.
  bool multiply(Plan& plan, const Product& product, const Operands& at, float beta, void* workspace,
                const ExecContext& ctx) {
    if (plan.state == Plan::State::refused) return false;
    const bool untried = plan.state == Plan::State::untried;
    const float one = 1.0f;
    try {
      if (untried) describe(plan, product);
      if (product.epilogue != CUBLASLT_EPILOGUE_DEFAULT)
        set(plan, CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias);
      if (untried) choose_algorithm(plan, product);
      CUCLIP_LT_CHECK(Matmul, handle_, plan.description, &one, at.a, plan.a, at.b, plan.b, &beta, at.d,
                      plan.d, at.d, plan.d, &plan.algorithm, workspace, static_cast<size_t>(workspace_bytes_),
                      static_cast<cudaStream_t>(ctx.stream));
    } catch (const CublasLtRefusal& refusal) {
      (void)cudaGetLastError();  // the next launch is not to report it
      if (!untried) {
        fail("cuBLASLt failed at {}, although an identical product succeeded earlier: {}: {}",
             describe(product), refusal.call, cublaslt_library().GetStatusName(refusal.status));
      }
      plan.state = Plan::State::refused;
      say_once(product, refusal);
      return false;
    }
    plan.state = Plan::State::works;
    return true;
  }

  static std::string describe(const Product& p) {
    return fmt::format("a product of [{}, {}] and [{}, {}] ({} to {})", p.n, p.k, p.k, p.m,
                       p.in == CUDA_R_32F ? "f32" : "bf16", p.out == CUDA_R_32F ? "f32" : "bf16");
  }

  void say_once(const Product& p, const CublasLtRefusal& refusal) {
    if (std::exchange(said_, true)) return;
    const std::string line =
        fmt::format("cuclip: cuBLASLt refuses {}: {}: {}; cuclip's own kernels compute it instead\n",
                    describe(p), refusal.call, cublaslt_library().GetStatusName(refusal.status));
    std::fputs(line.c_str(), stderr);
  }

  template <typename T>
  static void set(Plan& plan, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    CUCLIP_LT_CHECK(MatmulDescSetAttribute, plan.description, attribute, &value, sizeof value);
  }

  static void describe(Plan& plan, const Product& p) {
    CUCLIP_LT_CHECK(MatmulDescCreate, plan.description.place(), p.compute, CUDA_R_32F);
    set(plan, CUBLASLT_MATMUL_DESC_TRANSA, p.op_a);
    set(plan, CUBLASLT_MATMUL_DESC_TRANSB, p.op_b);
    set(plan, CUBLASLT_MATMUL_DESC_EPILOGUE, p.epilogue);
    const auto layout = [&](CublasLtLayout& made, cudaDataType_t type, int64_t rows, int64_t columns,
                            bool transposed) {
      if (transposed) std::swap(rows, columns);
      CUCLIP_LT_CHECK(MatrixLayoutCreate, made.place(), type, static_cast<uint64_t>(rows),
                      static_cast<uint64_t>(columns), rows);
    };
    layout(plan.a, p.in, p.m, p.k, p.op_a == CUBLAS_OP_T);
    layout(plan.b, p.in, p.k, p.n, p.op_b == CUBLAS_OP_T);
    layout(plan.d, p.out, p.m, p.n, false);
  }

  // The first that cuBLASLt proposes for this memory and workspace. Sums of slices of the reduction pass
  // through workspace in f32, to be added in order.
  void choose_algorithm(Plan& plan, const Product& p) const {
    CublasLtPreference preference;
    CUCLIP_LT_CHECK(MatmulPreferenceCreate, preference.place());
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      CUCLIP_LT_CHECK(MatmulPreferenceSetAttribute, preference, attribute, &value, sizeof value);
    };
    const auto workspace = static_cast<uint64_t>(workspace_bytes_);
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reduction);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.a_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.b_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.d_alignment);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.d_alignment);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    CUCLIP_LT_CHECK(MatmulAlgoGetHeuristic, handle_, plan.description, plan.a, plan.b, plan.d, plan.d,
                    preference, 1, &found, &count);
    check_cublaslt(count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic");
    plan.algorithm = found.algo;
  }

  int64_t workspace_bytes_;
  CublasLtHandle handle_;
  std::map<Product, Plan> plans_;
  bool said_ = false;
};

}  // namespace

bool CublasLt::takes(const Gemm& p) {
  return p.a.size(1) > 0 && !p.activation && (!p.bias || p.c.dtype == DType::f32);
}

bool CublasLt::takes(const GemmWeightGradient& p) { return p.dy.size(0) > 0 && p.dweight.size(1) > 0; }

std::shared_ptr<CublasLt> make_cublaslt() { return std::make_shared<CublasLtWithScratch>(); }

}  // namespace cuclip

#else

namespace cuclip {

std::shared_ptr<CublasLt> make_cublaslt() { fail_input("cuBLASLt: this cuclip was built without CUDA"); }

}  // namespace cuclip

#endif
