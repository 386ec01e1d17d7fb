// Patch embedding on CUDA: a product whose left operand is gathered from the pictures (patch_product.cuh), on
// the tiles of kernels/gemm. No patch is ever written to memory.
//
// A row of the product is a token; the class token's is empty, so that a tile of the result is a tile of out,
// and the epilogue adds the position and puts the class token in. Bytes moved by a tile of 128 tokens x 128
// columns: the tokens' pixels and 128 rows of the weight once each, 128 rows of positions, out once. The
// order of bytes in a picture is not that of the weight: a first kernel brings the weight into the pictures'
// order, and its rows to a multiple of 16 bytes, in scratch (as large as the weight, for any number of
// pictures).
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/patch_embed/patch_embed_cuda.h"
#include "kernels/patch_embed/patch_order.cuh"
#include "kernels/patch_embed/patch_product.cuh"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

// to[j, k] = weight[j, place(k)], and zeros from `length` to `stride`.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    reorder_weight_kernel(const T* weight, const PatchOrder order, int64_t width, int64_t stride, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t j = i / stride;
  const int k = static_cast<int>(i - j * stride);
  if (j >= width) return;
  to[i] = k < order.length ? weight[j * order.length + order.place(k)] : T{};
}

template <typename T, typename Pixel>
struct ForwardArguments {
  PatchRows<Pixel> patches;
  Operand<T> weight;
  const float* class_token;
  const float* position;
  T* out;
  int64_t width;
  int row_tiles;
  int column_tiles;
  bool whole;  // 16-byte accesses fit out's rows and those of the parameters
};

template <bool kWhole, int kSize>
__device__ __forceinline__ void load_parameter(const float* p, int n, float (&v)[kSize]) {
  if constexpr (kWhole) {
    load_floats(p, v);
  } else {
    load_part(p, n, v);
  }
}

template <bool kWhole, typename Product, typename T, typename Pixel>
__device__ __forceinline__ void store_tokens(Product& product, const ForwardArguments<T, Pixel>& p,
                                             const TilePlace& at) {
  constexpr int kSize = Vec<T>::kSize;
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int64_t column = at.column + product.template column<kSize>(part);
    const int n = static_cast<int>(min(p.width - column, int64_t{kSize}));
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < Product::template kPasses<kSize>; ++pass) {
      const int64_t row = at.row + product.template row<kSize>(part, pass);
      float v[kSize], position[kSize];
      product.read(pass, v);
      if (n <= 0 || row >= p.patches.rows) continue;
      const int64_t token = row % p.patches.tokens;
      if (token == 0) load_parameter<kWhole>(p.class_token + column, n, v);
      load_parameter<kWhole>(p.position + token * p.width + column, n, position);
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] += position[j];
      store_columns<kWhole>(p.out + row * p.width + column, n, v);
    }
  }
}

template <typename Product, typename T, typename Pixel>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    patch_embed_forward_kernel(const ForwardArguments<T, Pixel> p) {
  extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  const Operand<T> gathered{nullptr, 0, 0};
  Product product(p.patches, at.row, 0, gathered, p.weight, at, p.patches.length, false, shared);
  run_pipeline(product, steps_of<T>(p.patches.length));
  p.whole ? store_tokens<true>(product, p, at) : store_tokens<false>(product, p, at);
}

// The weight in the order of the pictures, with lines that fit the product.
template <typename T>
Operand<T> ordered_weight(const PatchEmbedForward& p, const PatchOrder& order, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  const Operand<T> weight{p.weight.as<T>(), order.length, width};
  if (!order.interleaved && vector_lines(weight)) return weight;
  const int64_t stride = round_up(order.length, Vec<T>::kSize);
  ScratchPlan plan;
  const auto slot = plan.add<T>(width * stride);
  plan.reserve(ctx);
  launch(
      {.kernel = "reorder_weight_kernel", .grid = {ceil_div(width * stride, kThreads)}, .threads = kThreads},
      reorder_weight_kernel<T>, ctx, weight.data, order, width, stride, plan[slot]);
  return {plan[slot], stride, width};
}

template <template <typename, int, int, typename> typename PatchProduct, typename Base, typename T,
          typename Pixel>
void forward(const PatchEmbedForward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.weight.size(2), p.mean, p.stddev);
  const PatchRows<Pixel> patches(pictures);
  const int64_t width = p.weight.size(0);
  const ForwardArguments<T, Pixel> a{
      .patches = patches,
      .weight = ordered_weight<T>(p, PatchOrder(pictures), ctx),
      .class_token = p.class_token.as<float>(),
      .position = p.position.as<float>(),
      .out = p.out.as<T>(),
      .width = width,
      .row_tiles = static_cast<int>(tiles_of(patches.rows)),
      .column_tiles = static_cast<int>(tiles_of(width)),
      .whole = width % Vec<T>::kSize == 0 &&
               aligned_to(kVecBytes, p.class_token.data, p.position.data, p.out.data)};
  with_run(patches, [&](auto run) {
    using Product = PatchProduct<Base, 0, decltype(run)::value, Pixel>;
    launch({.kernel = "patch_embed_forward_kernel",
            .grid = {int64_t{a.row_tiles} * a.column_tiles},
            .threads = Product::kThreads,
            .shared_bytes = kPipelineBytes},
           patch_embed_forward_kernel<Product, T, Pixel>, ctx, a);
  });
}

}  // namespace

void patch_embed_forward_cuda(const PatchEmbedForward& p, const ExecContext& ctx) {
  using Mma = MmaProduct<Along::reduction, Along::reduction, true, false>;
  using Tf32 = Tf32Product<Along::reduction, Along::reduction, true, false>;
  using Ffma = FfmaProduct<Along::reduction, Along::reduction, true, false>;
  const bool bytes = p.image.dtype == DType::u8;
  if (p.out.dtype == DType::f32 && ctx.tf32) {
    bytes ? forward<MmaPatchProduct, Tf32, float, uint8_t>(p, ctx)
          : forward<MmaPatchProduct, Tf32, float, float>(p, ctx);
  } else if (p.out.dtype == DType::f32) {
    bytes ? forward<FfmaPatchProduct, Ffma, float, uint8_t>(p, ctx)
          : forward<FfmaPatchProduct, Ffma, float, float>(p, ctx);
  } else {
    bytes ? forward<MmaPatchProduct, Mma, bfloat16, uint8_t>(p, ctx)
          : forward<MmaPatchProduct, Mma, bfloat16, float>(p, ctx);
  }
}

}  // namespace cuclip
