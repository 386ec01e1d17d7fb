// From a tile's sums to c: bias, activation, a gate or a matrix to be added, in 16-byte accesses.
#pragma once

#include "kernels/common/vec.cuh"
#include "kernels/pointwise/activation.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// What becomes of a sum besides bias and what is added.
enum class Tail : uint8_t { none, gelu, quick_gelu, gelu_gate, quick_gelu_gate };

template <TileElement Out>
struct Epilogue {
  Out* c;
  int64_t rows;
  int64_t columns;
  Tail tail = Tail::none;
  const float* bias = nullptr;    // optional, [columns]
  Out* pre_activation = nullptr;  // optional, [rows, columns]
  const Out* extra = nullptr;     // optional, [rows, columns]: added, and may be c; or the gate
};

/// c = A B in tiles, with what follows it.
template <TileElement T, TileElement Out>
struct ProductArguments {
  Operand<T> a;
  Operand<T> b;
  int64_t reduction;
  int row_tiles;
  int column_tiles;
  Epilogue<Out> epilogue;
};

/// c of one vector of sums (overwritten), n of its elements inside the matrix.
template <Tail kTail, bool kVectors, typename Out, int kSize>
__device__ __forceinline__ void finish(const Epilogue<Out>& p, int64_t at, int n, float (&v)[kSize],
                                       const float (&bias)[kSize], const Vec<Out>& extra_vec) {
  float extra[kSize];
  unpack(extra_vec, extra);
  if constexpr (kTail == Tail::gelu_gate || kTail == Tail::quick_gelu_gate) {
    constexpr Activation kKind = kTail == Tail::gelu_gate ? Activation::gelu : Activation::quick_gelu;
#pragma unroll
    for (int i = 0; i < kSize; ++i) v[i] *= activation_derivative<kKind>(extra[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) v[i] += bias[i];
    if (kTail != Tail::none && p.pre_activation) store_columns<kVectors>(p.pre_activation + at, n, v);
    unpack(pack<Out>(v), v);  // what follows sees z as it is stored
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if constexpr (kTail == Tail::gelu) v[i] = gelu(v[i]);
      if constexpr (kTail == Tail::quick_gelu) v[i] = quick_gelu(v[i]);
      v[i] += extra[i];
    }
  }
  store_columns<kVectors>(p.c + at, n, v);
}

/// Stores the product's tile that begins at `at`. What a part's vectors need from memory is loaded before the
/// first of them is computed.
template <Tail kTail, TileElement Out, StagedSums<Vec<Out>::kSize> Product>
__device__ __forceinline__ void store_tile(Product& product, const Epilogue<Out>& p, const TilePlace& at) {
  constexpr bool kVectors = Product::kVectors;
  constexpr int kSize = Vec<Out>::kSize, kPasses = Product::template kPasses<kSize>;
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int64_t column = at.column + product.template column<kSize>(part);
    const int n = static_cast<int>(min(p.columns - column, int64_t{kSize}));
    const auto row = [&](int pass) { return at.row + product.template row<kSize>(part, pass); };
    const auto inside = [&](int pass) { return n > 0 && row(pass) < p.rows; };
    float bias[kSize] = {};
    if (p.bias && n > 0) {
      if constexpr (kVectors) {
        load_floats(p.bias + column, bias);
      } else {
        load_part(p.bias + column, n, bias);
      }
    }
    Vec<Out> extra[kPasses] = {};
    if (p.extra) {
#pragma unroll
      for (int pass = 0; pass < kPasses; ++pass) {
        if (inside(pass)) extra[pass] = load_first<kVectors>(p.extra + row(pass) * p.columns + column, n);
      }
    }
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      float v[kSize];
      product.read(pass, v);
      if (inside(pass)) {
        finish<kTail, kVectors>(p, row(pass) * p.columns + column, n, v, bias, extra[pass]);
      }
    }
  }
}

}  // namespace cuclip
