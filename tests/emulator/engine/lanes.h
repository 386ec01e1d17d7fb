// Vector loops over a warp's lanes. Operations are stateless functors on one lane's values; the compiler
// vectorises the loops. With a partial mask all lanes are computed and the active ones kept, so an operation
// must be harmless on any bits.
#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "engine/machine.h"

namespace emu {

template <class D>
inline void keep(D* d, const D* value, u32 mask) {
  for (int i = 0; i < kLanes; ++i) d[i] = mask >> i & 1 ? value[i] : d[i];
}

template <class Op, class D, class... S>
inline void each_lane(D* d, u32 mask, const S*... s) {
  if (mask == kFullMask) {
#pragma GCC ivdep
    for (int i = 0; i < kLanes; ++i) d[i] = static_cast<D>(Op{}(s[i]...));
  } else {
    alignas(64) D value[kLanes];
    for (int i = 0; i < kLanes; ++i) value[i] = static_cast<D>(Op{}(s[i]...));
    keep(d, value, mask);
  }
}

template <class Op, class D, class A>
void unary(Warp& w, const Inst& in, u32 mask) {
  each_lane<Op>(w.at<D>(in.d), mask, w.at<A>(in.a));
}
template <class Op, class D, class A, class B>
void binary(Warp& w, const Inst& in, u32 mask) {
  each_lane<Op>(w.at<D>(in.d), mask, w.at<A>(in.a), w.at<B>(in.b));
}
template <class Op, class D, class A, class B, class C>
void ternary(Warp& w, const Inst& in, u32 mask) {
  each_lane<Op>(w.at<D>(in.d), mask, w.at<A>(in.a), w.at<B>(in.b), w.at<C>(in.c));
}
template <class Op, class D, class A, class B, class C, class E>
void quaternary(Warp& w, const Inst& in, u32 mask) {
  each_lane<Op>(w.at<D>(in.d), mask, w.at<A>(in.a), w.at<B>(in.b), w.at<C>(in.c), w.at<E>(in.list[0]));
}

/// Bits from lanes: bit i is whether Op holds for lane i.
template <class Op, class... S>
inline u32 lane_bits(const S*... s) {
  alignas(32) u8 bytes[kLanes];
#pragma GCC ivdep
  for (int i = 0; i < kLanes; ++i) bytes[i] = Op{}(s[i]...) ? 0xff : 0;
  return static_cast<u32>(_mm256_movemask_epi8(_mm256_load_si256(reinterpret_cast<const __m256i*>(bytes))));
}

inline void write_predicate(u32& predicate, u32 bits, u32 mask) {
  predicate = (predicate & ~mask) | (bits & mask);
}

/// Calls body(lane) for each active lane.
template <class Body>
inline void for_lanes(u32 mask, const Body& body) {
  for (; mask != 0; mask &= mask - 1) body(std::countr_zero(mask));
}

/// Each lane's address follows the one before by `stride`.
inline bool contiguous(const u64* address, u64 stride) {
  u64 difference = 0;
  for (int i = 0; i < kLanes; ++i) difference |= address[i] ^ (address[0] + static_cast<u64>(i) * stride);
  return difference == 0;
}

template <class T>
inline T read_at(u64 address) {
  T value;
  std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof value);
  return value;
}
template <class T>
inline void write_at(u64 address, T value) {
  std::memcpy(reinterpret_cast<void*>(address), &value, sizeof value);
}

/// The vector unit's modes for the time of a scope: rounding direction, flushing of subnormals.
constexpr u32 kRoundNearest = 0x0000, kRoundDown = 0x2000, kRoundUp = 0x4000, kRoundZero = 0x6000;
constexpr u32 kFlush = 0x8040;  // results and operands
class FloatMode {
 public:
  explicit FloatMode(u32 mode) : saved_(_mm_getcsr()) { set((saved_ & ~(kRoundZero | kFlush)) | mode); }
  ~FloatMode() { set(saved_); }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  static void set(u32 value) { asm volatile("ldmxcsr %0" : : "m"(value) : "memory"); }
  u32 saved_;
};

/// A handler executed under a mode.
template <u32 Mode, Handler Plain>
void in_mode(Warp& w, const Inst& in, u32 mask) {
  const FloatMode scope(Mode);
  Plain(w, in, mask);
}

/// PTX's single NaN of f32 results.
inline float canonical(float x) { return x == x ? x : std::bit_cast<float>(0x7fffffffu); }
inline double canonical(double x) { return x; }

}  // namespace emu
