// NVIDIA's cuBLASLt, loaded when it is first used (docs/decisions/0005-cublaslt.md), and owners of its
// objects. Includes the toolkit's header: for sources of builds with CUDA.
#pragma once

#include <cublasLt.h>

namespace cuclip {

/// The functions that are called, under their names without "cublasLt". Made once: cublaslt_library().
struct CublasLtLibrary {
#define CUCLIP_LT(name) \
  decltype(&cublasLt##name) name = reinterpret_cast<decltype(name)>(find("cublasLt" #name))
  CUCLIP_LT(Create);
  CUCLIP_LT(Destroy);
  CUCLIP_LT(GetStatusName);
  CUCLIP_LT(GetVersion);
  CUCLIP_LT(Matmul);
  CUCLIP_LT(MatmulAlgoGetHeuristic);
  CUCLIP_LT(MatmulDescCreate);
  CUCLIP_LT(MatmulDescDestroy);
  CUCLIP_LT(MatmulDescSetAttribute);
  CUCLIP_LT(MatmulPreferenceCreate);
  CUCLIP_LT(MatmulPreferenceDestroy);
  CUCLIP_LT(MatmulPreferenceSetAttribute);
  CUCLIP_LT(MatrixLayoutCreate);
  CUCLIP_LT(MatrixLayoutDestroy);
  CUCLIP_LT(MatrixLayoutSetAttribute);
#undef CUCLIP_LT

 private:
  static void* find(const char* name);
};

/// InputError where it is not installed. It stays loaded: objects of it may live until the process ends.
const CublasLtLibrary& cublaslt_library();

/// cuBLASLt does not do what it was asked for.
struct CublasLtRefusal {
  const char* call;
  cublasStatus_t status;
};

inline void check_cublaslt(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) throw CublasLtRefusal{call, status};
}

/// An object of the library.
template <typename T, cublasStatus_t (*CublasLtLibrary::*kDestroy)(T)>
class CublasLtObject {
 public:
  CublasLtObject() = default;
  ~CublasLtObject() {
    if (object_) (cublaslt_library().*kDestroy)(object_);
  }
  CublasLtObject(const CublasLtObject&) = delete;
  CublasLtObject& operator=(const CublasLtObject&) = delete;
  T* place() { return &object_; }
  operator T() const { return object_; }

 private:
  T object_ = nullptr;
};

using CublasLtHandle = CublasLtObject<cublasLtHandle_t, &CublasLtLibrary::Destroy>;
using CublasLtDescription = CublasLtObject<cublasLtMatmulDesc_t, &CublasLtLibrary::MatmulDescDestroy>;
using CublasLtLayout = CublasLtObject<cublasLtMatrixLayout_t, &CublasLtLibrary::MatrixLayoutDestroy>;
using CublasLtPreference =
    CublasLtObject<cublasLtMatmulPreference_t, &CublasLtLibrary::MatmulPreferenceDestroy>;

}  // namespace cuclip

/// Calls a function of the library; throws CublasLtRefusal.
#define CUCLIP_LT_CHECK(name, ...) \
  ::cuclip::check_cublaslt(::cuclip::cublaslt_library().name(__VA_ARGS__), "cublasLt" #name)
