// The activation functions on f32 in device code, shared by the pointwise kernels and the epilogues of the
// matrix products. The same formulas as on the CPU (activation-inl.h).
#pragma once

#include "kernels/pointwise/gelu_tail.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip {

/// Phi(x), the standard normal distribution; `exponential` becomes e^(-x^2/2). Phi(-|x|) as in gelu_tail.h.
__device__ __forceinline__ float normal_cdf(float x, float& exponential) {
  exponential = expf(-0.5f * x * x);
  const float t = __fdividef(1.0f, fmaf(fabsf(x), kGeluTailScale, 1.0f));
  float p = fmaf(kGeluTail7, t, kGeluTail6);
  p = fmaf(p, t, kGeluTail5);
  p = fmaf(p, t, kGeluTail4);
  p = fmaf(p, t, kGeluTail3);
  p = fmaf(p, t, kGeluTail2);
  p = fmaf(p, t, kGeluTail1);
  p = fmaf(p, t, kGeluTail0);
  const float lower_tail = exponential * (p * t);
  return x < 0.0f ? lower_tail : 1.0f - lower_tail;
}

/// x Phi(x).
__device__ __forceinline__ float gelu(float x) {
  float exponential;
  return x * normal_cdf(x, exponential);
}

/// Phi(x) + x phi(x), with the density phi(x) = e^(-x^2/2) / sqrt(2 pi).
__device__ __forceinline__ float gelu_derivative(float x) {
  float exponential;
  const float cdf = normal_cdf(x, exponential);
  return fmaf(x * 0.3989422804f, exponential, cdf);
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/// x sigmoid(1.702 x).
__device__ __forceinline__ float quick_gelu(float x) { return x * sigmoid(1.702f * x); }

/// s + 1.702 x s (1 - s) with s = sigmoid(1.702 x).
__device__ __forceinline__ float quick_gelu_derivative(float x) {
  const float scaled = 1.702f * x;
  const float s = sigmoid(scaled);
  return fmaf(scaled * s, 1.0f - s, s);
}

template <Activation kKind>
__device__ __forceinline__ float activate(float x) {
  return kKind == Activation::gelu ? gelu(x) : quick_gelu(x);
}

template <Activation kKind>
__device__ __forceinline__ float activation_derivative(float x) {
  return kKind == Activation::gelu ? gelu_derivative(x) : quick_gelu_derivative(x);
}

}  // namespace cuclip
