// Tuning parameters of the CUDA kernels, for host and device code. Numbers that only a kernel's own code
// explains (threads of a map, warps that merge) stay beside the kernel.
//
// There is one set, TuningSm80, which device code and launchers alike read on every GPU. A set for sm_90 does
// not exist yet: it would have to be a template parameter of the kernels that differ, and chosen at launch by
// the device's architecture, since one binary has code for several.
// What is marked "bits" also decides in which order sums are added. Results have the same bits on every GPU
// only as long as all sets agree on it.
#pragma once

#include <cstdint>

namespace cuclip {

struct TuningSm80 {
  static constexpr int kMultiprocessors = 108;  // of an A100
  // Shared memory per SM on the smallest supported GPUs (sm_86, sm_89, sm_120); each block uses 1 KB more
  // than it requests.
  static constexpr int kSharedBytes = 100 * 1024;
  static constexpr int kSharedBytesOfBlock = 99 * 1024;  // at most, on each of them

  /// Tile products (kernels/tiles).
  struct Tile {
    static constexpr int kSide = 128;           // bits: rows and columns of c
    static constexpr int kOperandBytes = 8192;  // bits: of one operand in one stage
    static constexpr int kStages = 3;           // 48 KB: two blocks on a multiprocessor
    static constexpr int kPatchStages = 2;      // of patch embedding: leaves room for lines of pixels
    static constexpr int kGroup = 8;            // rows of tiles that blocks go down together
  };
  /// Those on tensor cores: a block's warps, each with 64 x 64 sums, and how they lie in its tile.
  struct TensorCoreProduct {
    static constexpr int kWarpsDown = 2, kWarpsAcross = 2;
    static constexpr int kStages = Tile::kStages;
    static constexpr int kBlocks = 2;  // of a multiprocessor
  };
  /// For c of up to 64 columns: 256 x 64. Three stages of it would leave room for one block only.
  struct TallProduct {
    static constexpr int kWarpsDown = 4, kWarpsAcross = 1;
    static constexpr int kStages = 2;
    static constexpr int kBlocks = 2;
  };
  /// For c of up to 64 rows: 64 x 128. Two warps, so that 576 columns (the weight's gradient of 64 channels
  /// with K = 3) are 90 % of whole tiles; of 256 columns they would be 75 %.
  struct FlatProduct {
    static constexpr int kWarpsDown = 1, kWarpsAcross = 2;
    static constexpr int kStages = 2;
    static constexpr int kBlocks = 4;
  };
  struct FfmaProduct {
    static constexpr int kThreads = 512;
    static constexpr int kBlocks = 1;  // of a multiprocessor: 64 sums a thread in blocks of 256 spill
  };

  struct TopK {
    static constexpr int64_t kBlocks = 256;  // an A100 runs 216 at once in bf16, an H100 264
  };

  struct AdamW {
    // Blocks per multiprocessor: up to 48 registers. Left to itself, ptxas stops at 40 and spills.
    static constexpr int kBlocks = 5;
  };

  struct LayerNorm {
    // Blocks per multiprocessor: up to 80 registers. Left to itself, ptxas stops at 40 for sm_120 and spills.
    static constexpr int kForwardBlocks = 3;
    static constexpr int kBackwardBlocks = 2;  // up to 128 registers
    // Bits: 16-byte vectors of a lane. Rows of 512, 768 and 1024 bf16 are one warp's in the forward. The
    // backward keeps sums for each column besides; with four vectors it would not fit into its registers.
    static constexpr int kForwardRowVecs = 4;
    static constexpr int kBackwardRowVecs = 3;
  };

