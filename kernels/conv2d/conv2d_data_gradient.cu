// The convolution's gradient of x on CUDA: a convolution of dy, with the taps in reverse.
//
// dx[h, w] is a sum over the taps (i, j) for which h + p - i and w + p - j are multiples of the stride s. So
// pixels fall into s² classes, by the remainders of h + p and w + p; a class's pixels have the same taps, i =
// r, r + s, r + 2 s, ..., which read neighbouring positions of dy, last to first. A block computes 128 pixels
// of one class by 128 channels, or 256 by 64 (conv2d.cu): no product is with a zero between dy's positions.
//
// The weight is brought into the order that this needs, [taps, class after class][Cout][Cin], by a first
// kernel, in scratch (as large as the weight; K = 1 needs none). Bytes moved by a tile: the windows of its
// pixels in dy, read as the forward reads its own; 128 columns of the weight; dx once.
#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/halo_product.cuh"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

// Which taps a class has. Along one side of the kernel: those at `remainder` modulo the stride.
struct TapClasses {
  int kernel, stride;

  __host__ __device__ int taps(int remainder) const {
    return kernel / stride + (remainder < kernel % stride ? 1 : 0);
  }
  /// Taps at smaller remainders.
  __host__ __device__ int before(int remainder) const {
    return remainder * (kernel / stride) + min(remainder, kernel % stride);
  }
  /// Taps of the classes before this one.
  __host__ __device__ int first(int down, int across) const {
    return before(down) * kernel + taps(down) * before(across);
  }
};

// to[tap in the classes' order][o][c] = weight[o][i][j][c].
template <typename T>
__global__ void __launch_bounds__(kThreads)
    order_taps_kernel(const T* weight, int64_t outputs, int64_t channels, const TapClasses classes, T* to) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int kernel = classes.kernel, stride = classes.stride, taps = kernel * kernel;
  const int64_t o = at / (taps * channels), inside = at - o * taps * channels;
  if (o >= outputs) return;
  const int tap = static_cast<int>(inside / channels), i = tap / kernel, j = tap % kernel;
  const int place =
      classes.first(i % stride, j % stride) + i / stride * classes.taps(j % stride) + j / stride;
  to[(place * outputs + o) * channels + inside - tap * channels] = weight[at];
}

template <typename T>
struct DataArguments {
  Windows<T> windows;  // of dy, for the pixels of a class; what the class decides is not set
  Divisor taps[2];     // across, of a class that has the fewer and of one that has the more
  Operand<T> weight;   // [taps Cout, Cin]
  TapClasses classes;
  int padding;
  T* dx;
  int height, width;
  int64_t columns;
  int row_tiles;
  int column_tiles;
  bool whole;  // 16-byte stores fit dx's rows
};

// Where a class's pixels are along one side: the first, and the position of dy that its first tap reads.
struct ClassOrigin {
  int pixel, position;
  __device__ __forceinline__ ClassOrigin(int remainder, int padding, int stride) {
    const int shifted = (remainder - padding % stride + stride) % stride;
    pixel = shifted;
    position = (shifted + padding - remainder) / stride;
  }
};

template <bool kWhole, BlockProduct Product, typename T>
__device__ __forceinline__ void store(Product& product, const DataArguments<T>& p, const TilePlace& at,
                                      int first_row, int first_column) {
  for_each_vector<T>(product, at, p.columns, [&](int64_t row, int64_t column, int n, auto& v) {
    if (row >= p.windows.rows) return;
    const int number = static_cast<int>(row);
    const int picture = number / p.windows.positions, inside = number - picture * p.windows.positions;
    const int down = inside / p.windows.across, across = inside - down * p.windows.across;
    const int h = first_row + down * p.classes.stride, w = first_column + across * p.classes.stride;
    if (h >= p.height || w >= p.width) return;
    const int64_t pixel = (int64_t{picture} * p.height + h) * p.width + w;
    store_columns<kWhole>(p.dx + pixel * p.columns + column, n, v);
  });
}

