// A tile of similarities: a product's sums, scaled by their rows' and columns' inverse norms while they pass
// through registers.
#pragma once

#include "kernels/common/reduce.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

template <typename T>
struct SimilarityOperands {
  Operand<T> a;
  Operand<T> b;
  int64_t depth;
  const float* a_rnorm;
  const float* b_rnorm;  // 16-byte aligned
  float scale;
};

/// How many neighbours in a row half a warp has at a time.
inline constexpr int kHalfWarpColumns = kWarp / 2 * Vec<float>::kSize;

/// Calls body(row, column, n, v) for each four neighbours of the tile at `at`, row and column counted from
/// its first; n of them are inside the matrix (none: n <= 0). A warp's lanes call together, the lower half
/// with kHalfWarpColumns of one row, the upper half with those of another. kUnroll: how often the call is
/// unrolled.
template <int kUnroll, StagedSums<Vec<float>::kSize> Product, typename T, typename Body>
__device__ __forceinline__ void for_each_similarity(Product& product, const SimilarityOperands<T>& p,
                                                    const TilePlace& at, Body&& body) {
  constexpr int kSize = Vec<float>::kSize;
  const int rows = static_cast<int>(min(p.a.outer - at.row, int64_t{kTile}));
  const int columns = static_cast<int>(min(p.b.outer - at.column, int64_t{kTile}));
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int column = product.template column<kSize>(part), n = columns - column;
    float factors[kSize];
    const float* rnorm = p.b_rnorm + at.column + column;
    n < kSize ? load_part(rnorm, n, factors) : load_floats(rnorm, factors);
    product.stage(part);
#pragma unroll kUnroll
    for (int pass = 0; pass < Product::template kPasses<kSize>; ++pass) {
      const int row = product.template row<kSize>(part, pass);
      float v[kSize];
      product.read(pass, v);
      const float factor = row < rows ? p.a_rnorm[at.row + row] * p.scale : 0.0f;
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] = v[j] * factors[j] * factor;
      body(row, column, row < rows ? n : 0, v);
    }
  }
}

}  // namespace cuclip
