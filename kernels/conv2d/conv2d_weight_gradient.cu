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
#include "kernels/tiles/product_policy.h"
#include "kernels/tiles/row_slices.h"

namespace cuclip {
namespace {

template <typename T>
struct WeightArguments {
  Windows<T> windows;
  const T* dy;
  float* dweight;
  float* partial;   // [slices - 1, outputs, elements]
  int64_t outputs;  // rows of dweight
  int64_t slice_rows;
  int row_tiles;
  int column_tiles;
};

// grid.y: the slices.
template <BlockProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    conv2d_weight_gradient_kernel(const WeightArguments<T> p) {
  extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  const int64_t slice = blockIdx.y, begin = slice * p.slice_rows;
  const int64_t rows = min(p.slice_rows, p.windows.rows - begin);
  const Operand<T> dy{p.dy + begin * p.outputs, p.outputs, p.outputs}, no_matrix{nullptr, 0, 0};
  Product product(p.windows, static_cast<int>(begin), static_cast<int>(begin + rows),
                  static_cast<int>(at.column), dy, no_matrix, at, rows, false, shared);
  run_pipeline(product, steps_of<T>(rows));
  const int64_t elements = p.windows.elements;
  float* to = slice == 0 ? p.dweight : p.partial + (slice - 1) * p.outputs * elements;
  store_tile<EpilogueOp::none>(
      product,
      Epilogue<float>{
          .c = to, .rows = p.outputs, .columns = elements, .addend_or_gate = slice == 0 ? to : nullptr},
      at);
}

template <template <Along, Along, bool, bool> typename Base, typename T>
void run(const Conv2dBackward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  const Windows<T> windows = windows_of<T>(p.x, s);
  const int64_t elements = windows.elements, row_tiles = tiles_of(s.outputs),
                column_tiles = tiles_of(elements);
  const auto [slice_rows, slices] = cut_into_slices(windows.rows, row_tiles * column_tiles, kStep<T>);
  ScratchPlan plan;
  const auto partial = plan.add<float>((slices - 1) * s.weights());
  plan.reserve(ctx);
  const WeightArguments<T> a{.windows = windows,
                             .dy = p.dy.as<T>(),
                             .dweight = p.dweight.as<float>(),
                             .partial = plan[partial],
                             .outputs = s.outputs,
                             .slice_rows = slice_rows,
                             .row_tiles = static_cast<int>(row_tiles),
                             .column_tiles = static_cast<int>(column_tiles)};
  const bool vectors = windows.in_chunks() && vector_lines(Operand<T>{a.dy, s.outputs, s.outputs}) &&
                       aligned_to(kVecBytes, a.dweight);
  with_product<Base, Along::outer, Along::outer, false>(vectors, [&]<typename P>(std::type_identity<P>) {
    launch({.kernel = "conv2d_weight_gradient_kernel",
            .grid = {row_tiles * column_tiles, slices},
            .threads = P::kThreads,
            .shared_bytes = kPipelineBytes},
           conv2d_weight_gradient_kernel<WindowProduct<P, 1>>, ctx, a);
  });
  if (slices > 1) add_slices(a.partial, slices - 1, s.weights(), s.weights(), a.dweight, ctx);
}

}  // namespace

void conv2d_weight_gradient_cuda(const Conv2dBackward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::bf16) {
    run<MmaProduct, bfloat16>(p, ctx);
  } else {
    product_policy(ctx).tf32 ? run<Tf32Product, float>(p, ctx) : run<FfmaProduct, float>(p, ctx);
  }
}

}  // namespace cuclip
