// The convolution's gradient of the weight on CUDA: dyT times the windows, [Cout, N OH OW] by [N OH OW, K K
// Cin], with the windows gathered again.
//
// As for a linear layer the positions are cut into slices that the shape fixes (row_slices.h): the first
// slice's blocks add onto dweight, the others' store their sums to scratch, and a second kernel adds those in
// order. No atomics: the same bits on every run and every GPU. Bytes moved by a block: 128 columns of dy and
// 128 elements of its positions' windows, once, and 64 KB of sums.
#include "kernels/common/scratch_plan.h"
#include "kernels/conv2d/conv2d_cuda.h"
#include "kernels/conv2d/windows.cuh"
#include "kernels/tiles/add_slices.cuh"
#include "kernels/tiles/epilogue.cuh"
#include "kernels/tiles/row_slices.h"

namespace cuclip {
namespace {

template <typename T>
struct WeightArguments {
  Windows<T> windows;
  const T* dy;
  float* dweight;
  float* partial;    // [slices - 1, outputs, elements]
  int64_t outputs;   // rows of dweight
  RowSlices slices;  // of the positions
  int row_tiles;
  int column_tiles;
};

// grid.y: the slices.
template <BlockProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    conv2d_weight_gradient_kernel(const WeightArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles, Product::kRows,
                     Product::kColumns);
  const int64_t slice = blockIdx.y, begin = p.slices.begin(slice);
  const int64_t rows = p.slices.begin(slice + 1) - begin;
  const Operand<T> dy{p.dy + begin * p.outputs, p.outputs, p.outputs}, no_matrix{nullptr, 0, 0};
  Product product(p.windows, static_cast<int>(begin), static_cast<int>(begin + rows),
                  static_cast<int>(at.column), dy, no_matrix, at, rows, false, shared);
  run_pipeline<Product::kStages>(product, steps_of<T>(rows));
  const int64_t elements = p.windows.elements;
  float* to = slice == 0 ? p.dweight : p.partial + (slice - 1) * p.outputs * elements;
  store_tile<EpilogueOp::none>(
      product,
      Epilogue<float>{
          .c = to, .rows = p.outputs, .columns = elements, .addend_or_gate = slice == 0 ? to : nullptr},
      at);
}

template <typename Products, typename T = typename Products::Input>
void run(const Conv2dBackward& p, const ExecContext& ctx) {
  using Any = typename Products::template Product<Along::outer, Along::outer, true, false>;
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  const Windows<T> windows = windows_of<T>(p.x, s);
  const int64_t elements = windows.elements, row_tiles = tiles_of(s.outputs, Any::kRows),
                column_tiles = tiles_of(elements, Any::kColumns);
  // As many as fill a GPU: a flat tile's block is half as large as others.
  const int64_t tiles = ceil_div(row_tiles * column_tiles * Any::kRows * Any::kColumns, kTile * kTile);
  const RowSlices slices = cut_into_slices(windows.rows, tiles, kStep<T>);
  ScratchPlan plan;
  const auto partial = plan.add<float>((slices.count - 1) * s.weights());
  plan.reserve(ctx);
  const WeightArguments<T> a{.windows = windows,
                             .dy = p.dy.as<T>(),
                             .dweight = p.dweight.as<float>(),
                             .partial = plan[partial],
                             .outputs = s.outputs,
                             .slices = slices,
                             .row_tiles = static_cast<int>(row_tiles),
                             .column_tiles = static_cast<int>(column_tiles)};
  const bool vectors = windows.in_chunks() && vector_lines(Operand<T>{a.dy, s.outputs, s.outputs}) &&
                       aligned_to(kVecBytes, a.dweight);
  const auto compute = [&]<typename P>(std::type_identity<P>) {
    launch({.kernel = "conv2d_weight_gradient_kernel",
            .grid = {row_tiles * column_tiles, slices.count},
            .threads = P::kThreads,
            .shared_bytes = P::kPipelineBytes},
           conv2d_weight_gradient_kernel<P>, ctx, a);
  };
  if (vectors && windows.are_pixels(windows.taps_across)) {
    compute(std::type_identity<PixelProduct<Any, 1>>());
  } else {
    with_product<Products::template Product, Along::outer, Along::outer, false>(
        vectors,
        [&]<typename P>(std::type_identity<P>) { compute(std::type_identity<WindowProduct<P, 1>>()); });
  }
  if (slices.count > 1) add_slices(a.partial, slices.count - 1, s.weights(), s.weights(), a.dweight, ctx);
}

}  // namespace

void conv2d_weight_gradient_cuda(const Conv2dBackward& p, const ExecContext& ctx) {
  using Flat = Tuning::FlatProduct;
  using Tall = Tuning::TallProduct;
  const auto compute = [&](auto products) { run<decltype(products)>(p, ctx); };
  const int64_t rows = p.weight.size(0), columns = p.weight.elements() / rows;
  if (rows <= kFormRows<Flat>) {
    with_products<Flat>(p.x.dtype, ctx, compute);
  } else if (columns <= kFormColumns<Tall>) {
    with_products<Tall>(p.x.dtype, ctx, compute);
  } else {
    with_products<Tuning::TensorCoreProduct>(p.x.dtype, ctx, compute);
  }
}

}  // namespace cuclip
