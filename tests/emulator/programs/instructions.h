// One instruction over many values, against arithmetic on the host.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "programs/check.h"

template <class Op, class D, class A, class B, class C>
__global__ void apply(D* d, const A* a, const B* b, const C* c, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) d[i] = Op::gpu(a[i], b[i], c[i]);
}

// Random bits, with every special value of the type among them.
template <class T>
std::vector<T> values(size_t n, const std::vector<T>& special) {
  std::vector<T> result(n);
  for (T& value : result) {
    const uint64_t bits = uint64_t{rng()()} << 32 | rng()();
    std::memcpy(&value, &bits, sizeof value);
    if (rng()() % 3 == 0) value = special[rng()() % special.size()];
  }
  return result;
}
template <class T>
std::vector<T> integers(size_t n) {
  using L = std::numeric_limits<T>;
  return values<T>(n, {0, 1, 2, static_cast<T>(-1), L::max(), L::min(), 31, 32, 33,
                       static_cast<T>(L::max() - 1), 63, 64, 255,
                       // just beside a tie of bf16
                       static_cast<T>((uint64_t{1} << 62 | uint64_t{1} << 54) + 1),
                       static_cast<T>((uint64_t{1} << 62 | uint64_t{3} << 54) - 1)});
}
template <class T>
std::vector<T> reals(size_t n) {
  using L = std::numeric_limits<T>;
  std::vector<T> result =
      values<T>(n, {0, T(-0.0), 1, -1, L::infinity(), -L::infinity(), L::quiet_NaN(), L::denorm_min(),
                    -L::denorm_min(), L::min(), L::max(), -L::max(), T(0.5), T(1.5), T(2.5), L::epsilon(),
                    T(2147483648.0), T(3e9), T(-3e9)});
  for (T& value : result) {  // half of them of moderate size
    if (rng()() % 2)
      value = T(std::ldexp(static_cast<double>(static_cast<int32_t>(rng()())),
                           static_cast<int>(rng()() % 40) - 45));
  }
  return result;
}
inline std::vector<float> make(float, size_t n) { return reals<float>(n); }
inline std::vector<double> make(double, size_t n) { return reals<double>(n); }
template <class T>
std::vector<T> make(T, size_t n) {
  return integers<T>(n);
}

template <class T>
bool same(T a, T b) {
  if (a != a && b != b) return true;  // NaN; its bits are checked where they are specified
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class Op>
void run(const char* name) {
  using D = typename Op::D;
  using A = typename Op::A;
  using B = typename Op::B;
  using C = typename Op::C;
  const int n = 3000;
  const auto a = make(A{}, n);
  const auto b = make(B{}, n);
  const auto c = make(C{}, n);
  Device<A> da(a);
  Device<B> db(b);
  Device<C> dc(c);
  Device<D> dd(n);
  apply<Op, D, A, B, C><<<(n + 95) / 96, 96>>>(dd, da, db, dc, n);
  const auto d = dd.host();
  int wrong = 0;
  for (int i = 0; i < n && wrong < 2; ++i) {
    const D expected = Op::cpu(a[i], b[i], c[i]);
    if (same(d[i], expected)) continue;
    ++wrong;
    unsigned long long bits[5] = {};
    std::memcpy(&bits[0], &a[i], sizeof a[i]);
    std::memcpy(&bits[1], &b[i], sizeof b[i]);
    std::memcpy(&bits[2], &c[i], sizeof c[i]);
    std::memcpy(&bits[3], &d[i], sizeof d[i]);
    std::memcpy(&bits[4], &expected, sizeof expected);
    EXPECT(false, "%s(%llx, %llx, %llx) = %llx, expected %llx", name, bits[0], bits[1], bits[2], bits[3],
           bits[4]);
  }
}

// name, PTX, result type and constraint, operand types and constraints, host expression of a, b, c.
#define OP1(name, text, DT, cd, AT, ca, host)                 \
  struct name {                                               \
    using D = DT;                                             \
    using A = AT;                                             \
    using B = AT;                                             \
    using C = AT;                                             \
    static __device__ D gpu(A a, B, C) {                      \
      D d;                                                    \
      asm volatile(text " %0, %1;" : "=" cd(d) : ca(a));      \
      return d;                                               \
    }                                                         \
    static D cpu([[maybe_unused]] A a, B, C) { return host; } \
  };
#define OP2(name, text, DT, cd, AT, ca, BT, cb, host)                            \
  struct name {                                                                  \
    using D = DT;                                                                \
    using A = AT;                                                                \
    using B = BT;                                                                \
    using C = AT;                                                                \
    static __device__ D gpu(A a, B b, C) {                                       \
      D d;                                                                       \
      asm volatile(text " %0, %1, %2;" : "=" cd(d) : ca(a), cb(b));              \
      return d;                                                                  \
    }                                                                            \
    static D cpu([[maybe_unused]] A a, [[maybe_unused]] B b, C) { return host; } \
  };
#define OP3(name, text, DT, cd, AT, ca, BT, cb, CT, cc, host)                                       \
  struct name {                                                                                     \
    using D = DT;                                                                                   \
    using A = AT;                                                                                   \
    using B = BT;                                                                                   \
    using C = CT;                                                                                   \
    static __device__ D gpu(A a, B b, C c) {                                                        \
      D d;                                                                                          \
      asm volatile(text " %0, %1, %2, %3;" : "=" cd(d) : ca(a), cb(b), cc(c));                      \
      return d;                                                                                     \
    }                                                                                               \
    static D cpu([[maybe_unused]] A a, [[maybe_unused]] B b, [[maybe_unused]] C c) { return host; } \
  };
#define RUN(name) run<name>(#name)

using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
using i128 = __int128;
using u128 = unsigned __int128;
