// The activation functions on vectors of f32, shared by the pointwise kernels and the epilogues of the matrix
// products. Included once for each instruction set, as kernels/common/simd-inl.h.
#if defined(CUCLIP_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CUCLIP_ACTIVATION_INL_H_
#undef CUCLIP_ACTIVATION_INL_H_
#else
#define CUCLIP_ACTIVATION_INL_H_
#endif

#include "kernels/common/simd-inl.h"
#include "kernels/pointwise/gelu_tail.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {

/// The standard normal distribution at x: cdf = Phi(x) = (1 + erf(x / sqrt 2)) / 2, exponential = e^(-x^2/2).
struct NormalCdf {
  VF cdf;
  VF exponential;
};

/// Phi(-|x|) as in gelu_tail.h.
HWY_INLINE NormalCdf normal_cdf(VF x) {
  const F32 d;
  const VF one = hn::Set(d, 1.0f);
  const VF exponential = exp(hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f)));
  const VF t = hn::Div(one, hn::MulAdd(hn::Abs(x), hn::Set(d, kGeluTailScale), one));
  VF p = hn::Set(d, kGeluTail7);
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail6));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail5));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail4));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail3));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail2));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail1));
  p = hn::MulAdd(p, t, hn::Set(d, kGeluTail0));
  const VF lower_tail = hn::Mul(exponential, hn::Mul(p, t));
  const VF cdf = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), lower_tail, hn::Sub(one, lower_tail));
  return {cdf, exponential};
}

/// x Phi(x).
HWY_INLINE VF gelu(VF x) { return hn::Mul(x, normal_cdf(x).cdf); }

/// Phi(x) + x phi(x), with the density phi(x) = e^(-x^2/2) / sqrt(2 pi).
HWY_INLINE VF gelu_derivative(VF x) {
  const NormalCdf n = normal_cdf(x);
  return hn::MulAdd(hn::Mul(x, hn::Set(F32(), 0.3989422804f)), n.exponential, n.cdf);
}

/// x sigmoid(1.702 x).
HWY_INLINE VF quick_gelu(VF x) { return hn::Mul(x, sigmoid(hn::Mul(x, hn::Set(F32(), 1.702f)))); }

/// s + 1.702 x s (1 - s) with s = sigmoid(1.702 x).
HWY_INLINE VF quick_gelu_derivative(VF x) {
  const F32 d;
  const VF scaled = hn::Mul(x, hn::Set(d, 1.702f));
  const VF s = sigmoid(scaled);
  return hn::MulAdd(hn::Mul(scaled, s), hn::Sub(hn::Set(d, 1.0f), s), s);
}

}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
