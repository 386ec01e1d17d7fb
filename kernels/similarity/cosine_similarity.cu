// The cosine-similarity matrix on CUDA: the tile products of kernels/gemm on the inputs as they are, each
// element scaled by its row's and its column's inverse norm while it is in registers. No normalised copy.
// Bytes moved by a tile of b bytes an element: 256 D b of operands, 64 KB of out, once, in 16-byte stores
// where N and the address allow them; before that each input once for its norms.
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/gemm/ffma_product.cuh"
#include "kernels/gemm/mma_product.cuh"
#include "kernels/similarity/similarity_cuda.h"

namespace cuclip {
namespace {

template <typename T>
struct SimilarityArguments {
  Operand<T> a;
  Operand<T> b;
  int64_t depth;
  const float* a_rnorm;
  const float* b_rnorm;
  float scale;
  float* out;
  int row_tiles;
  int column_tiles;
  bool whole;  // 16-byte stores fit out's rows
};

template <bool kWhole, typename Product, typename T>
__device__ __forceinline__ void store_scaled(Product& product, const SimilarityArguments<T>& p,
                                             const TilePlace& at) {
  constexpr int kSize = Vec<float>::kSize;
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int64_t column = at.column + product.template column<kSize>(part);
    const int n = static_cast<int>(min(p.b.outer - column, int64_t{kSize}));
    float factors[kSize];
    load_part(p.b_rnorm + column, n, factors);
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < Product::template kPasses<kSize>; ++pass) {
      const int64_t row = at.row + product.template row<kSize>(part, pass);
      float v[kSize];
      product.read(pass, v);
      if (n <= 0 || row >= p.a.outer) continue;
      const float factor = p.a_rnorm[row] * p.scale;
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] = v[j] * factors[j] * factor;
      store_columns<kWhole>(p.out + row * p.b.outer + column, n, v);
    }
  }
}

template <typename Product, typename T = typename Product::Input>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    cosine_similarity_kernel(const SimilarityArguments<T> p) {
  extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  Product product(p.a, p.b, at, p.depth, false, shared);
  run_pipeline(product, steps_of<T>(p.depth));
  p.whole ? store_scaled<true>(product, p, at) : store_scaled<false>(product, p, at);
}

template <template <Along, Along, bool, bool> typename Product, typename T>
void run(const TensorView& a, const TensorView& b, const float* a_rnorm, const float* b_rnorm, float scale,
         float* out, const ExecContext& ctx) {
  const int64_t rows = a.size(0), columns = b.size(0), depth = a.size(1);
  const SimilarityArguments<T> p{.a = {a.as<T>(), depth, rows},
                                 .b = {b.as<T>(), depth, columns},
                                 .depth = depth,
                                 .a_rnorm = a_rnorm,
                                 .b_rnorm = b_rnorm,
                                 .scale = scale,
                                 .out = out,
                                 .row_tiles = static_cast<int>(tiles_of(rows)),
                                 .column_tiles = static_cast<int>(tiles_of(columns)),
                                 .whole = columns % Vec<float>::kSize == 0 && aligned_to(kVecBytes, out)};
  with_product<Product, Along::reduction, Along::reduction, false>(
      vector_lines(p.a) && vector_lines(p.b), [&]<typename P>(std::type_identity<P>) {
        launch({.kernel = "cosine_similarity_kernel",
                .grid = {int64_t{p.row_tiles} * p.column_tiles},
                .threads = P::kThreads,
                .shared_bytes = kPipelineBytes},
               cosine_similarity_kernel<P>, ctx, p);
      });
}

}  // namespace

void scaled_products_cuda(const TensorView& a, const TensorView& b, const float* a_rnorm,
                          const float* b_rnorm, float scale, float* out, const ExecContext& ctx) {
  if (a.dtype == DType::bf16) {
    run<MmaProduct, bfloat16>(a, b, a_rnorm, b_rnorm, scale, out, ctx);
  } else {
    ctx.tf32 ? run<Tf32Product, float>(a, b, a_rnorm, b_rnorm, scale, out, ctx)
             : run<FfmaProduct, float>(a, b, a_rnorm, b_rnorm, scale, out, ctx);
  }
}

void cosine_similarity_cuda(const CosineSimilarity& p, const ExecContext& ctx) {
  ScratchPlan plan;
  const auto a_rnorm = plan.add<float>(p.a.size(0)), b_rnorm = plan.add<float>(p.b.size(0));
  plan.reserve(ctx);
  inverse_norms_cuda(p.a, plan[a_rnorm], ctx);
  inverse_norms_cuda(p.b, plan[b_rnorm], ctx);
  scaled_products_cuda(p.a, p.b, plan[a_rnorm], plan[b_rnorm], p.scale, p.out.as<float>(), ctx);
}

}  // namespace cuclip
