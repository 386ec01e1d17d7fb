#ifdef CUCLIP_WITH_CUDA

#include "kernels/gemm/cublaslt_library.h"

#include <dlfcn.h>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

#define CUCLIP_STRING_OF(value) #value
#define CUCLIP_STRING(value) CUCLIP_STRING_OF(value)
constexpr const char* kLibrary = "libcublasLt.so." CUCLIP_STRING(CUBLAS_VER_MAJOR);

void* open_library() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail_input("cuBLASLt cannot be loaded: {}; use cuclip's own products", dlerror());
  return library;
}

}  // namespace

void* CublasLtLibrary::find(const char* name) {
  static void* const library = open_library();
  void* function = dlsym(library, name);
  if (!function) fail("{} has no {}", kLibrary, name);
  return function;
}

const CublasLtLibrary& cublaslt_library() {
  static const CublasLtLibrary library;
  return library;
}

}  // namespace cuclip

#endif
