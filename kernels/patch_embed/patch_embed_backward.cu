// Gradients of the patch embedding on CUDA.
//
// dweight = doutT patches, the reduction over all tokens (class tokens have no patch: their rows of dout are
// cleared in shared memory), with the patches gathered again. As for a linear layer the tokens are cut into
// slices that the shape fixes (row_slices.h). Every slice's sums go to scratch, in the order of the pictures'
// memory; a second kernel adds them in order onto dweight, in its own. The class token's and the positions'
// gradients are sums down the columns of dout. No atomics: the same bits on every run. Bytes moved by a
// block: its tokens' pixels, 128 columns of dout and 64 KB of sums; dout once more for the positions.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/patch_embed/patch_embed_cuda.h"
#include "kernels/patch_embed/patch_order.cuh"
#include "kernels/patch_embed/patch_product.cuh"
#include "kernels/tiles/epilogue.cuh"
#include "kernels/tiles/product_policy.h"
#include "kernels/tiles/row_slices.h"

namespace cuclip {
namespace {

constexpr int kThreads = 256;
constexpr int kSumColumns = 4;  // of a thread in the sums down dout

template <typename T, typename Pixel>
struct GradientArguments {
  PatchLines<Pixel> patches;
  LineWindow window;
  const T* dout;
  float* sums;  // [slices, width, stride]
  int64_t width, stride;
  RowSlices slices;  // of the tokens
  int row_tiles;
  int column_tiles;
};

// grid.y: the slices.
template <BlockProduct Product, typename T, typename Pixel>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    patch_weight_gradient_kernel(const GradientArguments<T, Pixel> p) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  const int64_t begin = p.slices.begin(blockIdx.y), rows = p.slices.begin(blockIdx.y + 1) - begin;
  const Operand<T> dout{p.dout + begin * p.width, p.width, p.width}, patches{nullptr, 0, 0};
  const int steps = steps_of<T>(rows), elements = p.patches.tile_elements;
  const int element = static_cast<int>(at.column) / kTile * elements;
  Product product(p.patches, p.window, static_cast<int>(begin), element,
                  min(element + elements, p.patches.order.length), steps, reinterpret_cast<char*>(shared),
                  dout, patches, at, rows, false);
  run_pipeline<kPatchStages>(product, steps);
  // Computed once more, so that the place need not be kept: in f32 the steps take every register.
  int tile;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(tile));
  store_tile<EpilogueOp::none>(
      product,
      Epilogue<float>{.c = p.sums + blockIdx.y * p.width * p.stride, .rows = p.width, .columns = p.stride},
      TilePlace(tile, p.row_tiles, p.column_tiles));
}

// dweight[j, place(k)] += the slices' sums[j, k], added in order. Of each tile's columns the first
// `tile_elements` are elements.
__global__ void __launch_bounds__(kThreads)
    add_patch_slices_kernel(const float* sums, int64_t slices, int64_t width, int64_t stride,
                            const PatchOrder order, int tile_elements, int64_t length, float* dweight) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t j = i / stride;
  const int column = static_cast<int>(i - j * stride), inside = column % kTile;
  const int place = order.place(column / kTile * tile_elements + inside);
  if (j >= width || place < 0 || inside >= tile_elements) return;
  float sum = 0.0f;
#pragma unroll 4
  for (int64_t slice = 0; slice < slices; ++slice) sum += sums[slice * width * stride + i];
  dweight[j * length + place] += sum;
}

