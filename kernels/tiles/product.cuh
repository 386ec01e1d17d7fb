// What a tile product offers to the kernels that are made of it, those in bf16 and tf32 (mma_product.cuh),
// f32 (ffma_product.cuh) and of patches (patch_embed/patch_product.cuh) alike, and the pipeline that brings
// tiles into shared memory.
#pragma once

#include <type_traits>

#include "kernels/common/reduce.cuh"
#include "kernels/tiles/tile.cuh"

namespace cuclip {

/// load(step, stage) starts the copies of a step's tiles; multiply(stage) adds the product of a stage's tiles
/// to the sums.
template <typename P>
concept Pipelined = requires(P& product, int step, int stage) {
  product.load(step, stage);
  product.multiply(stage);
};

/// The sums as they are stored: in kParts parts (stage), each in kPasses vectors per thread (read, in order)
/// of kSize neighbours of a row. A part's are one column and several rows, both counted from the tile's
/// first. kVectors: whether 16-byte accesses fit what the product is compiled for.
template <typename P, int kSize>
concept StagedSums = requires(P& product, const P& place, int part, int pass, float (&v)[kSize]) {
  requires std::same_as<decltype(P::kVectors), const bool>;
  requires P::kParts >= 1;
  requires P::template kPasses<kSize> >= 1;
  product.stage(part);
  product.read(pass, v);
  { place.template row<kSize>(part, pass) } -> std::same_as<int>;
  { place.template column<kSize>(part) } -> std::same_as<int>;
};

/// Whether so many lanes, warps and elements each make up `whole` exactly.
constexpr bool covers(int whole, int a, int b, int c) { return a * b * c == whole; }

/// The sums of a tile of kRows x kColumns in registers, kThreadRows x kThreadColumns per thread: sum(i, j) is
/// that of row thread_row(i) and column thread_column(j) of the tile. A row is shared by kRowLanes lanes that
/// follow one another and by the same lanes of kRowWarps warps, of which the thread's is number row_warp(); a
/// column by the lanes of a warp that are kRowLanes apart and by kColumnWarps warps.
template <typename P>
concept RegisterSums = requires(P& product, const P& place, int i, int j) {
  requires covers(P::kColumns, P::kRowLanes, P::kRowWarps, P::kThreadColumns);
  requires covers(P::kRows, kWarp / P::kRowLanes, P::kColumnWarps, P::kThreadRows);
  requires covers(P::kThreads, kWarp, P::kRowWarps, P::kColumnWarps);
  { product.sum(i, j) } -> std::same_as<float&>;
  { place.thread_row(i) } -> std::same_as<int>;
  { place.thread_column(j) } -> std::same_as<int>;
  { place.row_warp() } -> std::same_as<int>;
  { place.column_warp() } -> std::same_as<int>;
};

/// A product whose tile is a square of kTile.
template <typename P>
concept SquareTile = P::kRows == kTile&& P::kColumns == kTile;

/// The sums of A's rows, in products that are compiled with them: for_row_sums(body) calls body(row of the
/// tile, sum) where this thread has one.
template <typename P>
concept RowSums = requires(const P& product, void (*body)(int, float)) {
  product.for_row_sums(body);
};

/// A block's product of operands of Input, computed by kThreads threads, of whose blocks at least kBlocks fit
/// on a multiprocessor: what kernels are made of, wherever the operands come from. Results are stored in f32
/// or as Input.
template <typename P>
concept BlockProduct = requires {
  requires TileElement<typename P::Input>;
  requires P::kBlocks >= 1;
  requires Pipelined<P>;
  requires StagedSums<P, Vec<float>::kSize>;
  requires StagedSums<P, Vec<typename P::Input>::kSize>;
  requires RegisterSums<P>;
  requires RowSums<P>;
};

/// One of two operands in memory: Product(a, b, at, reduction, whether to sum A's rows, kPipelineBytes of
/// shared memory). Either operand's tile can be loaded alone.
template <typename P>
concept OperandProduct = requires(const Operand<typename P::Input>& operand, const TilePlace& at,
                                  int64_t reduction, bool sums_rows, void* shared, P& product, int step,
                                  int stage) {
  requires BlockProduct<P>;
  P(operand, operand, at, reduction, sums_rows, shared);
  product.load_a(step, stage);
  product.load_b(step, stage);
};

/// Calls body(std::type_identity<Product<kA, kB, vectors, kRowSums>>()): the kernel of a product is compiled
/// for operands that 16-byte accesses fit, and for others. Host code.
template <template <Along, Along, bool, bool> typename Product, Along kA, Along kB, bool kRowSums,
          typename Body>
void with_product(bool vectors, Body&& body) {
  vectors ? body(std::type_identity<Product<kA, kB, true, kRowSums>>())
          : body(std::type_identity<Product<kA, kB, false, kRowSums>>());
}

/// Adds all steps' products to the product's sums. At the end no copy is under way and shared memory is free.
/// A product may have fewer stages than others.
template <int kStages = cuclip::kStages, Pipelined Product>
__device__ __forceinline__ void run_pipeline(Product& product, int steps) {
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) product.load(s, s);
    async_commit();
  }
  int stage = 0;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    async_wait<kStages - 2>();
    __syncthreads();
    // The barrier has also seen every warp through with the stage that is filled now.
    const int ahead = step + kStages - 1;
    if (ahead < steps) product.load(ahead, stage == 0 ? kStages - 1 : stage - 1);
    async_commit();
    product.multiply(stage);
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  async_wait<0>();
  __syncthreads();
}

}  // namespace cuclip
