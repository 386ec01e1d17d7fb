// Products of linear layers on CUDA, with their epilogues.
//
// A block computes 128 x 128 elements of c (kernels/tiles): bf16, and f32 as tf32 where the context allows
// it, on tensor cores (mma_product.cuh), f32 with fused multiply-adds (ffma_product.cuh), with the same
// pipeline and epilogue for all. With b bytes per element a tile moves 256 K b bytes of operands, and its
// part of c, of the pre-activation and of the gate once each. Where K, N or an address does not
// allow 16-byte accesses, a variant of the same kernel goes element by element.
#include "kernels/common/launch.cuh"
#include "kernels/gemm/gemm_cublaslt.h"
#include "kernels/gemm/gemm_cuda.h"
#include "kernels/tiles/epilogue.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

// Calls body(std::integral_constant<EpilogueOp, op>): one branch for the whole tile.
template <typename Body>
__device__ __forceinline__ void with_epilogue_op(EpilogueOp op, Body&& body) {
  switch (op) {
    case EpilogueOp::none:
      return body(std::integral_constant<EpilogueOp, EpilogueOp::none>{});
    case EpilogueOp::gelu:
      return body(std::integral_constant<EpilogueOp, EpilogueOp::gelu>{});
    case EpilogueOp::quick_gelu:
      return body(std::integral_constant<EpilogueOp, EpilogueOp::quick_gelu>{});
    case EpilogueOp::gelu_gate:
      return body(std::integral_constant<EpilogueOp, EpilogueOp::gelu_gate>{});
    case EpilogueOp::quick_gelu_gate:
      return body(std::integral_constant<EpilogueOp, EpilogueOp::quick_gelu_gate>{});
  }
}

template <OperandProduct Product, TileElement Out>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    gemm_kernel(const ProductArguments<typename Product::Input, Out> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  Product product(p.a, p.b, at, p.reduction, false, shared);
  run_pipeline(product, steps_of<typename Product::Input>(p.reduction));
  with_epilogue_op(p.epilogue.op, [&](auto op) { store_tile<decltype(op)::value>(product, p.epilogue, at); });
}

EpilogueOp epilogue_op(const Gemm& p) {
  if (!p.activation) return EpilogueOp::none;
  if (p.activation == Activation::gelu) return p.gate ? EpilogueOp::gelu_gate : EpilogueOp::gelu;
  return p.gate ? EpilogueOp::quick_gelu_gate : EpilogueOp::quick_gelu;
}

template <TileElement T, TileElement Out>
ProductArguments<T, Out> arguments_of(const Gemm& p) {
  const int64_t m = p.a.size(0), k = p.a.size(1), n = p.c.size(1);
  return {.a = {p.a.as<T>(), k, m},
          .b = {p.b.as<T>(), p.transpose_b ? k : n, n},
          .reduction = k,
          .row_tiles = static_cast<int>(tiles_of(m)),
          .column_tiles = static_cast<int>(tiles_of(n)),
          .epilogue = {.c = p.c.as<Out>(),
                       .rows = m,
                       .columns = n,
                       .op = epilogue_op(p),
                       .bias = p.bias ? p.bias.as<float>() : nullptr,
                       .pre_activation = p.pre_activation ? p.pre_activation.as<Out>() : nullptr,
                       .addend_or_gate = p.gate ? p.gate.as<Out>() : nullptr}};
}

// With Product<A, B, vectors, row sums> for this layout and alignment.
template <template <Along, Along, bool, bool> typename Product, typename T, typename Out>
void run(const Gemm& p, const ExecContext& ctx) {
  const ProductArguments<T, Out> a = arguments_of<T, Out>(p);
  const Epilogue<Out>& e = a.epilogue;
  const bool vectors = vector_lines(a.a) && vector_lines(a.b) && e.columns % Vec<Out>::kSize == 0 &&
                       aligned_to(kVecBytes, e.c, e.bias, e.pre_activation, e.addend_or_gate);
  const auto run_gemm = [&]<typename P>(std::type_identity<P>) {
    launch({.kernel = "gemm_kernel",
            .grid = {int64_t{a.row_tiles} * a.column_tiles},
            .threads = P::kThreads,
            .shared_bytes = kPipelineBytes},
           gemm_kernel<P, Out>, ctx, a);
  };
  p.transpose_b ? with_product<Product, Along::reduction, Along::reduction, false>(vectors, run_gemm)
                : with_product<Product, Along::reduction, Along::outer, false>(vectors, run_gemm);
}

}  // namespace

void gemm_cuda(const Gemm& p, const ExecContext& ctx) {
  const ProductPolicy policy = product_policy(ctx);
  if (policy.cublaslt && CublasLt::takes(p) && policy.cublaslt->run(p, ctx)) return;
  if (p.a.dtype == DType::f32) {
    policy.tf32 ? run<Tf32Product, float, float>(p, ctx) : run<FfmaProduct, float, float>(p, ctx);
  } else if (p.c.dtype == DType::f32) {
    run<MmaProduct, bfloat16, float>(p, ctx);
  } else {
    run<MmaProduct, bfloat16, bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
