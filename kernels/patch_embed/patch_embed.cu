// Patch embedding on CUDA: a product whose left operand comes straight from the pictures (patch_product.cuh),
// on the tiles of kernels/tiles. No patch is ever written to memory.
//
// A row of the product is a token; the class token's is empty, so that a tile of the result is a tile of out,
// and the epilogue adds the position and puts the class token in. Bytes moved by a tile of 128 tokens x 128
// columns: the tokens' pixels and 128 rows of the weight once each, 128 rows of positions, out once. The
// order of bytes in a picture is not that of the weight: a first kernel brings the weight into the kernels'
// order (patch_order.cuh), and its rows to a multiple of 16 bytes, in scratch (as large as the weight, for
// any number of pictures).
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/patch_embed/patch_embed_cuda.h"
#include "kernels/patch_embed/patch_order.cuh"
#include "kernels/patch_embed/patch_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;

// to[j, k] = weight[j, place(k)], and zeros where it has no place.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    reorder_weight_kernel(const T* weight, int64_t length, const PatchOrder order, int64_t width,
                          int64_t stride, T* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t j = i / stride;
  const int k = static_cast<int>(i - j * stride);
  if (j >= width) return;
  const int place = order.place(k);
  to[i] = place < 0 ? T{} : weight[j * length + place];
}

template <typename T, typename Pixel>
struct ForwardArguments {
  PatchLines<Pixel> patches;
  LineWindow window;
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

template <bool kWhole, BlockProduct Product, typename T, typename Pixel>
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
      const int row = static_cast<int>(at.row) + product.template row<kSize>(part, pass);
      float v[kSize], position[kSize];
      product.read(pass, v);
      if (n <= 0 || row >= p.patches.rows) continue;
      const int token = row % p.patches.tokens;
      if (token == 0) load_parameter<kWhole>(p.class_token + column, n, v);
      load_parameter<kWhole>(p.position + int64_t{token} * p.width + column, n, position);
#pragma unroll
      for (int j = 0; j < kSize; ++j) v[j] += position[j];
      store_columns<kWhole>(p.out + int64_t{row} * p.width + column, n, v);
    }
  }
}

template <BlockProduct Product, typename T, typename Pixel>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    patch_embed_forward_kernel(const ForwardArguments<T, Pixel> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  const Operand<T> patches{nullptr, 0, 0};
  const int length = p.patches.order.length, steps = steps_of<T>(length);
  Product product(p.patches, p.window, static_cast<int>(at.row), 0, length, steps,
                  reinterpret_cast<char*>(shared), patches, p.weight, at, length, false);
  run_pipeline<kPatchStages>(product, steps);
  p.whole ? store_tokens<true>(product, p, at) : store_tokens<false>(product, p, at);
}

// The weight in the order of the pictures, with lines that fit the product.
template <typename T>
Operand<T> ordered_weight(const PatchEmbedForward& p, const PatchOrder& order, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0), length = p.weight.elements() / width;
  const Operand<T> weight{p.weight.as<T>(), length, width};
  if (!order.interleaved && order.length == length && vector_lines(weight)) return weight;
  const int64_t stride = round_up(order.length, Vec<T>::kSize);
  ScratchPlan plan;
  const auto slot = plan.add<T>(width * stride);
  plan.reserve(ctx);
  launch(
      {.kernel = "reorder_weight_kernel", .grid = {ceil_div(width * stride, kThreads)}, .threads = kThreads},
      reorder_weight_kernel<T>, ctx, weight.data, length, order, width, stride, plan[slot]);
  return {plan[slot], stride, width};
}

template <typename Base, typename Pixel, typename T = typename Base::Input>
void forward(const PatchEmbedForward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.weight.size(2), p.mean, p.stddev);
  const PatchLines<Pixel> patches(pictures);
  const int64_t width = p.weight.size(0);
  const ForwardArguments<T, Pixel> a{
      .patches = patches,
      .window = patches.template window<T, 0>(),
      .weight = ordered_weight<T>(p, patches.order, ctx),
      .class_token = p.class_token.as<float>(),
      .position = p.position.as<float>(),
      .out = p.out.as<T>(),
      .width = width,
      .row_tiles = static_cast<int>(tiles_of(patches.rows)),
      .column_tiles = static_cast<int>(tiles_of(width)),
      .whole = width % Vec<T>::kSize == 0 &&
               aligned_to(kVecBytes, p.class_token.data, p.position.data, p.out.data)};
  with_readable<Base>(patches, [&](auto readable) {
    using Product = PatchProduct<Base, 0, decltype(readable)::value, Pixel>;
    launch({.kernel = "patch_embed_forward_kernel",
            .grid = {int64_t{a.row_tiles} * a.column_tiles},
            .threads = Product::kThreads,
            .shared_bytes = Product::shared_bytes(a.window)},
           patch_embed_forward_kernel<Product, T, Pixel>, ctx, a);
  });
}

}  // namespace

void patch_embed_forward_cuda(const PatchEmbedForward& p, const ExecContext& ctx) {
  using Mma = MmaProduct<Along::reduction, Along::reduction, true, false>;
  using Tf32 = Tf32Product<Along::reduction, Along::reduction, true, false>;
  using Ffma = FfmaProduct<Along::reduction, Along::reduction, true, false>;
  const bool bytes = p.image.dtype == DType::u8;
  if (p.out.dtype == DType::f32 && product_policy(ctx).tf32) {
    bytes ? forward<Tf32, uint8_t>(p, ctx) : forward<Tf32, float>(p, ctx);
  } else if (p.out.dtype == DType::f32) {
    bytes ? forward<Ffma, uint8_t>(p, ctx) : forward<Ffma, float>(p, ctx);
  } else {
    bytes ? forward<Mma, uint8_t>(p, ctx) : forward<Mma, float>(p, ctx);
  }
}

}  // namespace cuclip
