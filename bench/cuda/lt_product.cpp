// Products of row-major matrices are cuBLASLt's of column-major ones: cᵀ = op(b)ᵀ op(a)ᵀ.
#include "bench/cuda/lt_product.h"

#include <array>
#include <memory>

#include "bench/cuda/timing.h"
#include "kernels/gemm/cublaslt_library.h"

namespace cuclip::bench {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;
constexpr int kAlgorithms = 8;

cudaDataType_t type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

cublasLtEpilogue_t epilogue_of(LtEpilogue epilogue) {
  switch (epilogue) {
    case LtEpilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case LtEpilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case LtEpilogue::gelu_aux_bias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case LtEpilogue::dgelu:
      return CUBLASLT_EPILOGUE_DGELU;
    case LtEpilogue::bias_gradient:
      return CUBLASLT_EPILOGUE_BGRADB;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

class Plan {
 public:
  Plan(Lab& lab, const LtProduct& p) : product_(p), context_(*lab.context) {
    CUCLIP_LT_CHECK(Create, handle_.place());
    const bool tf32 = lab.precision == Precision::tf32;
    CUCLIP_LT_CHECK(MatmulDescCreate, description_.place(),
                    tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p.epilogue));
    make_layout(a_, p.in, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
    make_layout(b_, p.in, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
    make_layout(c_, p.out, p.m, p.n);
    workspace_ = Tensor::empty(context_, {kWorkspaceBytes}, DType::u8);
  }

  /// The fastest on these operands.
  void choose(const LtOperands& at) {
    point(at);
    CublasLtPreference preference;
    CUCLIP_LT_CHECK(MatmulPreferenceCreate, preference.place());
    const auto bytes = static_cast<uint64_t>(kWorkspaceBytes);
    CUCLIP_LT_CHECK(MatmulPreferenceSetAttribute, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                    &bytes, sizeof bytes);
    std::array<cublasLtMatmulHeuristicResult_t, kAlgorithms> found{};
    int count = 0;
    CUCLIP_LT_CHECK(MatmulAlgoGetHeuristic, handle_, description_, b_, a_, c_, c_, preference, kAlgorithms,
                    found.data(), &count);
    double best = 0;
    for (int i = 0; i < count; ++i) {
      if (found[static_cast<size_t>(i)].state != CUBLAS_STATUS_SUCCESS) continue;
      const cublasLtMatmulAlgo_t before = algorithm_;
      algorithm_ = found[static_cast<size_t>(i)].algo;
      try {
        run(at);
        if (count == 1) return;  // nothing to compare
        const double seconds = seconds_of(context_.stream(), [&] {
          for (int j = 0; j < 3; ++j) run(at);
        });
        if (best == 0 || seconds < best) {
          best = seconds;
          continue;
        }
      } catch (const CublasLtRefusal&) {  // proposed, but not carried out
      }
      algorithm_ = before;
    }
    if (best == 0) throw CublasLtRefusal{"cublasLtMatmulAlgoGetHeuristic", CUBLAS_STATUS_NOT_SUPPORTED};
  }

  void run(const LtOperands& at) {
    point(at);
    CUCLIP_LT_CHECK(Matmul, handle_, description_, &product_.alpha, at.b.data, b_, at.a.data, a_,
                    &product_.beta, at.c.data, c_, at.c.data, c_, &algorithm_, workspace_.view().data,
                    static_cast<size_t>(kWorkspaceBytes), static_cast<cudaStream_t>(context_.stream()));
  }

 private:
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    CUCLIP_LT_CHECK(MatmulDescSetAttribute, description_, attribute, &value, sizeof value);
  }

  void point(const LtOperands& at) {
    if (at.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias.data);
    if (!at.aux) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, at.aux.data);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, product_.n);
  }

  void make_layout(CublasLtLayout& made, DType dtype, int64_t rows, int64_t columns) const {
    CUCLIP_LT_CHECK(MatrixLayoutCreate, made.place(), type_of(dtype), static_cast<uint64_t>(columns),
                    static_cast<uint64_t>(rows), columns);
    if (product_.batch == 1) return;
    const auto count = static_cast<int32_t>(product_.batch);
    const int64_t stride = rows * columns;
    CUCLIP_LT_CHECK(MatrixLayoutSetAttribute, made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    CUCLIP_LT_CHECK(MatrixLayoutSetAttribute, made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                    sizeof stride);
  }

  LtProduct product_;
  Context& context_;
  CublasLtHandle handle_;
  CublasLtDescription description_;
  CublasLtLayout a_, b_, c_;
  cublasLtMatmulAlgo_t algorithm_{};
  Tensor workspace_;
};

[[noreturn]] void refuse(const CublasLtRefusal& refusal) {
  throw Refusal(fmt::format("cuBLASLt refuses: {}: {}", refusal.call,
                            cublaslt_library().GetStatusName(refusal.status)));
}

}  // namespace

LtRun lt_product(Lab& lab, const LtProduct& product, const LtOperands& sample) {
  try {
    (void)cublaslt_library();
  } catch (const InputError& error) {
    throw Refusal(error.what());
  }
  try {
    const auto plan = std::make_shared<Plan>(lab, product);
    plan->choose(sample);
    return [plan](const LtOperands& at) {
      try {
        plan->run(at);
      } catch (const CublasLtRefusal& refusal) {
        refuse(refusal);
      }
    };
  } catch (const CublasLtRefusal& refusal) {
    refuse(refusal);
  }
}

std::string cublaslt_version() try {
  const size_t version = cublaslt_library().GetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
} catch (const Error& error) {
  return fmt::format("none: {}", error.what());
}

}  // namespace cuclip::bench
