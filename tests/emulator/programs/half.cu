// arch: 80 90
// run: --check full
// f16, bf16 and f8 as CUDA's headers use them: the emulated results against the headers' host code or f64.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include "programs/check.h"
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
// Values of all sizes, some of them special.
std::vector<float> some_values(int n) {
  std::vector<float> values(n);
  for (float& x : values)
    x = std::ldexp(static_cast<float>(static_cast<int>(rng()())), static_cast<int>(rng()() % 20) - 40);
  const float special[] = {0.0f, -0.0f, INFINITY, 1000.0f, 1e6f, 1e-7f};
  std::copy(std::begin(special), std::end(special), values.begin());
  return values;
}

constexpr int kCount = 4000, kBlocks = (kCount + 63) / 64;

template <class T, class T2>
void test_arithmetic(const char* name, double tol) {
  const auto a = some_values(kCount), b = some_values(kCount);
  Device<float> da(a), db(b), out(kCount * 24);
  k<T, T2><<<kBlocks, 64>>>(da, db, out, kCount);
  CUDA(cudaDeviceSynchronize());
  const auto h = out.host();
  const auto narrowed = [](double v) { return float(T(v)); };  // rounds once
  for (int i = 0; i < kCount; ++i) {
    const double x = narrowed(a[i]), y = narrowed(b[i]);
    const float* r = &h[i * 24];
    const auto c = [&](int which, double exact, double t) {
      const double e = narrowed(exact);
      EXPECT((e != e && r[which] != r[which]) || e == r[which] ||
                 std::fabs(e - r[which]) <= t * std::fabs(e) + 6e-8,
             "%s %d (%g, %g): %g %g", name, which, x, y, r[which], e);
    };
    c(0, x + y, 0);
    c(1, x - y, 0);
    c(2, x * y, 0);
    c(3, x / y, tol);
    c(4, x * y + x, 0);
    c(5, std::sqrt(std::fabs(x)), tol);
    c(6, std::exp(x), 2 * tol);
    c(7, std::log(std::fabs(x)), 2 * tol);
    c(8, 1 / std::sqrt(std::fabs(x)), 2 * tol);
    c(9, std::max(x, y), 0);
    c(10, std::min(x, y), 0);
    c(11, std::min(std::max(double(narrowed(x + y)), 0.0), 1.0), 0);
    c(12, std::max(x * y + x, 0.0), 0);
    c(13, (x > y) + 2 * (x == x) + 4 * (x < y), 0);
    c(14, std::floor(x), 0);
    c(15, std::rint(x), 0);
    if (std::fabs(x) < 100) c(17, std::sin(x), 0.02);
    c(18, std::tanh(x), 0.01);
    c(19, x + y, 0);
    c(20, x * y + y, 0);
    c(21, x > y && y > x, 0);
    c(22, std::max(x, -y), 0);
  }
}

// The headers' host code converts without the instructions.
void test_f8() {
  const auto a = some_values(kCount);
  Device<float> da(a), out(kCount * 4);
  f8<<<kBlocks, 64>>>(da, out, kCount);
  CUDA(cudaDeviceSynchronize());
  const auto h = out.host();
  for (int i = 0; i < kCount; ++i) {
    const float e = float(__nv_fp8_e4m3(a[i])), f = float(__nv_fp8_e5m2(a[i]));
    EXPECT(h[4 * i] == e, "e4m3 %g %g %g", a[i], h[4 * i], e);
    EXPECT(h[4 * i + 1] == f && h[4 * i + 3] == f, "e5m2 %g: %g %g", a[i], h[4 * i + 1], f);
    EXPECT(h[4 * i + 2] == -e, "e4m3x2 %g %g", h[4 * i + 2], e);
  }
}

void test_atomics() {
  Device<char> memory(64);
  CUDA(cudaMemset(memory, 0, 64));
  char* m = memory;
  at<<<2, 32>>>((__half*)m, (__half2*)(m + 4), (__nv_bfloat16*)(m + 8), (__nv_bfloat162*)(m + 12),
                (float4*)(m + 32));
  CUDA(cudaDeviceSynchronize());
  const auto h = memory.host();
  EXPECT(float(*(const __half*)&h[0]) == 64 && float(((const __half2*)&h[4])->y) == 128, "f16");
  EXPECT(float(*(const __nv_bfloat16*)&h[8]) == 64 && float(((const __nv_bfloat162*)&h[12])->y) == 128,
         "bf16");
  int major = 0;
  CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  if (major >= 9) EXPECT(((const float4*)&h[32])->w == 256, "float4");
}

int main() {
  test_arithmetic<__half, __half2>("f16", 1.0 / 1024);
  test_arithmetic<__nv_bfloat16, __nv_bfloat162>("bf16", 1.0 / 128);
  test_f8();
  test_atomics();
  return finish();
}
