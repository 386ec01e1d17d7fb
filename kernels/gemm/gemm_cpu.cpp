// CPU products of linear layers: oneDNN multiplies tiles that stay in the second-level cache, and the
// epilogue runs over each tile while it is there.
#include "kernels/common/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/gemm_cpu.cpp"
#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"
#include "kernels/gemm/gemm_cpu.h"
#include "kernels/pointwise/activation-inl.h"
#include "kernels/tiles/tile_product.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {

template <Activation kKind>
HWY_INLINE VF activate(VF x) {
  return kKind == Activation::gelu ? gelu(x) : quick_gelu(x);
}

template <Activation kKind>
HWY_INLINE VF activation_slope(VF x) {
  return kKind == Activation::gelu ? gelu_derivative(x) : quick_gelu_derivative(x);
}

// Calls body(column, n): whole vectors, then what is left.
template <typename Body>
HWY_INLINE void for_vectors(int64_t columns, const Body& body) {
  int64_t j = 0;
  for (; j + lanes() <= columns; j += lanes()) body(j, lanes());
  if (j < columns) body(j, columns - j);
}

template <typename T>
HWY_INLINE VF load_upto(const T* p, int64_t n) {
  return n == lanes() ? load(p) : load_n(p, n);
}
template <typename T>
HWY_INLINE void store_upto(VF v, T* p, int64_t n) {
  n == lanes() ? store(v, p) : store_n(v, p, n);
}

// The value after rounding to T and back.
template <typename T>
HWY_INLINE VF rounded(VF v) {
  if constexpr (sizeof(T) == 4) {
    return v;
  } else {
    T buffer[HWY_MAX_BYTES / 4];
    store(v, buffer);
    return load(buffer);
  }
}

template <typename T, bool kActivate, Activation kKind>
void forward_epilogue(const Gemm& p, const Tile& tile) {
  const int64_t n = p.c.size(1);
  const float* bias = p.bias ? p.bias.as<float>() + tile.column : nullptr;
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t at = (tile.row + i) * n + tile.column;
    const float* sums = tile.sums + i * tile.sums_stride;
    T* c = p.c.as<T>() + at;
    T* z_out = p.pre_activation ? p.pre_activation.as<T>() + at : nullptr;
    for_vectors(tile.columns, [&](int64_t j, int64_t count) HWY_ATTR {
      VF z = load_upto(sums + j, count);
      if (bias) z = hn::Add(z, load_upto(bias + j, count));
      if (z_out) store_upto(z, z_out + j, count);
      if (kActivate) z = activate<kKind>(rounded<T>(z));
      store_upto(z, c + j, count);
    });
  }
}

template <typename T, Activation kKind>
void gate_epilogue(const Gemm& p, const Tile& tile) {
  const int64_t n = p.c.size(1);
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t at = (tile.row + i) * n + tile.column;
    const float* sums = tile.sums + i * tile.sums_stride;
    T* c = p.c.as<T>() + at;
    const T* gate = p.gate.as<T>() + at;
    for_vectors(tile.columns, [&](int64_t j, int64_t count) HWY_ATTR {
      const VF slope = activation_slope<kKind>(load_upto(gate + j, count));
      store_upto(hn::Mul(load_upto(sums + j, count), slope), c + j, count);
    });
  }
}

template <typename T>
void epilogue_of(const Gemm& p, const Tile& tile) {
  const bool is_gelu = p.activation == Activation::gelu;
  if (p.gate) {
    is_gelu ? gate_epilogue<T, Activation::gelu>(p, tile) : gate_epilogue<T, Activation::quick_gelu>(p, tile);
  } else if (p.activation) {
    is_gelu ? forward_epilogue<T, true, Activation::gelu>(p, tile)
            : forward_epilogue<T, true, Activation::quick_gelu>(p, tile);
  } else {
    forward_epilogue<T, false, Activation::gelu>(p, tile);
  }
}

void Epilogue(const Gemm& p, const Tile& tile) {
  p.c.dtype == DType::bf16 ? epilogue_of<bfloat16>(p, tile) : epilogue_of<float>(p, tile);
}

