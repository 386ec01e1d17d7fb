// arch: 80 90
// run: --check full
// f16, bf16 and f8 as CUDA's headers use them: the emulated results against the headers' host code or f64.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include "check.h"
template <class T, class T2>
__global__ void k(const float* a, const float* b, float* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T x = T(a[i]), y = T(b[i]);
  float* r = o + i * 24;
  r[0] = float(x + y);
  r[1] = float(x - y);
  r[2] = float(x * y);
  r[3] = float(x / y);
  r[4] = float(__hfma(x, y, x));
  r[5] = float(hsqrt(__habs(x)));
  r[6] = float(hexp(x));
  r[7] = float(hlog(__habs(x)));
  r[8] = float(hrsqrt(__habs(x)));
  r[9] = float(__hmax(x, y));
  r[10] = float(__hmin_nan(x, y));
  r[11] = float(__hadd_sat(x, y));
  r[12] = float(__hfma_relu(x, y, x));
  r[13] = __hgt(x, y) + 2 * __heq(x, x) + 4 * __hltu(x, y);
  r[14] = float(hfloor(x));
  r[15] = float(hrint(x));
  r[16] = __half2float(__float2half_rz(a[i]));
  r[17] = float(hsin(x));
  r[18] = float(htanh(x));
  T2 p = __halves2(x, y), q = __halves2(y, x);
  T2 s = __hadd2(p, q);
  r[19] = float(s.x);
  s = __hfma2(p, q, p);
  r[20] = float(s.y);
  r[21] = __hbgt2(p, q);
  s = __hmax2(p, __hneg2(q));
  r[22] = float(s.x);
  r[23] = float(int(x));
}
__device__ __half2 __halves2(__half a, __half b) { return __halves2half2(a, b); }
__device__ __nv_bfloat162 __halves2(__nv_bfloat16 a, __nv_bfloat16 b) { return __halves2bfloat162(a, b); }
__global__ void f8(const float* a, float* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  __nv_fp8_e4m3 x(a[i]);
  __nv_fp8_e5m2 y(a[i]);
  o[4 * i] = float(x);
  o[4 * i + 1] = float(y);
  __nv_fp8x2_e4m3 z(make_float2(a[i], -a[i]));
  o[4 * i + 2] = float2(z).y;
  o[4 * i + 3] = float(__half(y));
}
__global__ void at(__half* h, __half2* h2, __nv_bfloat16* b, __nv_bfloat162* b2, float4* f4) {
  atomicAdd(h, __half(1));
  atomicAdd(h2, __half2(1, 2));
  atomicAdd(b, __nv_bfloat16(1));
  atomicAdd(b2, __nv_bfloat162(1, 2));
#if __CUDA_ARCH__ >= 900
  atomicAdd(f4, make_float4(1, 2, 3, 4));
#endif
}
int main() {
  const int n = 4000;
  std::vector<float> a(n), b(n);
  for (int i = 0; i < n; ++i) {
    a[i] = std::ldexp(float(int(rng()())), int(rng()() % 20) - 40);
    b[i] = std::ldexp(float(int(rng()())), int(rng()() % 20) - 40);
  }
  a[0] = 0;
  a[1] = -0.0f;
  a[2] = INFINITY;
  a[3] = 1000;
  a[4] = 1e6;
  a[5] = 1e-7;
  Device<float> da(a), db(b), o(n * 24);
  for (int which = 0; which < 2; ++which) {
    if (which)
      k<__nv_bfloat16, __nv_bfloat162><<<(n + 63) / 64, 64>>>(da, db, o, n);
    else
      k<__half, __half2><<<(n + 63) / 64, 64>>>(da, db, o, n);
    CUDA(cudaDeviceSynchronize());
    auto h = o.host();
    for (int i = 0; i < n; ++i) {
      auto nar = [&](double v) { return which ? float(__nv_bfloat16(float(v))) : float(__half(v)); };
      double x = nar(a[i]), y = nar(b[i]);
      float* r = &h[i * 24];
      double tol = which ? 1.0 / 128 : 1.0 / 1024;
      auto c = [&](int k, double e, double t) {
        e = nar(e);
        EXPECT((e != e && r[k] != r[k]) || e == r[k] || std::fabs(e - r[k]) <= t * std::fabs(e) + 6e-8,
               "%d %d (%g, %g): %g %g", which, k, x, y, r[k], e);
      };
      c(0, x + y, 0);
      c(1, x - y, 0);
      c(2, x * y, 0);
      c(3, x / y, tol);
      c(4, x * y + x, tol / 2);
      c(5, std::sqrt(std::fabs(x)), tol);
      c(6, std::exp(x), 2 * tol);
      c(7, std::log(std::fabs(x)), 2 * tol);
      c(8, 1 / std::sqrt(std::fabs(x)), 2 * tol);
      c(9, std::max(x, y), 0);
      c(10, std::min(x, y), 0);
      c(11, std::min(std::max(double(nar(x + y)), 0.0), 1.0), 0);
      c(12, std::max(x * y + x, 0.0), tol);
      c(13, (x > y) + 2 * (x == x) + 4 * (x < y), 0);
      c(14, std::floor(x), 0);
      c(15, std::rint(x), 0);
      if (std::fabs(x) < 100) c(17, std::sin(x), 0.02);
      c(18, std::tanh(x), 0.01);
      c(19, x + y, 0);
      c(20, x * y + y, tol);
      c(21, x > y && y > x, 0);
      c(22, std::max(x, -y), 0);
    }
  }
  f8<<<(n + 63) / 64, 64>>>(da, o, n);
  CUDA(cudaDeviceSynchronize());
  auto h = o.host();
  for (int i = 0; i < n; ++i) {
    float e = float(__nv_fp8_e4m3(a[i])), f = float(__nv_fp8_e5m2(a[i]));
    EXPECT(h[4 * i] == e, "e4m3 %g %g %g", a[i], h[4 * i], e);
    EXPECT(h[4 * i + 1] == f && h[4 * i + 3] == f, "e5m2 %g: %g %g", a[i], h[4 * i + 1], f);
    EXPECT(h[4 * i + 2] == -e, "e4m3x2 %g %g", h[4 * i + 2], e);
  }
  Device<char> mem(64);
  CUDA(cudaMemset(mem, 0, 64));
  char* m = mem;
  at<<<2, 32>>>((__half*)m, (__half2*)(m + 4), (__nv_bfloat16*)(m + 8), (__nv_bfloat162*)(m + 12),
                (float4*)(m + 32));
  CUDA(cudaDeviceSynchronize());
  auto hm = mem.host();
  EXPECT(float(*(__half*)&hm[0]) == 64 && float(((__half2*)&hm[4])->y) == 128 &&
             float(*(__nv_bfloat16*)&hm[8]) == 64 && float(((__nv_bfloat162*)&hm[12])->y) == 128,
         "atomics");
  if (getenv("EMULATE_DEVICE") && !strcmp(getenv("EMULATE_DEVICE"), "h100"))
    EXPECT(((float4*)&hm[32])->w == 256, "float4");
  return finish();
}
