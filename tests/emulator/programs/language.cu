// arch: 80 90-G
// run:
// run: --check full --schedule random:2
// What C++ and CUDA's language extensions compile to: virtual functions, device new, function pointers,
// lambdas, 128-bit integers, recursion, local arrays, bit and SIMD intrinsics, cache operators, printf,
// switch.
#include <cassert>
#include <new>
#include "check.h"
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
}
__global__ void lds(const float4* in, float4* out, const double2* d, double2* e) {
  out[threadIdx.x] = __ldg(in + threadIdx.x);
  float4 v = __ldcs(in + threadIdx.x);
  v.x += out[threadIdx.x].w;
  __stcg(out + threadIdx.x, v);
  double2 q = __ldca(d + threadIdx.x);
  e[threadIdx.x] = make_double2(q.y, q.x);
}
__global__ void prt() {
  if (threadIdx.x == 0)
    printf("%d %u %lld %llu %f %e %g %s %c %p %x %5d|%-5d|%05d|%.2f %%\n", -1, 2u, -3ll, 4ull, 1.5, 1.5, 1.5f,
           "str", 'c', (void*)16, 255, 1, 2, 3, 3.14159);
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
int main() {
  Device<float> f(128);
  virt<<<1, 32>>>(f);
  CUDA(cudaDeviceSynchronize());
  auto hf = f.host();
  for (int i = 0; i < 32; ++i) EXPECT(hf[i] == (i % 2 ? i * i : 3 * i * i), "virt %d %g", i, hf[i]);
  Device<int> o(64);
  fptr<<<1, 64>>>(o);
  auto h = o.host();
  for (int i = 0; i < 64; ++i)
    EXPECT(h[i] == (i % 3 == 0 ? i + 1 : i % 3 == 1 ? i * 2 : i > 0 ? i : 7), "fptr %d", i);
  int cap = 42;
  lam<<<1, 64>>>(o, [=] __device__(int i) { return i * cap; });
  h = o.host();
  EXPECT(h[3] == 126, "lambda");
  std::vector<long long> a(32);
  for (auto& x : a) x = (long long)(uint64_t(rng()()) << 32 | rng()());
  Device<long long> da(a), dl(64);
  i128<<<1, 32>>>(da, dl);
  auto hl = dl.host();
  for (int i = 0; i < 32; ++i) {
    __int128 x = a[i];
    unsigned __int128 y = (unsigned __int128)x * (unsigned __int128)x * 3u + 5u;
    EXPECT(hl[2 * i] == (long long)(y >> 64) && hl[2 * i + 1] == (long long)(y % 1000000007),
           "i128 %d %llx %llx %lld %lld", i, hl[2 * i], (long long)(y >> 64), hl[2 * i + 1],
           (long long)(y % 1000000007));
  }
  CUDA(cudaDeviceSetLimit(cudaLimitStackSize, 8192));
  rec<<<1, 40>>>(o);
  CUDA(cudaDeviceSynchronize());
  h = o.host();
  for (int i = 0; i < 40; ++i) EXPECT(h[i] == 2 * (i % 5) + 3, "ack %d", h[i]);
  loc<<<1, 64>>>(o, 5);
  CUDA(cudaDeviceSynchronize());
  {
    int n = 5, a[64];
    for (int i = 0; i < 64; ++i) a[i] = i * n;
    for (int i = 0; i < 63; ++i)
      if (a[(i * 7 + n) % 64] > a[i]) std::swap(a[i], a[(i * 7 + n) % 64]);
    int s = 0;
    for (int i = 0; i < 64; ++i) s = int(unsigned(s) * 31 + a[i]);
    EXPECT(o.host()[7] == s + 7, "local");
  }
  Device<unsigned> u(512);
  bits<<<1, 64>>>(u);
  CUDA(cudaDeviceSynchronize());
  timing<<<1, 32>>>(dl);
  CUDA(cudaDeviceSynchronize());
  EXPECT(dl.host()[0] > 0, "clock");
  std::vector<float4> v4(32, make_float4(1, 2, 3, 4));
  std::vector<double2> d2(32, make_double2(5, 6));
  Device<float4> i4(v4), o4(32);
  Device<double2> i2(d2), o2(32);
  lds<<<1, 32>>>(i4, o4, i2, o2);
  CUDA(cudaDeviceSynchronize());
  EXPECT(o4.host()[5].x == 5 && o2.host()[5].x == 6, "vector");
  prt<<<1, 32>>>();
  CUDA(cudaDeviceSynchronize());
  Device<double> dd(32);
  doublemath<<<1, 32>>>(dd);
  fast<<<1, 32>>>(f);
  CUDA(cudaDeviceSynchronize());
  EXPECT(std::isfinite(f.host()[3]), "fast");
  Device<char> txt(std::vector<char>{'a', 'b', 'c', 'd', 'z', 'x', 'a', 0});
  sw<<<1, 32>>>(o, txt);
  CUDA(cudaDeviceSynchronize());
  EXPECT(o.host()[2] == 1 + 10 + 1100 + 1000 + 2, "switch %d", o.host()[2]);
  return finish();
}
