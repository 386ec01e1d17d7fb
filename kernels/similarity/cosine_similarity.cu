// The cosine-similarity matrix on CUDA: the tile products of kernels/tiles on the inputs as they are, each
// element scaled by its row's and its column's inverse norm while it is in registers. No normalised copy.
// Bytes moved per tile, with b bytes per element: 256 D b of operands and 64 KB of out, written once, in
// 16-byte stores where N and the address allow them; before that, each input once for its norms.
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/similarity/similarity_cuda.h"
#include "kernels/similarity/similarity_tile.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

template <typename T>
struct SimilarityArguments {
  SimilarityOperands<T> of;
  float* out;
  int row_tiles;
  int column_tiles;
  bool whole;  // 16-byte stores fit out's rows
};

template <bool kWhole, BlockProduct Product, typename T>
__device__ __forceinline__ void store_similarities(Product& product, const SimilarityArguments<T>& p,
                                                   const TilePlace& at) {
  constexpr int kPasses = Product::template kPasses<Vec<float>::kSize>;
  for_each_similarity<kPasses>(product, p.of, at, [&](int row, int column, int n, const auto& v) {
    float* out = p.out + (at.row + row) * p.of.b.outer + at.column + column;
    if (n > 0) store_columns<kWhole>(out, n, v);
  });
}

template <OperandProduct Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    cosine_similarity_kernel(const SimilarityArguments<T> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  Product product(p.of.a, p.of.b, at, p.of.depth, false, shared);
  run_pipeline(product, steps_of<T>(p.of.depth));
  p.whole ? store_similarities<true>(product, p, at) : store_similarities<false>(product, p, at);
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const CosineSimilarity& p, const float* a_rnorm, const float* b_rnorm, const ExecContext& ctx) {
  const int64_t rows = p.a.size(0), columns = p.b.size(0), depth = p.a.size(1);
  const SimilarityArguments<T> arguments{
      .of = {.a = {p.a.as<T>(), depth, rows},
             .b = {p.b.as<T>(), depth, columns},
             .depth = depth,
             .a_rnorm = a_rnorm,
             .b_rnorm = b_rnorm,
             .scale = p.scale},
      .out = p.out.as<float>(),
      .row_tiles = static_cast<int>(tiles_of(rows)),
      .column_tiles = static_cast<int>(tiles_of(columns)),
      .whole = columns % Vec<float>::kSize == 0 && aligned_to(kVecBytes, p.out.data)};
  with_product<Product, Along::reduction, Along::reduction, false>(
      vector_lines(arguments.of.a) && vector_lines(arguments.of.b), [&]<typename P>(std::type_identity<P>) {
        launch({.kernel = "cosine_similarity_kernel",
                .grid = {int64_t{arguments.row_tiles} * arguments.column_tiles},
                .threads = P::kThreads,
                .shared_bytes = kPipelineBytes},
               cosine_similarity_kernel<P>, ctx, arguments);
      });
}

}  // namespace

void cosine_similarity_cuda(const CosineSimilarity& p, const ExecContext& ctx) {
  ScratchPlan plan;
  const auto a_rnorm = plan.add<float>(p.a.size(0)), b_rnorm = plan.add<float>(p.b.size(0));
  plan.reserve(ctx);
  inverse_norms_cuda(p.a, plan[a_rnorm], ctx);
  inverse_norms_cuda(p.b, plan[b_rnorm], ctx);
  if (p.a.dtype == DType::bf16) {
    run<MmaProduct, bfloat16>(p, plan[a_rnorm], plan[b_rnorm], ctx);
  } else {
    product_policy(ctx).tf32 ? run<Tf32Product, float>(p, plan[a_rnorm], plan[b_rnorm], ctx)
                             : run<FfmaProduct, float>(p, plan[a_rnorm], plan[b_rnorm], ctx);
  }
}

}  // namespace cuclip
