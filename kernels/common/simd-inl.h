// SIMD helpers over Highway, compiled once for each instruction set. A CPU kernel's file looks like this:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "kernels/<op>/<op>_cpu.cpp"
//   #include "kernels/common/simd_targets.h"   // before any Highway header: which targets are built
//                                              // (the blank line keeps clang-format from sorting it)
//   #include "hwy/foreach_target.h"
//   #include "kernels/common/simd-inl.h"
//   HWY_BEFORE_NAMESPACE();
//   namespace cuclip::HWY_NAMESPACE { namespace { ...code... } }  // unnamed: names may recur in other files
//   HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   namespace cuclip { HWY_EXPORT(F); void f_cpu(...) { HWY_DYNAMIC_DISPATCH(F)(...); } }
//   #endif
//
// No include guard in the usual sense: the toggle below lets every target include this file once.
#if defined(CUCLIP_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CUCLIP_SIMD_INL_H_
#undef CUCLIP_SIMD_INL_H_
#else
#define CUCLIP_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/common/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF = hn::Vec<F32>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;

/// Number of f32 lanes of the target.
HWY_INLINE int64_t lanes() { return static_cast<int64_t>(hn::Lanes(F32())); }

HWY_INLINE VF load(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE void store(VF v, float* p) { hn::StoreU(v, F32(), p); }

/// Widens lanes() bf16 values to f32 (exact).
HWY_INLINE VF load(const bfloat16* p) {
  const hn::Rebind<uint16_t, F32> du16;
  const auto bits = hn::PromoteTo(U32(), hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p)));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(bits));
}

/// Rounds to nearest, ties to even, as bfloat16's constructor does; NaN stays NaN.
HWY_INLINE void store(VF v, bfloat16* p) {
  const hn::Rebind<uint16_t, F32> du16;
  const U32 du;
  const auto bits = hn::BitCast(du, v);
  const auto lsb = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), lsb));
  const auto quiet_nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(v));
  const auto result = hn::IfThenElse(is_nan, quiet_nan, rounded);
  hn::StoreU(hn::DemoteTo(du16, hn::BitCast(I32(), result)), du16, reinterpret_cast<uint16_t*>(p));
}

/// The first n < lanes() elements, zeros after them.
template <typename T>
HWY_INLINE VF load_n(const T* p, int64_t n) {
  T buffer[HWY_MAX_BYTES / 4] = {};
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(T));
  return load(buffer);
}

/// Stores the first n < lanes() elements.
template <typename T>
HWY_INLINE void store_n(VF v, T* p, int64_t n) {
  T buffer[HWY_MAX_BYTES / 4];
  store(v, buffer);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(T));
}

/// A vector of a row that has `left` >= 1 elements left, for loops that take the last, partial vector in
/// their stride: load or load_n, store or store_n, and the number of lanes that are there.
template <typename T>
HWY_INLINE VF load_left(const T* p, int64_t left) {
  return left >= lanes() ? load(p) : load_n(p, left);
}
template <typename T>
HWY_INLINE void store_left(VF v, T* p, int64_t left) {
  left >= lanes() ? store(v, p) : store_n(v, p, left);
}
HWY_INLINE hn::Mask<F32> mask_left(int64_t left) { return hn::FirstN(F32(), static_cast<size_t>(left)); }

/// For loops that are written once for both: vectors of whole lanes and, at the end of a row, vectors of its
/// last n < lanes() elements.
struct Whole {
  template <typename T>
  HWY_INLINE VF get(const T* p) const {
    return load(p);
  }
  template <typename T>
  HWY_INLINE void put(VF v, T* p) const {
    store(v, p);
  }
};
struct Partial {
  int64_t n;
  template <typename T>
  HWY_INLINE VF get(const T* p) const {
    return load_n(p, n);
  }
  template <typename T>
  HWY_INLINE void put(VF v, T* p) const {
    store_n(v, p, n);
  }
};

/// out[i] = a[i] + b[i], rounded once to Out; out may be a or b.
template <typename A, typename B, typename Out>
HWY_INLINE void add_arrays(const A* a, const B* b, Out* out, int64_t n) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) store(hn::Add(load(a + i), load(b + i)), out + i);
  if (i < n) store_n(hn::Add(load_n(a + i, n - i), load_n(b + i, n - i)), out + i, n - i);
}

/// Sum and maximum over the lanes.
HWY_INLINE float reduce_sum(VF v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }
HWY_INLINE float reduce_max(VF v) { return hn::GetLane(hn::MaxOfLanes(F32(), v)); }

/// e^(x - n ln2) for |x - n ln2| <= ln2/2: Cody-Waite reduction, then a degree-6 polynomial (Cephes' expf
/// coefficients).
HWY_INLINE VF exp_polynomial(VF x, VF n) {
  const F32 d;
  VF r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  VF p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  return hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
}

/// e^x, relative error below 2 ulp on [-87.3, 88.7]; 0 below it (so that exp(-inf) = 0), +inf above it, NaN
/// for NaN.
HWY_INLINE VF exp(VF x) {
  const F32 d;
  const VF in = x;
  x = hn::Min(hn::Max(x, hn::Set(d, -87.4f)), hn::Set(d, 88.8f));
  const VF n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  VF p = exp_polynomial(x, n);
  // 2^n in two factors: n = 128 alone would overflow the exponent field although the product may be finite.
  const I32 di;
  const auto ni = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(ni);
  const auto bias = hn::Set(di, 127);
  const VF s1 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const VF s2 = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(ni, half), bias)));
  p = hn::Mul(hn::Mul(p, s1), s2);
  p = hn::IfThenElse(hn::Lt(in, hn::Set(d, -87.3f)), hn::Zero(d), p);
  return hn::IfThenElse(hn::IsNaN(in), in, p);
}

/// e^x for softmax, in about half the operations: the argument is clamped to [-86, 88], so that the result is
/// never below 4e-38 instead of 0. Relative error below 2 ulp; NaN stays NaN.
HWY_INLINE VF exp_clamped(VF x) {
  const F32 d;
  // x86's min and max return the second operand when one is NaN.
  x = hn::Min(hn::Set(d, 88.0f), hn::Max(hn::Set(d, -86.0f), x));
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; 127 more is the exponent's bias.
  const VF magic = hn::Set(d, 12582912.0f + 127.0f);
  const VF biased = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const VF scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(U32(), biased)));
  return hn::Mul(exp_polynomial(x, hn::Sub(biased, magic)), scale);
}

/// 1 / (1 + e^-x).
HWY_INLINE VF sigmoid(VF x) {
  const F32 d;
  return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(x))));
}

}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
