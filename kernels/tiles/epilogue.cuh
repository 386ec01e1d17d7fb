// From a tile's sums to c: bias, activation, a gate or a matrix to be added, in 16-byte accesses.
#pragma once

#include "kernels/common/vec.cuh"
#include "kernels/pointwise/activation.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// What becomes of a sum besides bias and what is added.
enum class EpilogueOp : uint8_t { none, gelu, quick_gelu, gelu_gate, quick_gelu_gate };

template <TileElement Out>
struct Epilogue {
  Out* c;
  int64_t rows;
  int64_t columns;
  EpilogueOp op = EpilogueOp::none;
  const float* bias = nullptr;    // optional, [columns]
  Out* pre_activation = nullptr;  // optional, [rows, columns]
  // Optional, [rows, columns]: the gate where `op` has one; otherwise it is added, and may be c.
  const Out* addend_or_gate = nullptr;
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
template <EpilogueOp kOp, bool kVectors, typename Out, int kSize>
__device__ __forceinline__ void finish(const Epilogue<Out>& p, int64_t at, int n, float (&v)[kSize],
                                       const float (&bias)[kSize], const Vec<Out>& addend_or_gate_vec) {
  float addend_or_gate[kSize];
  unpack(addend_or_gate_vec, addend_or_gate);
  if constexpr (kOp == EpilogueOp::gelu_gate || kOp == EpilogueOp::quick_gelu_gate) {
    constexpr Activation kKind = kOp == EpilogueOp::gelu_gate ? Activation::gelu : Activation::quick_gelu;
#pragma unroll
    for (int i = 0; i < kSize; ++i) v[i] *= activation_derivative<kKind>(addend_or_gate[i]);
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) v[i] += bias[i];
    if (kOp != EpilogueOp::none && p.pre_activation) store_columns<kVectors>(p.pre_activation + at, n, v);
    unpack(pack<Out>(v), v);  // what follows sees z as it is stored
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if constexpr (kOp == EpilogueOp::gelu) v[i] = gelu(v[i]);
      if constexpr (kOp == EpilogueOp::quick_gelu) v[i] = quick_gelu(v[i]);
      v[i] += addend_or_gate[i];
    }
  }
  store_columns<kVectors>(p.c + at, n, v);
}

/// Stores the product's tile that begins at `at`. What a part's vectors need from memory is loaded before the
/// first of them is computed.
template <EpilogueOp kOp, TileElement Out, StagedSums<Vec<Out>::kSize> Product>
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
    Vec<Out> addend_or_gate[kPasses] = {};
    if (p.addend_or_gate) {
#pragma unroll
      for (int pass = 0; pass < kPasses; ++pass) {
        if (inside(pass))
          addend_or_gate[pass] = load_first<kVectors>(p.addend_or_gate + row(pass) * p.columns + column, n);
      }
    }
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      float v[kSize];
      product.read(pass, v);
      if (inside(pass)) {
        finish<kOp, kVectors>(p, row(pass) * p.columns + column, n, v, bias, addend_or_gate[pass]);
      }
    }
  }
}

}  // namespace cuclip
