// arch: 80 90-G
// run:
// run: --check full --schedule random:2
// What C++ and CUDA's language extensions compile to: virtual functions, device new, function pointers,
// lambdas, 128-bit integers, recursion, local arrays, bit and SIMD intrinsics, cache operators,
// switch.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <new>

#include "programs/check.h"
// virtual functions, device new/delete, function pointers, lambdas, dynamic local arrays, struct returns,
// 128-bit ints, bitfields, texture-free
struct Shape {
  __device__ virtual float area() const = 0;
  __device__ virtual ~Shape() {}
};
struct Sq : Shape {
  float s;
  __device__ Sq(float x) : s(x) {}
  __device__ float area() const override { return s * s; }
};
struct Ci : Shape {
  float r;
  __device__ Ci(float x) : r(x) {}
  __device__ float area() const override { return 3 * r * r; }
};
__global__ void virt(float* o) {
  Shape* s = threadIdx.x % 2 ? (Shape*)new Sq(threadIdx.x) : (Shape*)new Ci(threadIdx.x);
  o[threadIdx.x] = s->area();
  delete s;
}
typedef int (*Fn)(int);
__device__ int f0(int x) { return x + 1; }
__device__ int f1(int x) { return x * 2; }
__device__ int f2(int x) { return x > 0 ? f0(x - 1) : 7; }
__device__ Fn table[3] = {f0, f1, f2};
__global__ void fptr(int* o) { o[threadIdx.x] = table[threadIdx.x % 3](threadIdx.x); }
template <class F>
__global__ void lam(int* o, F f) {
  o[threadIdx.x] = f(threadIdx.x);
}
__global__ void i128(const long long* a, long long* o) {
  __int128 x = a[threadIdx.x];
  unsigned __int128 y = (unsigned __int128)x * (unsigned __int128)x * 3u + 5u;
  o[2 * threadIdx.x] = (long long)(y >> 64);
  o[2 * threadIdx.x + 1] = (long long)(y % 1000000007);
}
__device__ int ack(int m, int n) {
  return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1));
}
__global__ void rec(int* o) { o[threadIdx.x] = ack(2, threadIdx.x % 5); }
// Memory of a size that only the lane knows; it goes when the function returns, else it would run out.
__device__ __noinline__ int sum_of_squares(int n, int depth) {
  int* const squares = static_cast<int*>(alloca(n * sizeof(int)));
  for (int i = 0; i < n; ++i) squares[i] = i * i;
  const int below = depth > 0 ? sum_of_squares(n / 2, depth - 1) : 0;
  int sum = 0;
  for (int i = n - 1; i >= 0; --i) sum += squares[i];
  return sum + below;
}
__global__ void dynamic(int* o) {
  int sum = 0;
  for (int i = 0; i < 200; ++i) sum += sum_of_squares(threadIdx.x % 7 * 9 + i % 50, threadIdx.x % 3);
  o[threadIdx.x] = sum;
}
__global__ void loc(int* o, int n) {
  int a[64];
  for (int i = 0; i < 64; ++i) a[i] = i * n;
  for (int i = 0; i < 63; ++i)
    if (a[(i * 7 + n) % 64] > a[i]) {
      int t = a[i];
      a[i] = a[(i * 7 + n) % 64];
      a[(i * 7 + n) % 64] = t;
    }
  int s = 0;
  for (int i = 0; i < 64; ++i) s = s * 31 + a[i];
  o[threadIdx.x] = s + threadIdx.x;
}
__global__ void bits(unsigned* o) {
  unsigned x = threadIdx.x * 2654435761u;
  o[threadIdx.x * 8] = __brev(x);
  o[threadIdx.x * 8 + 1] = __clz(x) + 100 * __ffs(x) + 10000 * __popc(x);
  o[threadIdx.x * 8 + 2] = __byte_perm(x, ~x, 0x3715);
  o[threadIdx.x * 8 + 3] = __funnelshift_l(x, ~x, threadIdx.x);
  o[threadIdx.x * 8 + 4] = __umulhi(x, x);
  o[threadIdx.x * 8 + 5] = __dp4a((int)x, (int)~x, 5);
  o[threadIdx.x * 8 + 6] = __vadd4(x, ~x) ^ __vmaxu2(x, 5);
  o[threadIdx.x * 8 + 7] = __usad(x, 77, 3) + __mul24((int)x, 3) + __uhadd(x, 3) + __sad(-3, x, 1);
}
__global__ void timing(long long* o) {
  long long a = clock64();
  unsigned b = clock();
  __nanosleep(10);
  o[threadIdx.x] = clock64() - a;
  o[threadIdx.x + 32] = b;
  unsigned high, low;
  long long whole;
  asm volatile("mov.u32 %0, %%globaltimer_hi; mov.u64 %2, %%globaltimer; mov.u32 %1, %%globaltimer_lo;"
               : "=r"(high), "=r"(low), "=l"(whole));
  o[threadIdx.x + 64] = ((static_cast<long long>(high) << 32) | low) - whole;
}
__global__ void lds(const float4* in, float4* out, const double2* d, double2* e) {
  out[threadIdx.x] = __ldg(in + threadIdx.x);
  float4 v = __ldcs(in + threadIdx.x);
  v.x += out[threadIdx.x].w;
  __stcg(out + threadIdx.x, v);
  double2 q = __ldca(d + threadIdx.x);
  e[threadIdx.x] = make_double2(q.y, q.x);
}
__global__ void doublemath(double* o) {
  double x = threadIdx.x + 0.5;
  o[threadIdx.x] = __ddiv_rz(x, 3) + __dsqrt_ru(x) + __fma_rd(x, x, x) + __drcp_rn(x);
}
__global__ void fast(float* o) {
  float x = threadIdx.x * 0.1f + 0.1f;
  o[threadIdx.x] = __expf(x) + __logf(x) + __sinf(x) + __cosf(x) + __fdividef(x, 3) + __powf(x, 2) +
                   __frsqrt_rn(x) + __fsqrt_rd(x) + __saturatef(x) + __tanf(x);
}
__global__ void sw(int* o, const char* text) {
  int c = 0;
  for (const char* p = text; *p; ++p) switch (*p) {
      case 'a':
        c += 1;
        break;
      case 'b':
        c += 10;
        break;
      case 'c':
        c += 100;
      case 'd':
        c += 1000;
        break;
      case 'x':
        goto out;
      default:
        c += threadIdx.x;
    }
out:
  o[threadIdx.x] = c;
}
void test_functions() {
  Device<float> areas(32);
  virt<<<1, 32>>>(areas);
  CUDA(cudaDeviceSynchronize());
  const auto area = areas.host();
  for (int i = 0; i < 32; ++i) EXPECT(area[i] == (i % 2 ? i * i : 3 * i * i), "virtual %d %g", i, area[i]);
  Device<int> out(64);
  fptr<<<1, 64>>>(out);
  auto got = out.host();
  for (int i = 0; i < 64; ++i)
    EXPECT(got[i] == (i % 3 == 0 ? i + 1 : i % 3 == 1 ? i * 2 : i > 0 ? i : 7), "pointer %d", i);
  const int captured = 42;
  lam<<<1, 64>>>(out, [=] __device__(int i) { return i * captured; });
  EXPECT(out.host()[3] == 126, "lambda");
  CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
  rec<<<1, 40>>>(out);
  CUDA(cudaDeviceSynchronize());
  got = out.host();
  for (int i = 0; i < 40; ++i) EXPECT(got[i] == 2 * (i % 5) + 3, "Ackermann %d", got[i]);
  Device<char> text(std::vector<char>{'a', 'b', 'c', 'd', 'z', 'x', 'a', 0});
  sw<<<1, 32>>>(out, text);
  CUDA(cudaDeviceSynchronize());
  EXPECT(out.host()[2] == 1 + 10 + 1100 + 1000 + 2, "switch %d", out.host()[2]);
}

