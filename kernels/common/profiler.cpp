#include "kernels/common/profiler.h"

// NVTX comes with the toolkit, as headers only: the first range looks for a tool, and if there is none each
// later one costs a comparison.
#if defined(CUCLIP_WITH_CUDA) && __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define CUCLIP_WITH_NVTX
#endif

namespace cuclip {

#ifdef CUCLIP_WITH_NVTX
TraceRange::TraceRange(const char* name) { nvtxRangePushA(name); }
TraceRange::~TraceRange() { nvtxRangePop(); }
#else
TraceRange::TraceRange(const char*) {}
TraceRange::~TraceRange() = default;
#endif

}  // namespace cuclip