template <BlockProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    conv2d_data_gradient_kernel(const DataArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const int tiles = p.row_tiles * p.column_tiles, stride = p.classes.stride;
  const int number = static_cast<int>(blockIdx.x) / tiles, tile = static_cast<int>(blockIdx.x) % tiles;
  const int down = number / stride, across = number % stride;
  const ClassOrigin row(down, p.padding, stride), column(across, p.padding, stride);
  const int taps_down = p.classes.taps(down), taps_across = p.classes.taps(across);
  Windows<T> windows = p.windows;
  windows.row = row.position;
  windows.column = column.position;
  windows.taps_across = p.taps[taps_across > p.classes.kernel / stride ? 1 : 0];
  windows.elements = taps_down * taps_across * windows.channels;
  Operand<T> weight = p.weight;
  weight.data += static_cast<int64_t>(p.classes.first(down, across)) * windows.channels * weight.stride;

  const TilePlace at(tile, p.row_tiles, p.column_tiles, Product::kRows, Product::kColumns);
  const Operand<T> no_matrix{nullptr, 0, 0};
  Product product(windows, static_cast<int>(at.row), windows.rows, 0, no_matrix, weight, at, windows.elements,
                  false, shared);
  run_pipeline<Product::kStages>(product, steps_of<T>(windows.elements));
  p.whole ? store<true>(product, p, at, row.pixel, column.pixel)
          : store<false>(product, p, at, row.pixel, column.pixel);
}

// The weight with its taps in the classes' order.
template <typename T>
const T* ordered_weight(const Conv2dBackward& p, const Conv2dShape& s, const TapClasses& classes,
                        const ExecContext& ctx) {
  if (s.kernel == 1) return p.weight.as<T>();
  ScratchPlan plan;
  const auto ordered = plan.add<T>(s.weights());
  plan.reserve(ctx);
  launch({.kernel = "order_taps_kernel", .grid = {ceil_div(s.weights(), kThreads)}, .threads = kThreads},
         order_taps_kernel<T>, ctx, p.weight.as<T>(), s.outputs, s.channels, classes, plan[ordered]);
  return plan[ordered];
}

template <typename Products, typename T = typename Products::Input>
void run(const Conv2dBackward& p, const ExecContext& ctx) {
  using Any = typename Products::template Product<Along::reduction, Along::outer, true, false>;
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  const TapClasses classes{static_cast<int>(s.kernel), static_cast<int>(s.stride)};
  // Of every class as many pixels as the largest has.
  const int64_t down = ceil_div(s.height, s.stride), across = ceil_div(s.width, s.stride);
  DataArguments<T> a{
      .windows = {.pixels = p.dy.as<T>(),
                  .height = static_cast<int>(s.out_height),
                  .width = static_cast<int>(s.out_width),
                  .channels = Divisor(s.outputs),
                  .taps_across = Divisor(1),
                  .direction = -1,
                  .elements = 0,
                  .rows = static_cast<int>(s.batch * down * across),
                  .positions = Divisor(down * across),
                  .across = Divisor(across),
                  .stride = 1,
                  .row = 0,
                  .column = 0},
      .taps = {Divisor(std::max<int64_t>(1, s.kernel / s.stride)), Divisor(s.kernel / s.stride + 1)},
      .weight = {ordered_weight<T>(p, s, classes, ctx), s.channels, s.channels},
      .classes = classes,
      .padding = static_cast<int>(s.padding),
      .dx = p.dx.as<T>(),
      .height = static_cast<int>(s.height),
      .width = static_cast<int>(s.width),
      .columns = s.channels,
      .row_tiles = static_cast<int>(tiles_of(s.batch * down * across, Any::kRows)),
      .column_tiles = static_cast<int>(tiles_of(s.channels, Any::kColumns)),
      .whole = s.channels % Vec<T>::kSize == 0 && aligned_to(kVecBytes, p.dx.data)};
  const bool vectors = a.windows.in_chunks() && vector_lines(a.weight);
  const int one_class = s.stride == 1 ? classes.kernel : 0;
  with_window_product<Products::template Product, Along::outer>(
      a.windows, one_class, vectors, [&]<typename P>(std::type_identity<P>, int shared_bytes) {
        launch({.kernel = "conv2d_data_gradient_kernel",
                .grid = {s.stride * s.stride * a.row_tiles * a.column_tiles},
                .threads = P::kThreads,
                .shared_bytes = static_cast<size_t>(shared_bytes)},
               conv2d_data_gradient_kernel<P>, ctx, a);
      });
}

}  // namespace

void conv2d_data_gradient_cuda(const Conv2dBackward& p, const ExecContext& ctx) {
  with_products_of_columns(p.x.size(3), p.x.dtype, ctx,
                           [&](auto products) { run<decltype(products)>(p, ctx); });
}

}  // namespace cuclip