  struct Attention {
    static constexpr int kMaxWarps = 8;  // of up to 255 registers fill the register file; more would spill
    // Forward blocks of a multiprocessor: two, where 128 registers are enough.
    static constexpr int forward_blocks(int head_dim) { return head_dim <= 64 ? 2 : 1; }
    // Strips of 32 queries, for this head dimension alone: up to 168 registers for twelve warps of a
    // multiprocessor, in two blocks of six or, where keys stream, three of four.
    static constexpr int kTallHeadDim = 64;
    static constexpr int kTallWarps = 6;
    static constexpr int kTallStreamedWarps = 4;
    static constexpr int kTallStreamedBlocks = 3;
    // Bits: rows that stream through a buffer where a head does not fit into shared memory.
    static constexpr int kForwardBufferRows = 64;
    static constexpr int kBackwardBufferRows = 32;
    static constexpr int kBuffers = 2;
    // Blocks of attention_any's backward on a multiprocessor: up to 168 registers. Left to itself, ptxas
    // stops at 96 and spills.
    static constexpr int kAnyBackwardBlocks = 3;
  };
};

using Tuning = TuningSm80;

/// Whether a set's tile products fit: their tiles into shared memory, with as many blocks at once as it says,
/// and whole 16-byte vectors of an operand's stage for each thread.
template <typename T>
constexpr bool tiles_fit() {
  constexpr int kStageBytes = 2 * T::Tile::kOperandBytes;
  constexpr auto fits = [](int threads, int blocks, int rows, int columns, int stages) {
    constexpr int kLineBytes = T::Tile::kOperandBytes / T::Tile::kSide;
    return blocks * (stages * (rows + columns) * kLineBytes + 1024) <= T::kSharedBytes &&
           rows * kLineBytes % (threads * 16) == 0 && columns * kLineBytes % (threads * 16) == 0;
  };
  constexpr auto form_fits = [fits]<typename Form>(Form) {
    return fits(32 * Form::kWarpsDown * Form::kWarpsAcross, Form::kBlocks, 64 * Form::kWarpsDown,
                64 * Form::kWarpsAcross, Form::kStages);
  };
  return form_fits(typename T::TensorCoreProduct()) && form_fits(typename T::TallProduct()) &&
         form_fits(typename T::FlatProduct()) &&
         fits(T::FfmaProduct::kThreads, T::FfmaProduct::kBlocks, T::Tile::kSide, T::Tile::kSide,
              T::Tile::kStages) &&
         T::Tile::kPatchStages * kStageBytes < T::kSharedBytesOfBlock;
}
static_assert(tiles_fit<Tuning>());

/// Where work that is added up is cut: this fixes the order of sums, and so the bits of the results, which
/// are the same on every GPU. One set for all architectures, of sizes that suit an A100.
struct SumOrder {
  static constexpr int64_t kTwoBlocksEach = 2 * TuningSm80::kMultiprocessors;

  /// Gradients of weights (gemm, conv2d, patch embedding): blocks to reach by cutting rows into slices, but
  /// no slice so short that its sums would cost more than its rows. Writing and reading them takes as much as
  /// kSumsAsRows rows of bf16. Falling slices (kernels/tiles/row_slices.h) have kFallingRows on average, at
  /// least.
  static constexpr int64_t kGradientBlocks = kTwoBlocksEach;
  static constexpr int64_t kSumsAsRows = 256;
  static constexpr int64_t kSliceRows = 2 * kSumsAsRows;
  static constexpr int64_t kFallingRows = 3 * kSumsAsRows;

  /// Layer norm's backward: blocks, each with sums of its own, and the rows that a team of warps, or a block
  /// of the kernels for any row, has at least: a block's sums cost as much as two rows. More blocks would be
  /// more partial sums; on a larger GPU, 8 warps with 4 KB each under way still keep a multiprocessor's share
  /// of the memory busy.
  static constexpr int64_t kLayerNormBlocks = kTwoBlocksEach;
  static constexpr int64_t kLayerNormTeamRows = 4;
  static constexpr int64_t kLayerNormColumnRows = 64;

  /// Contrastive loss: tiles of a block of S on either side in the forward; of a block of G in the backward
  /// its rows and columns, 64 MiB of bf16 (128 of f32). dimage's and dtext's products have 32 and 64 rows of
  /// tiles: with four columns of them (D = 512) that is 384 tiles, against 216 blocks that an A100 runs at
  /// once.
  static constexpr int64_t kLogitTiles = 128;
  static constexpr int64_t kLogitGradientRows = 4096;
  static constexpr int64_t kLogitGradientColumns = 8192;
};

}  // namespace cuclip