template <template <Along, Along, bool, bool> typename Base, typename T, typename Pixel>
void weight_gradient(const PatchEmbedBackward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.dweight.size(2), p.mean, p.stddev);
  const PatchLines<Pixel> patches(pictures);
  const int64_t width = p.dweight.size(0), row_tiles = tiles_of(width);
  const int64_t column_tiles = tiles_of(patches.order.length, patches.tile_elements);
  const int64_t last = patches.order.length - (column_tiles - 1) * patches.tile_elements;
  const int64_t stride = (column_tiles - 1) * kTile + round_up(last, Vec<float>::kSize);
  const RowSlices slices = cut_into_slices(patches.rows, row_tiles * column_tiles, kStep<T>);
  ScratchPlan plan;
  const auto sums = plan.add<float>(slices.count * width * stride);
  plan.reserve(ctx);
  const GradientArguments<T, Pixel> a{.patches = patches,
                                      .window = patches.template window<T, 1>(),
                                      .dout = p.dout.as<T>(),
                                      .sums = plan[sums],
                                      .width = width,
                                      .stride = stride,
                                      .slices = slices,
                                      .row_tiles = static_cast<int>(row_tiles),
                                      .column_tiles = static_cast<int>(column_tiles)};
  const auto gradient = [&]<typename Product>(std::type_identity<Product>) {
    launch({.kernel = "patch_weight_gradient_kernel",
            .grid = {row_tiles * column_tiles, slices.count},
            .threads = Product::kThreads,
            .shared_bytes = Product::shared_bytes(a.window)},
           patch_weight_gradient_kernel<Product, T, Pixel>, ctx, a);
  };
  if (vector_lines(Operand<T>{a.dout, width, width})) {
    using Vectors = Base<Along::outer, Along::outer, true, false>;
    with_readable<Vectors>(patches, [&](auto readable) {
      gradient(std::type_identity<PatchProduct<Vectors, 1, decltype(readable)::value, Pixel>>{});
    });
  } else {
    using Elements = Base<Along::outer, Along::outer, false, false>;
    gradient(std::type_identity<PatchProduct<Elements, 1, 1, Pixel>>{});
  }
  launch({.kernel = "add_patch_slices_kernel",
          .grid = {ceil_div(width * stride, kThreads)},
          .threads = kThreads},
         add_patch_slices_kernel, ctx, a.sums, slices.count, width, stride, patches.order,
         patches.tile_elements, pictures.length, p.dweight.as<float>());
}

template <typename T>
void token_gradients(const PatchEmbedBackward& p, const ExecContext& ctx) {
  const int64_t batch = p.dout.size(0), tokens = p.dout.size(1), width = p.dout.size(2);
  const auto add = [&]<bool kWhole>(std::bool_constant<kWhole>) {
    const auto sums = add_batch_sums<kSumColumns, kWhole, T>;
    sums(p.dout.as<T>(), batch, tokens, width, tokens, p.dposition.as<float>(), ctx);
    sums(p.dout.as<T>(), batch, tokens, width, 1, p.dclass_token.as<float>(), ctx);
  };
  const bool whole = width % kSumColumns == 0 && aligned_to(kSumColumns * sizeof(T), p.dout.data) &&
                     aligned_to(kVecBytes, p.dposition.data, p.dclass_token.data);
  whole ? add(std::true_type()) : add(std::false_type());
}

}  // namespace

void patch_embed_backward_cuda(const PatchEmbedBackward& p, const ExecContext& ctx) {
  const bool bytes = p.image.dtype == DType::u8;
  if (p.dout.dtype == DType::f32) {
    token_gradients<float>(p, ctx);
    if (product_policy(ctx).tf32) {
      bytes ? weight_gradient<Tf32Product, float, uint8_t>(p, ctx)
            : weight_gradient<Tf32Product, float, float>(p, ctx);
    } else {
      bytes ? weight_gradient<FfmaProduct, float, uint8_t>(p, ctx)
            : weight_gradient<FfmaProduct, float, float>(p, ctx);
    }
  } else {
    token_gradients<bfloat16>(p, ctx);
    bytes ? weight_gradient<MmaProduct, bfloat16, uint8_t>(p, ctx)
          : weight_gradient<MmaProduct, bfloat16, float>(p, ctx);
  }
}

}  // namespace cuclip