template <typename T>
void add_column_sums(const T* dy, int64_t rows, int64_t stride, int64_t columns, float* sums) {
  for_vectors(columns, [&](int64_t j, int64_t count) HWY_ATTR {
    // Four running sums: one chain of additions would wait for each to end.
    VF s[4] = {hn::Zero(F32()), hn::Zero(F32()), hn::Zero(F32()), hn::Zero(F32())};
    for (int64_t i = 0; i < rows; ++i) s[i & 3] = hn::Add(s[i & 3], load_upto(dy + i * stride + j, count));
    const VF total = hn::Add(hn::Add(s[0], s[1]), hn::Add(s[2], s[3]));
    store_upto(hn::Add(load_upto(sums + j, count), total), sums + j, count);
  });
}

void AddColumnSums(const TensorView& dy, int64_t row, int64_t rows, int64_t column, int64_t columns,
                   float* sums) {
  const int64_t stride = dy.size(1), at = row * stride + column;
  if (dy.dtype == DType::bf16) {
    add_column_sums(dy.as<bfloat16>() + at, rows, stride, columns, sums);
  } else {
    add_column_sums(dy.as<float>() + at, rows, stride, columns, sums);
  }
}

void AddInto(const float* from, int64_t count, float* to) {
  for_vectors(count, [&](int64_t j, int64_t n) HWY_ATTR {
    store_upto(hn::Add(load_upto(to + j, n), load_upto(from + j, n)), to + j, n);
  });
}

}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cstring>

