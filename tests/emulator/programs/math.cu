// arch: 80 90-G
// run:
// The C library's functions in f32 and f64: ordinary code of libdevice, within the errors that CUDA documents
// (12 units in the last place cover all that are tested; Bessel functions and lgamma have absolute bounds
// near their zeros).
#include <cmath>
#include "programs/check.h"
// clang-format off
#define F1(X)                                                                                         \
  X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh) X(acosh) X(atanh)     \
  X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sqrt) X(cbrt) X(erf) X(erfc) X(tgamma)   \
  X(floor) X(ceil) X(trunc) X(round) X(rint) X(fabs) X(logb)
#define F2(X) X(pow) X(atan2) X(fmod) X(hypot) X(fmax) X(fmin) X(copysign) X(remainder) X(nextafter) X(fdim)
// clang-format on
enum {
#define E(f) k_##f,
  F1(E) F2(E) kCount
};
template <class T>
__global__ void run(const T* a, const T* b, T* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T x = a[i], y = b[i];
#define C1(f) o[k_##f * n + i] = f(x);
#define C2(f) o[k_##f * n + i] = f(x, y);
  F1(C1) F2(C2)
}
template <class T>
void test(double ulps) {
  const int n = 2000;
  std::vector<T> a(n), b(n);
  for (int i = 0; i < n; ++i) {
    a[i] = T(std::ldexp(double(int(rng()())), int(rng()() % 24) - 40));
    b[i] = T(std::ldexp(double(int(rng()())), int(rng()() % 10) - 34));
    if (i % 50 == 0) a[i] = T(i % 100 ? INFINITY : NAN);
    if (i % 77 == 0) a[i] = 0;
    if (i % 33 == 0) a[i] = T(std::ldexp(1e9, i % 90));
  }
  Device<T> da(a), db(b), o(size_t(n) * kCount);
  run<T><<<(n + 127) / 128, 128>>>(da, db, o, n);
  CUDA(cudaDeviceSynchronize());
  auto h = o.host();
  auto cmp = [&](const char* name, int k, auto f) {
    int bad = 0;
    for (int i = 0; i < n; ++i) {
      T e = T(f((long double)a[i], (long double)b[i]));
      T g = h[k * n + i];
      if (e != e && g != g) continue;
      if (e == g) continue;
      double err = std::fabs(double(e) - double(g)) /
                   std::max(double(std::nextafter(std::fabs(e), T(INFINITY)) - std::fabs(e)),
                            double(std::numeric_limits<T>::denorm_min()));
      if (!(err <= ulps) && bad++ < 2)
        EXPECT(false, "%s(%a, %a) = %a expected %a (%g ulp)", name, double(a[i]), double(b[i]), double(g),
               double(e), err);
    }
  };
#define T1(f)                                                                        \
  cmp(#f, k_##f, [](long double x, long double) {                                    \
    return std::is_same_v<T, float> ? (double)::f((double)x) : (long double)f##l(x); \
  });
#define T2(f)                                                                                       \
  cmp(#f, k_##f, [](long double x, long double y) {                                                 \
    if (std::is_same_v<T, float> && !strcmp(#f, "nextafter")) return (long double)nextafterf(x, y); \
    return std::is_same_v<T, float> ? (long double)::f((double)x, (double)y)                        \
                                    : (long double)::f((double)x, (double)y);                       \
  });
  F1(T1) F2(T2)
}
int main() {
  test<float>(12);
  test<double>(12);
  return finish();
}
