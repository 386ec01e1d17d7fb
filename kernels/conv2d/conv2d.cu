// The convolution on CUDA: the windows of all positions times the weight, [N OH OW, K K Cin] by [K K Cin,
// Cout], with the tile products of kernels/tiles. No window is ever written to memory.
//
// A tile is 128 positions by 128 channels of y, or 256 by 64 where y has no more. Bytes moved by a tile: the
// pixels of its windows once (halo_product.cuh); its rows of the weight; residual and y once. In f32, with a
// stride, or where the channels are not whole steps, the windows are read as they are: a pixel as often as it
// is in one of them, for all but the first of which the caches answer.
#include <algorithm>
#include <limits>

#include "kernels/common/launch.cuh"
#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/halo_product.cuh"

namespace cuclip {
namespace {

template <typename T>
struct ForwardArguments {
  Windows<T> windows;
  Operand<T> weight;
  const float* scale;  // null, or [columns]
  const float* bias;   // null, or [columns]
  const T* residual;   // null, or as y
  bool relu;
  T* y;
  int64_t columns;
  int row_tiles;
  int column_tiles;
  bool whole;  // 16-byte accesses fit y's rows and what is added to them
};

template <bool kWhole, BlockProduct Product, typename T>
__device__ __forceinline__ void store(Product& product, const ForwardArguments<T>& p, const TilePlace& at) {
  for_each_vector<T>(product, at, p.columns, [&](int64_t row, int64_t column, int n, auto& v) {
    constexpr int kSize = Vec<T>::kSize;
    if (row >= p.windows.rows) return;
    const int64_t to = row * p.columns + column;
    float other[kSize];
    const auto load_channels = [&](const float* from) {
      if constexpr (kWhole) {
        load_floats(from + column, other);
      } else {
        load_part(from + column, n, other);
      }
    };
    if (p.scale) {
      load_channels(p.scale);
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] *= other[j];
    }
    if (p.bias) {
      load_channels(p.bias);
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] += other[j];
    }
    if (p.residual) {
      load_columns<kWhole>(p.residual + to, n, other);
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] += other[j];
    }
    if (p.relu) {
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] = v[j] < 0.0f ? 0.0f : v[j];  // NaN stays NaN
    }
    store_columns<kWhole>(p.y + to, n, v);
  });
}

template <BlockProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    conv2d_forward_kernel(const ForwardArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles, Product::kRows,
                     Product::kColumns);
  const Operand<T> windows{nullptr, 0, 0};
  Product product(p.windows, static_cast<int>(at.row), p.windows.rows, 0, windows, p.weight, at,
                  p.windows.elements, false, shared);
  run_pipeline<Product::kStages>(product, steps_of<T>(p.windows.elements));
  p.whole ? store<true>(product, p, at) : store<false>(product, p, at);
}

template <typename Products, typename T = typename Products::Input>
ForwardArguments<T> arguments_of(const Conv2dForward& p) {
  using Any = typename Products::template Product<Along::reduction, Along::reduction, true, false>;
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  const int64_t elements = s.kernel * s.kernel * s.channels;
  ForwardArguments<T> a{.windows = windows_of<T>(p.x, s),
                        .weight = {p.weight.as<T>(), elements, s.outputs},
                        .scale = p.scale ? p.scale.as<float>() : nullptr,
                        .bias = p.bias ? p.bias.as<float>() : nullptr,
                        .residual = p.residual ? p.residual.as<T>() : nullptr,
                        .relu = p.relu,
                        .y = p.y.as<T>(),
                        .columns = s.outputs,
                        .row_tiles = static_cast<int>(tiles_of(s.batch * s.positions(), Any::kRows)),
                        .column_tiles = static_cast<int>(tiles_of(s.outputs, Any::kColumns)),
                        .whole = false};
  a.whole = s.outputs % Vec<T>::kSize == 0 && aligned_to(kVecBytes, a.scale, a.bias, a.residual, a.y);
  return a;
}

template <typename Products>
void run(const Conv2dForward& p, const ExecContext& ctx) {
  const auto a = arguments_of<Products>(p);
  const bool vectors = a.windows.in_chunks() && vector_lines(a.weight);
  with_window_product<Products::template Product, Along::reduction>(
      a.windows, a.windows.taps_across, vectors, [&]<typename P>(std::type_identity<P>, int shared_bytes) {
        launch({.kernel = "conv2d_forward_kernel",
                .grid = {int64_t{a.row_tiles} * a.column_tiles},
                .threads = P::kThreads,
                .shared_bytes = static_cast<size_t>(shared_bytes)},
               conv2d_forward_kernel<P>, ctx, a);
      });
}

// Pixels and positions, those of the last tile beyond the batch too, are counted in 32 bits; so are channels
// and the elements that a sum runs over, those of the last step beyond its end too.
void check_counts(const Conv2dShape& s) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t pictures = s.batch + kFormRows<Tuning::TallProduct>;
  CUCLIP_CHECK(pictures <= kMost / std::max(s.height * s.width, s.positions()),
               "conv2d: {} pictures of {} x {} with results of {} x {} are too many for one call on CUDA",
               s.batch, s.height, s.width, s.out_height, s.out_width);
  constexpr int64_t kMostElements = int64_t{1} << 30;
  CUCLIP_CHECK(
      std::max(s.channels, s.outputs) <= kMostElements / (s.kernel * s.kernel),
      "conv2d: filters of {} x {} with {} channels in and {} out are too large for CUDA, which takes "
      "up to {} elements",
      s.kernel, s.kernel, s.channels, s.outputs, kMostElements);
}

}  // namespace

void conv2d_forward_cuda(const Conv2dForward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  check_counts(s);
  with_products_of_columns(s.outputs, p.x.dtype, ctx,
                           [&](auto products) { run<decltype(products)>(p, ctx); });
}

void conv2d_backward_cuda(const Conv2dBackward& p, const ExecContext& ctx) {
  check_counts(Conv2dShape(p.x, p.weight, p.stride, p.padding));
  if (p.dx) conv2d_data_gradient_cuda(p, ctx);
  if (p.dweight) conv2d_weight_gradient_cuda(p, ctx);
}

}  // namespace cuclip
