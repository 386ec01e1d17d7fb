// Gradients of a linear layer's parameters on CUDA: dweight += dyT x, with dbias from the same reading of dy.
//
// The same tile products as in gemm.cu, both operands with the reduction (the rows of dy and x) across their
// lines. The rows are cut into slices that the shape fixes (row_slices.h): the first slice's blocks add onto
// the gradients, the others' store their sums to scratch, and a second kernel adds those in order. No
// atomics: the same bits on every run and every GPU. Bytes moved by a block: 256 rows b of operands and 128
// KB of sums.
#include <algorithm>

#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/gemm/gemm_cublaslt.h"
#include "kernels/gemm/gemm_cuda.h"
#include "kernels/tiles/add_slices.cuh"
#include "kernels/tiles/epilogue.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"
#include "kernels/tiles/row_slices.h"

namespace cuclip {
namespace {

template <typename T>
struct WeightGradientArguments {
  const T* dy;
  const T* x;
  float* dweight;
  float* dbias;    // null, or [n]
  float* partial;  // [slices - 1, stride]: dweight, then dbias
  int64_t stride;
  int64_t n, k;
  RowSlices slices;  // of the rows
  int row_tiles;
  int column_tiles;
};

// grid.y: the slices.
template <OperandProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    gemm_weight_gradient_kernel(const WeightGradientArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  const int64_t slice = blockIdx.y, begin = p.slices.begin(slice);
  const int64_t rows = p.slices.begin(slice + 1) - begin;
  Product product({p.dy + begin * p.n, p.n, p.n}, {p.x + begin * p.k, p.k, p.k}, at, rows,
                  p.dbias && at.column == 0, shared);
  run_pipeline(product, steps_of<T>(rows));

  float* sums = p.partial + (slice - 1) * p.stride;
  float* dweight = slice == 0 ? p.dweight : sums;
  float* dbias = slice == 0 ? p.dbias : sums + p.n * p.k;
  store_tile<EpilogueOp::none>(
      product,
      Epilogue<float>{
          .c = dweight, .rows = p.n, .columns = p.k, .addend_or_gate = slice == 0 ? dweight : nullptr},
      at);
  product.for_row_sums([&](int row, float sum) {
    const int64_t j = at.row + row;
    if (j < p.n) dbias[j] = slice == 0 ? dbias[j] + sum : sum;
  });
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const GemmWeightGradient& p, const ExecContext& ctx) {
  const int64_t m = p.dy.size(0), n = p.dy.size(1), k = p.x.size(1);
  // A weight without columns has no tile, but its bias has a gradient.
  const int64_t row_tiles = tiles_of(n), column_tiles = std::max<int64_t>(1, tiles_of(k));
  const RowSlices slices = cut_into_slices(m, row_tiles * column_tiles, kStep<T>);
  WeightGradientArguments<T> a{.dy = p.dy.as<T>(),
                               .x = p.x.as<T>(),
                               .dweight = p.dweight.as<float>(),
                               .dbias = p.dbias ? p.dbias.as<float>() : nullptr,
                               .partial = nullptr,
                               .stride = round_up(n * k + n, 4),
                               .n = n,
                               .k = k,
                               .slices = slices,
                               .row_tiles = static_cast<int>(row_tiles),
                               .column_tiles = static_cast<int>(column_tiles)};
  if (slices.count > 1) {
    ScratchPlan plan;
    const auto partial = plan.add<float>((slices.count - 1) * a.stride);
    plan.reserve(ctx);
    a.partial = plan[partial];
  }
  const bool vectors = vector_lines(Operand<T>{a.dy, n, n}) && vector_lines(Operand<T>{a.x, k, k}) &&
                       k % Vec<float>::kSize == 0 && aligned_to(kVecBytes, a.dweight);
  with_product<Product, Along::outer, Along::outer, true>(vectors, [&]<typename P>(std::type_identity<P>) {
    launch({.kernel = "gemm_weight_gradient_kernel",
            .grid = {row_tiles * column_tiles, slices.count},
            .threads = P::kThreads,
            .shared_bytes = kPipelineBytes},
           gemm_weight_gradient_kernel<P>, ctx, a);
  });
  if (slices.count == 1) return;
  add_slices(a.partial, slices.count - 1, a.stride, n * k, a.dweight, ctx);
  if (a.dbias) add_slices(a.partial + n * k, slices.count - 1, a.stride, n, a.dbias, ctx);
}

}  // namespace

void gemm_weight_gradient_cuda(const GemmWeightGradient& p, const ExecContext& ctx) {
  const ProductPolicy policy = product_policy(ctx);
  if (policy.cublaslt && CublasLt::takes(p) && policy.cublaslt->run(p, ctx)) return;
  if (p.dy.dtype == DType::f32) {
    policy.tf32 ? run<Tf32Product, float>(p, ctx) : run<FfmaProduct, float>(p, ctx);
  } else {
    run<MmaProduct, bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