void test_wide_integers() {
  std::vector<long long> a(32);
  for (auto& x : a) x = static_cast<long long>(uint64_t{rng()()} << 32 | rng()());
  Device<long long> in(a), out(64);
  i128<<<1, 32>>>(in, out);
  const auto got = out.host();
  for (int i = 0; i < 32; ++i) {
    const __int128 x = a[i];
    const unsigned __int128 y = (unsigned __int128)x * (unsigned __int128)x * 3u + 5u;
    EXPECT(got[2 * i] == (long long)(y >> 64) && got[2 * i + 1] == (long long)(y % 1000000007), "%d", i);
  }
}

void test_local_array() {
  Device<int> out(64);
  const int n = 5;
  loc<<<1, 64>>>(out, n);
  int a[64], sum = 0;
  for (int i = 0; i < 64; ++i) a[i] = i * n;
  for (int i = 0; i < 63; ++i) {
    if (a[(i * 7 + n) % 64] > a[i]) std::swap(a[i], a[(i * 7 + n) % 64]);
  }
  for (int i = 0; i < 64; ++i) sum = static_cast<int>(static_cast<unsigned>(sum) * 31 + a[i]);
  EXPECT(out.host()[7] == sum + 7, "%d %d", out.host()[7], sum + 7);
}

void test_dynamic_arrays() {
  Device<int> out(64);
  dynamic<<<1, 64>>>(out);
  const auto got = out.host();
  for (int t = 0; t < 64; ++t) {
    int expected = 0;
    for (int i = 0; i < 200; ++i) {
      for (int n = t % 7 * 9 + i % 50, depth = t % 3; depth >= 0; n /= 2, --depth) {
        for (int k = 0; k < n; ++k) expected += k * k;
      }
    }
    EXPECT(got[t] == expected, "%d: %d %d", t, got[t], expected);
  }
}