namespace cuclip {

HWY_EXPORT(Epilogue);
HWY_EXPORT(AddColumnSums);
HWY_EXPORT(AddInto);

namespace {

// 256 rows amortise oneDNN's repacking of b; 256 x 512 sums in f32 are 512 KiB, half of a second-level cache.
constexpr int64_t kTileRows = 256;
constexpr int64_t kTileColumns = 512;

// Weight gradients: dy's rows enter in chunks small enough to stay in the cache (a product over 16,640 rows
// at once runs at two thirds of the speed), and a slice of rows is one task.
constexpr int64_t kGradientTile = 256;
constexpr int64_t kChunkRows = 1024;
constexpr int64_t kWantedTasks = 16;

const std::byte* element(const TensorView& view, int64_t index) {
  return static_cast<const std::byte*>(view.data) + static_cast<size_t>(index) * size_of(view.dtype);
}

}  // namespace

void gemm_cpu(const Gemm& p, const ExecContext& ctx) {
  const int64_t m = p.a.size(0), k = p.a.size(1), n = p.c.size(1);
  const int64_t row_tiles = ceil_div(m, kTileRows), column_tiles = ceil_div(n, kTileColumns);
  const bool has_epilogue = p.bias || p.activation;
  const bool through_scratch = has_epilogue && p.c.dtype == DType::bf16;
  const int64_t scratch_tile = std::min(m, kTileRows) * std::min(n, kTileColumns);
  float* scratch = nullptr;
  if (through_scratch) {
    scratch = static_cast<float*>(
        ctx.scratch->reserve(static_cast<size_t>(ctx.pool->size() * scratch_tile) * sizeof(float)));
  }
  parallel_for(ctx, row_tiles * column_tiles, [&](int64_t task, int worker) {
    const int64_t row = task / column_tiles * kTileRows, column = task % column_tiles * kTileColumns;
    Tile tile{.row = row,
              .rows = std::min(kTileRows, m - row),
              .column = column,
              .columns = std::min(kTileColumns, n - column),
              .sums = nullptr,
              .sums_stride = 0};
    float* in_scratch = through_scratch ? scratch + worker * scratch_tile : nullptr;
    auto* in_c = const_cast<std::byte*>(element(p.c, tile.row * n + tile.column));
    tile_product({.a = element(p.a, tile.row * k),
                  .b = element(p.b, p.transpose_b ? tile.column * k : tile.column),
                  .c = through_scratch ? static_cast<void*>(in_scratch) : in_c,
                  .m = tile.rows,
                  .n = tile.columns,
                  .k = k,
                  .lda = k,
                  .ldb = p.transpose_b ? k : n,
                  .ldc = through_scratch ? tile.columns : n,
                  .transpose_b = p.transpose_b,
                  .input = p.a.dtype,
                  .output = through_scratch ? DType::f32 : p.c.dtype});
    if (!has_epilogue) return;
    tile.sums = through_scratch ? in_scratch : reinterpret_cast<const float*>(in_c);
    tile.sums_stride = through_scratch ? tile.columns : n;
    HWY_DYNAMIC_DISPATCH(Epilogue)(p, tile);
  });
}

void gemm_weight_gradient_cpu(const GemmWeightGradient& p, const ExecContext& ctx) {
  const int64_t m = p.dy.size(0), n = p.dy.size(1), k = p.x.size(1);
  const int64_t n_tiles = ceil_div(n, kGradientTile),
                k_tiles = std::max<int64_t>(1, ceil_div(k, kTileColumns));
  const int64_t slices =
      std::clamp<int64_t>(ceil_div(kWantedTasks, n_tiles * k_tiles), 1, ceil_div(m, 2 * kChunkRows));
  const int64_t slice_rows = round_up(ceil_div(m, slices), kChunkRows);
  const int64_t width = n * k + n;  // a slice's sums: dweight, then dbias
  float* partial = nullptr;         // the first slice adds straight into the gradients
  if (slices > 1) {
    partial =
        static_cast<float*>(ctx.scratch->reserve(static_cast<size_t>((slices - 1) * width) * sizeof(float)));
  }
  parallel_for(ctx, slices * n_tiles * k_tiles, [&](int64_t task, int) {
    const int64_t slice = task / (n_tiles * k_tiles), tile = task % (n_tiles * k_tiles);
    const int64_t n0 = tile / k_tiles * kGradientTile, k0 = tile % k_tiles * kTileColumns;
    const int64_t columns = std::min(kGradientTile, n - n0), k_columns = std::min(kTileColumns, k - k0);
    const int64_t begin = slice * slice_rows, end = std::min(m, begin + slice_rows);
    float* dweight = slice == 0 ? p.dweight.as<float>() : partial + (slice - 1) * width;
    float* dbias = slice == 0 ? (p.dbias ? p.dbias.as<float>() : nullptr) : dweight + n * k;
    const bool sums_bias = p.dbias && k0 == 0;
    if (slice > 0 && sums_bias) std::memset(dbias + n0, 0, static_cast<size_t>(columns) * sizeof(float));
    if (slice > 0 && begin >= end) {  // rounding the slices up to chunks may leave the last ones without rows
      for (int64_t i = 0; i < columns; ++i) {
        std::memset(dweight + (n0 + i) * k + k0, 0, static_cast<size_t>(k_columns) * sizeof(float));
      }
    }
    for (int64_t row = begin; row < end; row += kChunkRows) {
      const int64_t rows = std::min(kChunkRows, end - row);
      tile_product({.a = element(p.dy, row * n + n0),
                    .b = element(p.x, row * k + k0),
                    .c = dweight + n0 * k + k0,
                    .m = columns,
                    .n = k_columns,
                    .k = rows,
                    .lda = n,
                    .ldb = k,
                    .ldc = k,
                    .transpose_a = true,
                    .input = p.dy.dtype,
                    .output = DType::f32,
                    .accumulate = slice == 0 || row > begin});
      if (sums_bias) HWY_DYNAMIC_DISPATCH(AddColumnSums)(p.dy, row, rows, n0, columns, dbias + n0);
    }
  });
  if (slices == 1) return;
  parallel_for(ctx, n_tiles, [&](int64_t tile, int) {
    const int64_t n0 = tile * kGradientTile, columns = std::min(kGradientTile, n - n0);
    for (int64_t slice = 1; slice < slices; ++slice) {
      const float* from = partial + (slice - 1) * width;
      HWY_DYNAMIC_DISPATCH(AddInto)(from + n0 * k, columns * k, p.dweight.as<float>() + n0 * k);
      if (p.dbias) HWY_DYNAMIC_DISPATCH(AddInto)(from + n * k + n0, columns, p.dbias.as<float>() + n0);
    }
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
