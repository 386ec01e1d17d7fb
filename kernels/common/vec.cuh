// Global memory in 16-byte accesses, f32 or bf16, as f32 in registers.
//
// A Vec<T> is 16 bytes of T as they lie in memory: 4 floats or 8 bfloat16. Kernels keep rows as Vecs, which
// in bf16 take half the registers that the f32 values would, and convert where they compute:
//   const Vec<T> x = load_vec(p);  float v[Vec<T>::kSize];  unpack(x, v);  ...  store_vec(q, pack<T>(v));
// A Vec<T, N> is a smaller access, for example the bf16 side of a cast opposite 16 bytes of f32.
#pragma once

#include <cstdint>

#include "kernels/common/dtype.h"

namespace cuclip {

inline constexpr int kVecBytes = 16;

/// Whether every pointer is a multiple of `bytes` (null is): the condition for vector access. Host code.
template <typename... Pointers>
bool aligned_to(size_t bytes, const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % bytes == 0) && ...);
}

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bfloat16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}

/// Two floats as bfloat16, rounded to nearest even; `low` in the lower half, which comes first in memory.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
__device__ __forceinline__ float bf16_low(uint32_t both) { return __uint_as_float(both << 16); }
__device__ __forceinline__ float bf16_high(uint32_t both) { return __uint_as_float(both & 0xffff0000u); }

/// x rounded to T.
template <typename T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else {
    bfloat16 narrow;
    narrow.bits = static_cast<uint16_t>(pack_bf16(x, 0.0f));
    return narrow;
  }
}

/// N elements of T in one access of N * sizeof(T) bytes (4, 8 or 16), to which the address must be aligned.
template <typename T, int N = kVecBytes / static_cast<int>(sizeof(T))>
struct alignas(N * sizeof(T)) Vec {
  static constexpr int kSize = N;
  static constexpr int kWords = N * static_cast<int>(sizeof(T)) / 4;
  uint32_t words[kWords];
};

template <typename T, int N = Vec<T>::kSize>
__device__ __forceinline__ Vec<T, N> load_vec(const T* p) {
  return *reinterpret_cast<const Vec<T, N>*>(p);
}

template <typename T, int N>
__device__ __forceinline__ void store_vec(T* p, const Vec<T, N>& v) {
  *reinterpret_cast<Vec<T, N>*>(p) = v;
}

/// To global memory, and certainly in one access: written in PTX, since nvcc takes assignments of structs
/// apart and does not always join them again.
template <typename T, int N>
__device__ __forceinline__ void store_vec_global(T* p, const Vec<T, N>& v) {
  if constexpr (Vec<T, N>::kWords == 4) {
    asm volatile("st.global.v4.b32 [%0], {%1,%2,%3,%4};" ::"l"(__cvta_generic_to_global(p)), "r"(v.words[0]),
                 "r"(v.words[1]), "r"(v.words[2]), "r"(v.words[3])
                 : "memory");
  } else if constexpr (Vec<T, N>::kWords == 2) {
    asm volatile("st.global.v2.b32 [%0], {%1,%2};" ::"l"(__cvta_generic_to_global(p)), "r"(v.words[0]),
                 "r"(v.words[1])
                 : "memory");
  } else {
    store_vec(p, v);
  }
}

/// Two floats to shared memory in one access, 8-byte aligned.
__device__ __forceinline__ void store_shared_pair(uint32_t shared, float first, float second) {
  asm volatile("st.shared.v2.f32 [%0], {%1,%2};" ::"r"(shared), "f"(first), "f"(second) : "memory");
}
__device__ __forceinline__ void store_shared_pair(float* shared, float first, float second) {
  store_shared_pair(static_cast<uint32_t>(__cvta_generic_to_shared(shared)), first, second);
}

/// 16 bytes to and from an address in shared memory, 16-byte aligned, and a word from one.
template <typename T>
__device__ __forceinline__ Vec<T> load_shared_vec(uint32_t shared) {
  Vec<T> v;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.words[0]), "=r"(v.words[1]), "=r"(v.words[2]), "=r"(v.words[3])
               : "r"(shared)
               : "memory");
  return v;
}
template <typename T>
__device__ __forceinline__ void store_shared_vec(uint32_t shared, const Vec<T>& v) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(shared), "r"(v.words[0]), "r"(v.words[1]),
               "r"(v.words[2]), "r"(v.words[3])
               : "memory");
}
__device__ __forceinline__ void store_shared_word(uint32_t shared, uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(word) : "memory");
}
__device__ __forceinline__ uint32_t load_shared_word(uint32_t shared) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(shared) : "memory");
  return word;
}