void test_bits() {
  Device<unsigned> out(512);
  bits<<<1, 64>>>(out);
  const auto got = out.host();
  for (unsigned i = 0; i < 64; ++i) {
    const unsigned x = i * 2654435761u, y = ~x, *g = &got[i * 8];
    unsigned reversed = 0, picked = 0;
    for (int bit = 0; bit < 32; ++bit) reversed |= (x >> bit & 1) << (31 - bit);
    const uint64_t both = uint64_t{y} << 32 | x;
    for (int byte = 0; byte < 4; ++byte)
      picked |= unsigned(both >> (0x3715 >> 4 * byte & 7) * 8 & 255) << 8 * byte;
    int dot = 5;
    unsigned sums = 0;
    for (int byte = 0; byte < 4; ++byte) {
      dot += static_cast<int8_t>(x >> 8 * byte) * static_cast<int8_t>(y >> 8 * byte);
      sums |= ((x >> 8 * byte) + (y >> 8 * byte) & 255) << 8 * byte;
    }
    const unsigned highest = std::max(x >> 16, 0u) << 16 | std::max(x & 0xffff, 5u);
    const int x24 = static_cast<int>(x << 8) >> 8;
    EXPECT(g[0] == reversed, "brev %x", g[0]);
    EXPECT(g[1] == (x == 0 ? 32u
                           : unsigned(__builtin_clz(x)) + 100 * unsigned(__builtin_ffs(int(x))) +
                                 10000 * unsigned(__builtin_popcount(x))),
           "counts %u", g[1]);
    EXPECT(g[2] == picked, "byte_perm %x %x", g[2], picked);
    EXPECT(g[3] == unsigned(both << (i & 31) >> 32), "funnelshift %x", g[3]);
    EXPECT(g[4] == unsigned(uint64_t{x} * x >> 32), "umulhi %x", g[4]);
    EXPECT(g[5] == unsigned(dot), "dp4a %d %d", int(g[5]), dot);
    EXPECT(g[6] == (sums ^ highest), "SIMD %x %x", g[6], sums ^ highest);
    const unsigned far = (x > 77 ? x - 77 : 77 - x) + 3, times = unsigned(x24 * 3);
    EXPECT(
        g[7] == far + times + unsigned((uint64_t{x} + 3) / 2) + unsigned(std::abs(int64_t{-3} - int(x))) + 1,
        "sums %x", g[7]);
  }
}

void test_reals() {
  Device<double> rounded(32);
  Device<float> quick(32);
  doublemath<<<1, 32>>>(rounded);
  fast<<<1, 32>>>(quick);
  const auto r = rounded.host();
  const auto q = quick.host();
  for (int i = 0; i < 32; ++i) {
    const double x = i + 0.5, e = x / 3 + std::sqrt(x) + (x * x + x) + 1 / x;
    EXPECT(std::fabs(r[i] - e) <= 1e-15 * 8 * e, "%.17g %.17g", r[i], e);
    const float y = i * 0.1f + 0.1f;
    const double f = std::exp(y) + std::log(y) + std::sin(y) + std::cos(y) + y / 3 + y * y +
                     1 / std::sqrt(y) + std::sqrt(y) + std::min(y, 1.0f) + std::tan(y);
    EXPECT(std::fabs(q[i] - f) <=
               1e-5 * (std::exp(y) + 20 + std::fabs(std::tan(y)) * (1 + std::fabs(std::tan(y)))),
           "%g: %g %g", y, q[i], f);
  }
}

void test_memory_operators() {
  Device<long long> clocks(96);
  timing<<<1, 32>>>(clocks);
  EXPECT(clocks.host()[0] > 0, "the clock stands");
  EXPECT(std::llabs(clocks.host()[64]) < 1000000000, "halves of the timer: %lld ns apart", clocks.host()[64]);
  Device<float4> in(std::vector<float4>(32, make_float4(1, 2, 3, 4))), out(32);
  Device<double2> in2(std::vector<double2>(32, make_double2(5, 6))), out2(32);
  lds<<<1, 32>>>(in, out, in2, out2);
  EXPECT(out.host()[5].x == 5 && out2.host()[5].x == 6, "%g %g", out.host()[5].x, out2.host()[5].x);
}

int main() {
  test_functions();
  test_wide_integers();
  test_local_array();
  test_dynamic_arrays();
  test_bits();
  test_reals();
  test_memory_operators();
  return finish();
}
