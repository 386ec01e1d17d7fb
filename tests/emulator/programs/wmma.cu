// run:
// run: --check full --schedule random:11
// wmma: every shape, type and layout against f64. Small integers: every sum is exact.
#include <mma.h>
#include "programs/check.h"
using namespace nvcuda;
template <class A, class C, int M, int N, int K, class LA, class LB>
__global__ void gemm(const A* a, const A* b, C* c, int lda, int ldb, int ldc, bool col) {
  wmma::fragment<wmma::matrix_a, M, N, K, A, LA> fa;
  wmma::fragment<wmma::matrix_b, M, N, K, A, LB> fb;
  wmma::fragment<wmma::accumulator, M, N, K, C> fc;
  wmma::load_matrix_sync(fc, c, ldc, col ? wmma::mem_col_major : wmma::mem_row_major);
  wmma::load_matrix_sync(fa, a, lda);
  wmma::load_matrix_sync(fb, b, ldb);
  wmma::mma_sync(fc, fa, fb, fc);
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] = fc.x[i] + fc.x[i];
  wmma::store_matrix_sync(c, fc, ldc, col ? wmma::mem_col_major : wmma::mem_row_major);
}
template <class A, class C, int M, int N, int K, class LA, class LB>
void test(const char* name) {
  const bool arow = std::is_same_v<LA, wmma::row_major>, brow = std::is_same_v<LB, wmma::row_major>;
  for (bool col : {false, true}) {
    int lda = (arow ? K : M) + 16, ldb = (brow ? N : K) + 16, ldc = (col ? M : N) + 16;
    std::vector<A> a(lda * (arow ? M : K)), b(ldb * (brow ? K : N));
    std::vector<C> c(ldc * (col ? N : M));
    for (auto& x : a) x = A(float(int(rng()() % 17) - (std::is_same_v<A, unsigned char> ? 0 : 8)));
    for (auto& x : b) x = A(float(int(rng()() % 17) - (std::is_same_v<A, unsigned char> ? 0 : 8)));
    for (auto& x : c) x = C(float(int(rng()() % 17) - 8));
    Device<A> da(a), db(b);
    Device<C> dc(c);
    gemm<A, C, M, N, K, LA, LB><<<1, 32>>>(da, db, dc, lda, ldb, ldc, col);
    CUDA(cudaDeviceSynchronize());
    auto r = dc.host();
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < N; ++j) {
        double s = double(c[col ? j * ldc + i : i * ldc + j]);
        for (int k = 0; k < K; ++k)
          s += double(a[arow ? i * lda + k : k * lda + i]) * double(b[brow ? k * ldb + j : j * ldb + k]);
        double got = double(r[col ? j * ldc + i : i * ldc + j]);
        EXPECT(got == 2 * s, "%s %d %d: %g %g", name, i, j, got, 2 * s);
      }
  }
}
#define ALL(A, C, M, N, K)                                         \
  test<A, C, M, N, K, wmma::row_major, wmma::col_major>(#A #C #M); \
  test<A, C, M, N, K, wmma::row_major, wmma::row_major>(#A #C #M); \
  test<A, C, M, N, K, wmma::col_major, wmma::col_major>(#A #C #M); \
  test<A, C, M, N, K, wmma::col_major, wmma::row_major>(#A #C #M);
__global__ void tf(const float* a, const float* b, float* c) {
  wmma::fragment<wmma::matrix_a, 16, 16, 8, wmma::precision::tf32, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 8, wmma::precision::tf32, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 8, float> fc;
  wmma::fill_fragment(fc, 0.f);
  wmma::load_matrix_sync(fa, a, 8);
  wmma::load_matrix_sync(fb, b, 8);
  for (int i = 0; i < fa.num_elements; ++i) fa.x[i] = wmma::__float_to_tf32(fa.x[i]);
  for (int i = 0; i < fb.num_elements; ++i) fb.x[i] = wmma::__float_to_tf32(fb.x[i]);
  wmma::mma_sync(fc, fa, fb, fc);
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}
int main() {
  // clang-format off
  ALL(__half, float, 16, 16, 16) ALL(__half, float, 32, 8, 16) ALL(__half, float, 8, 32, 16)
  ALL(__half, __half, 16, 16, 16) ALL(__half, __half, 32, 8, 16) ALL(__half, __half, 8, 32, 16)
  ALL(__nv_bfloat16, float, 16, 16, 16) ALL(__nv_bfloat16, float, 32, 8, 16)
  ALL(__nv_bfloat16, float, 8, 32, 16) ALL(signed char, int, 16, 16, 16) ALL(signed char, int, 32, 8, 16)
  ALL(signed char, int, 8, 32, 16) ALL(unsigned char, int, 16, 16, 16) ALL(unsigned char, int, 32, 8, 16)
  ALL(unsigned char, int, 8, 32, 16) ALL(double, double, 8, 8, 4)
  std::vector<float> a(128), b(128);
  // clang-format on
  for (auto& x : a) x = int(rng()() % 33) - 16;
  for (auto& x : b) x = int(rng()() % 33) - 16;
  Device<float> da(a), db(b), dc(256);
  tf<<<1, 32>>>(da, db, dc);
  auto c = dc.host();
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      float s = 0;
      for (int k = 0; k < 8; ++k) s += a[i * 8 + k] * b[j * 8 + k];
      EXPECT(s == c[i * 16 + j], "tf32");
    }
  return finish();
}
