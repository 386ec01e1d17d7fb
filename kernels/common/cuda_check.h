// Checked calls of the CUDA runtime. Not for public headers: it includes the runtime's.
#pragma once

#include <cuda_runtime_api.h>

namespace cuclip {

/// Throws Error "expression failed at file:line: what (name)" unless `status` is cudaSuccess, and clears the
/// runtime's last error, so that the next call does not report this one.
void check_cuda(cudaError_t status, const char* expression, const char* file, int line);

}  // namespace cuclip

#define CUCLIP_CUDA_CHECK(expression) ::cuclip::check_cuda((expression), #expression, __FILE__, __LINE__)
