// Checked calls of the CUDA runtime. A .cuh although it is host code: it includes the runtime's header, so it
// is not installed, and no public header may include it.
#pragma once

#include <cuda_runtime_api.h>

namespace cuclip {

/// Throws Error "expression failed at file:line: what (name)" unless `status` is cudaSuccess, and clears the
/// runtime's last error, so that the next call does not report this one.
void check_cuda(cudaError_t status, const char* expression, const char* file, int line);

}  // namespace cuclip

// The file's name alone: where it lies on the machine that built it is nobody's business.
#define CUCLIP_CUDA_CHECK(expression) ::cuclip::check_cuda((expression), #expression, __FILE_NAME__, __LINE__)
