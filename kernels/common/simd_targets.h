// The instruction sets that the CPU kernels are built for: AVX-512, AVX2 and SSE4.2 (x86-64-v2, the baseline
// of the whole build). Include it before any Highway header. Highway's other targets would only lengthen the
// build.
#pragma once

#ifdef HIGHWAY_HWY_DETECT_TARGETS_H_
#error "simd_targets.h comes before any Highway header"
#endif

// Highway's SSE4 asks for AES and carry-less multiplication unless told otherwise; x86-64-v2 has neither.
#define HWY_DISABLE_PCLMUL_AES
#include "hwy/detect_targets.h"

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
