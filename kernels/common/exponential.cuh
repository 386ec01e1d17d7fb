// Exponentials that use the hardware's instruction.
#pragma once

namespace cuclip {

inline constexpr float kLog2E = 1.4426950408889634f;

/// 2^x within 2 ulp; 0 below 2^-126.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// e^x; exactly 1 for 0. The exponent is rounded once more: the relative error is 2 ulp plus |x| · 2^-24.
__device__ __forceinline__ float exp_fast(float x) { return exp2_fast(x * kLog2E); }

}  // namespace cuclip
