// What the attention kernels are made of: packing to f32 and one small matrix product.
// Included once for each instruction set, like kernels/common/simd-inl.h.
#if defined(CUCLIP_STRIP_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CUCLIP_STRIP_PRODUCT_INL_H_
#undef CUCLIP_STRIP_PRODUCT_INL_H_
#else
#define CUCLIP_STRIP_PRODUCT_INL_H_
#endif

#include "kernels/attention/attention_cpu.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// A tile of the result is kStripRows x kTileVectors accumulators. With 32 registers: 24 accumulators, 4
// vectors of B and the broadcast elements of A; with 16 registers: 12, 2 and those. Either is enough
// independent sums to hide the latency of a fused multiply-add twice over.
constexpr int kTileVectors = HWY_TARGET == HWY_AVX3 ? 4 : 2;

/// One strip of a product: C[kStripRows, n] = or += A[kStripRows, k] B[k, n].
/// A's element (i, j) is a[i * a_row + j * a_col], so that A may be the transpose of what is in memory. B and
/// C have contiguous rows, and columns up to the next multiple of lanes() are read and written.
struct Strip {
  const float* a;
  int64_t a_row;
  int64_t a_col;
  const float* b;
  int64_t ldb;
  float* c;
  int64_t ldc;
  int64_t n;
  int64_t k;
};

template <int kVectors, bool kAccumulate>
HWY_INLINE void strip_tile(const Strip& s, int64_t column) {
  const F32 d;
  const int64_t step = lanes();
  const float* HWY_RESTRICT a = s.a;
  const float* HWY_RESTRICT b = s.b + column;
  VF sum[kStripRows][kVectors];
  for (int i = 0; i < kStripRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = kAccumulate ? load(s.c + i * s.ldc + column + v * step) : hn::Zero(d);
    }
  }
  for (int64_t j = 0; j < s.k; ++j, a += s.a_col, b += s.ldb) {
    VF row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + v * step);
    for (int i = 0; i < kStripRows; ++i) {
      const VF x = hn::Set(d, a[i * s.a_row]);
      for (int v = 0; v < kVectors; ++v) sum[i][v] = hn::MulAdd(x, row[v], sum[i][v]);
    }
  }
  for (int i = 0; i < kStripRows; ++i) {
    for (int v = 0; v < kVectors; ++v) store(sum[i][v], s.c + i * s.ldc + column + v * step);
  }
}

template <bool kAccumulate>
void strip_product(const Strip& s) {
  const int64_t step = lanes();
  int64_t vectors = ceil_div(s.n, step);
  // Even tiles: 5 vectors as 3 + 2, because a tile of one vector is bound by latency.
  const int64_t tiles = ceil_div(vectors, kTileVectors);
  int64_t column = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t width = ceil_div(vectors, tiles - tile);
    if constexpr (kTileVectors == 4) {
      if (width == 4) strip_tile<4, kAccumulate>(s, column);
      if (width == 3) strip_tile<3, kAccumulate>(s, column);
    }
    if (width == 2) strip_tile<2, kAccumulate>(s, column);
    if (width == 1) strip_tile<1, kAccumulate>(s, column);
    column += width * step;
    vectors -= width;
  }
}

/// out[row, :] = scale * in[row, :] as f32, for `rows` rows of n elements; zeros from n to ldout, and in the
/// rows up to padded_rows.
template <typename T>
void pack_rows(const T* in, int64_t ldin, int64_t rows, int64_t n, float scale, float* out, int64_t ldout,
               int64_t padded_rows) {
  const int64_t step = lanes();
  const VF factor = hn::Set(F32(), scale);
  for (int64_t row = 0; row < rows; ++row, in += ldin, out += ldout) {
    int64_t i = 0;
    for (; i + step <= n; i += step) store(hn::Mul(load(in + i), factor), out + i);
    if (i < n) store(hn::Mul(load_n(in + i, n - i), factor), out + i);
    for (i = round_up(n, step); i < ldout; i += step) store(hn::Zero(F32()), out + i);
  }
  for (int64_t i = 0; i < (padded_rows - rows) * ldout; i += step) store(hn::Zero(F32()), out + i);
}

/// out[0, n) = factor * in[0, n), rounded.
template <typename T>
void unpack_row(const float* in, float factor, T* out, int64_t n) {
  const int64_t step = lanes();
  const VF f = hn::Set(F32(), factor);
  int64_t i = 0;
  for (; i + step <= n; i += step) store(hn::Mul(load(in + i), f), out + i);
  if (i < n) store_n(hn::Mul(load(in + i), f), out + i, n - i);
}

/// out[j, i] = in[i, j] for i < rows, j < n. Reads n and rows up to the next multiple of 4.
inline void transpose(const float* in, int64_t ldin, int64_t rows, int64_t n, float* out, int64_t ldout) {
  const hn::Full128<float> d;
  const hn::Full128<double> d64;
  for (int64_t i = 0; i < rows; i += 4) {
    for (int64_t j = 0; j < n; j += 4) {
      const float* p = in + i * ldin + j;
      const auto r0 = hn::LoadU(d, p);
      const auto r1 = hn::LoadU(d, p + ldin);
      const auto r2 = hn::LoadU(d, p + 2 * ldin);
      const auto r3 = hn::LoadU(d, p + 3 * ldin);
      const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));
      const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
      const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
      const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
      float* q = out + j * ldout + i;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, low01, low23)), d, q);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23)), d, q + ldout);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(d64, high01, high23)), d, q + 2 * ldout);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23)), d, q + 3 * ldout);
    }
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