/// As many words as there are, in accesses of 16 bytes where they are a multiple of that, and 1 or 2 bytes.
template <int N>
__device__ __forceinline__ void load_shared_words(uint32_t shared, uint32_t (&words)[N]) {
#pragma unroll
  for (int i = 0; i < N; i += N < 4 ? N : 4) {
    if constexpr (N % 4 == 0) {
      const Vec<float> v = load_shared_vec<float>(shared + i * 4);
#pragma unroll
      for (int j = 0; j < 4; ++j) words[i + j] = v.words[j];
    } else if constexpr (N == 2) {
      asm volatile("ld.shared.v2.b32 {%0,%1}, [%2];"
                   : "=r"(words[0]), "=r"(words[1])
                   : "r"(shared)
                   : "memory");
    } else {
      static_assert(N == 1);
      words[0] = load_shared_word(shared);
    }
  }
}
__device__ __forceinline__ uint32_t load_shared_u16(uint32_t shared) {
  uint32_t word;
  asm volatile("ld.shared.u16 %0, [%1];" : "=r"(word) : "r"(shared) : "memory");
  return word;
}
__device__ __forceinline__ uint32_t load_shared_u8(uint32_t shared) {
  uint32_t word;
  asm volatile("ld.shared.u8 %0, [%1];" : "=r"(word) : "r"(shared) : "memory");
  return word;
}

template <typename T, int N>
__device__ __forceinline__ void unpack(const Vec<T, N>& v, float (&out)[N]) {
#pragma unroll
  for (int i = 0; i < Vec<T, N>::kWords; ++i) {
    if constexpr (sizeof(T) == 4) {
      out[i] = __uint_as_float(v.words[i]);
    } else {
      out[2 * i] = bf16_low(v.words[i]);
      out[2 * i + 1] = bf16_high(v.words[i]);
    }
  }
}

template <typename T, int N>
__device__ __forceinline__ Vec<T, N> pack(const float (&v)[N]) {
  Vec<T, N> packed;
#pragma unroll
  for (int i = 0; i < Vec<T, N>::kWords; ++i) {
    if constexpr (sizeof(T) == 4) {
      packed.words[i] = __float_as_uint(v[i]);
    } else {
      packed.words[i] = pack_bf16(v[2 * i], v[2 * i + 1]);
    }
  }
  return packed;
}

/// The first `n` elements, one access each, and zeros after them. For tails and unaligned memory.
template <typename T, int N>
__device__ __forceinline__ void load_part(const T* p, int64_t n, float (&out)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) out[i] = i < n ? to_float(p[i]) : 0.0f;
}

template <typename T, int N>
__device__ __forceinline__ void store_part(T* p, int64_t n, const float (&v)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (i < n) p[i] = from_float<T>(v[i]);
  }
}

/// A whole vector where kWhole (the address is aligned and n unused), else its first n elements one by one,
/// with zeros after them.
template <bool kWhole, typename T>
__device__ __forceinline__ Vec<T> load_first(const T* p, int64_t n) {
  if constexpr (kWhole) {
    return load_vec(p);
  } else {
    float v[Vec<T>::kSize];
    load_part(p, n, v);
    return pack<T>(v);
  }
}

/// N neighbouring columns of a row as f32: one access where kWhole says that they lie in the row and are
/// aligned, else the first `n` of them, one by one.
template <bool kWhole, typename T, int N>
__device__ __forceinline__ void load_columns(const T* p, int64_t n, float (&out)[N]) {
  if constexpr (kWhole) {
    unpack(load_vec<T, N>(p), out);
  } else {
    load_part(p, n, out);
  }
}

/// The same to global memory.
template <bool kWhole, typename T, int N>
__device__ __forceinline__ void store_columns(T* p, int64_t n, const float (&v)[N]) {
  if constexpr (kWhole) {
    store_vec_global(p, pack<T>(v));
  } else {
    store_part(p, n, v);
  }
}

/// p[j] += v[j] for N neighbouring columns; kWhole and n as for load_columns.
template <bool kWhole, int N>
__device__ __forceinline__ void add_to_columns(float* p, int64_t n, const float (&v)[N]) {
  float sum[N];
  load_columns<kWhole>(p, n, sum);
#pragma unroll
  for (int j = 0; j < N; ++j) sum[j] += v[j];
  store_columns<kWhole>(p, n, sum);
}

/// N floats (a multiple of 4) of aligned f32 memory: a parameter's elements beside a Vec of activations.
template <int N>
__device__ __forceinline__ void load_floats(const float* p, float (&out)[N]) {
  static_assert(N % 4 == 0);
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    const Vec<float> v = load_vec(p + i);
#pragma unroll
    for (int j = 0; j < 4; ++j) out[i + j] = __uint_as_float(v.words[j]);
  }
}

}  // namespace cuclip
