// A block's tile of a product on tensor cores (mma.sync): of bf16, or of f32 whose operands are rounded to
// tf32. Sums in f32.
//
// Threads: four warps, or as many as a form has (tuning.h), each with 64 x 64 sums in registers: half a step
// (16 of the reduction in bf16, 8 in tf32) takes 8 ldmatrix for 32 mma. Shared memory: lines of 16-byte
// chunks as they lie in global memory, swizzled; where the reduction is not along the lines, ldmatrix
// transposes bf16, while f32, whose halves it would tear apart, is read element by element. At the end the
// sums pass through shared memory, 16 rows at a time, from mma's layout to rows that are stored in 16-byte
// vectors; each warp does this independently, without barriers.
//
// What is not mma costs issue slots (docs/performance.md, "Machine code"), so addresses in shared memory are
// of 32 bits, most of them a register and an immediate.
#pragma once

#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/tiles/product.cuh"

namespace cuclip {

/// Which operand of mma: it decides the order of a fragment's registers.
enum class MmaSide : uint8_t { a, b };

/// One operand: from global memory to a stage, and from there to mma's fragments. Tiles begin at multiples of
/// kTileAlignment.
template <TileElement T, Along kAlong, MmaSide kSide, bool kVectors, int kThreads, int kOuter>
class MmaOperand {
 public:
  using Copies = ChunkCopies<T, kAlong, kThreads, kOuter>;
  static constexpr int kChunk = Copies::kChunk, kChunks = Copies::kChunks;

  __device__ __forceinline__ MmaOperand(const Operand<T>& m, int64_t first, int64_t reduction, int warp_outer)
      : from_(m, first, reduction), target_(place(Copies::first_line(), Copies::chunk()) * kVecBytes) {
    // Rows and reduction of the lane's row in ldmatrix' four matrices, in the order of mma's A or B.
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int row = lane % 8 + (kSide == MmaSide::a ? lane / 8 % 2 : lane / 16) * 8;
    const int k = (kSide == MmaSide::a ? lane / 16 : lane / 8 % 2) * 8;
    if constexpr (kElements) {
      const int outer = warp_outer + lane / 4;
      first_ = (place(lane % 4, outer / kChunk) * kChunk + outer % kChunk) * static_cast<int>(sizeof(T));
    } else if constexpr (kAlong == Along::reduction) {
      first_ = place(warp_outer + row, k / 8) * kVecBytes;
    } else {
      first_ = place(k + lane % 8, warp_outer / 8 + row / 8) * kVecBytes;
    }
  }

  /// Where chunk `chunk` of line `line` lies in the tile. Read by elements, four lines' eight neighbours are
  /// to lie in 32 banks: there the lines' chunks are exchanged in pairs. Repeats every eight lines.
  static __device__ __forceinline__ int place(int line, int chunk) {
    if constexpr (kElements) return line * kChunks + (chunk ^ (line % 4 * 2));
    return swizzle<kChunks>(line, chunk);
  }

  /// Starts the copies of a step's tile. Without vectors it is read element by element and written at once.
  __device__ __forceinline__ void load(int step, uint32_t tile) const {
    if constexpr (kVectors) {
      from_.start(step, [&](int i) { return target(tile, i); });
    } else {
      load_elements(step, tile);
    }
  }

  /// Rows 16 i .. 16 i + 15 of the warp's, one half of the step's reduction. The swizzle is an exclusive or
  /// with bits of the line, so that other fragments' places follow from the first one's.
  __device__ __forceinline__ void fragment(uint32_t (&r)[4], uint32_t tile, int i, int half) const {
    if constexpr (kElements) {
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        const int rows = kSide == MmaSide::a ? m % 2 : m / 2, k = kSide == MmaSide::a ? m / 2 : m % 2;
        r[m] = load_shared_word(((tile + first_) ^ (64 * i + 32 * rows)) + (half * 2 + k) * (4 * kOuter * 4));
      }
    } else if constexpr (kAlong == Along::reduction) {
      ldmatrix_x4(r, ((tile + first_) ^ (32 * half)) + 16 * kChunks * kVecBytes * i);
    } else {
      ldmatrix_x4_trans(r, ((tile + first_) ^ (32 * i)) + 16 * kChunks * kVecBytes * half);
    }
    round_fragment(r);
  }

  /// From shared memory's elements to the product's.
  static __device__ __forceinline__ void round_fragment(uint32_t (&r)[4]) {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int m = 0; m < 4; ++m) r[m] = to_tf32(__uint_as_float(r[m]));
    }
  }

 private:
  static constexpr bool kElements = sizeof(T) == 4 && kAlong == Along::outer;

  /// Where the thread's copy i goes. Its lines are a power of two apart, which is above the first one's
  /// number: so their swizzles differ by an exclusive or.
  __device__ __forceinline__ uint32_t target(uint32_t tile, int i) const {
    const int line = i * Copies::kLinesAtOnce;
    return ((tile + target_) ^ (place(line, 0) % kChunks * kVecBytes)) + line * (kChunks * kVecBytes);
  }

  __device__ __forceinline__ void load_elements(int step, uint32_t tile) const {
    const T* data = from_.step_data(step);
    const int reduction = from_.step_reduction(step);
    const int lines = kAlong == Along::reduction ? from_.outer : reduction;
    const int width = kAlong == Along::reduction ? reduction : from_.outer;
    const int count = min(max(width - Copies::chunk() * kChunk, 0), kChunk);
#pragma unroll
    for (int i = 0; i < Copies::kLines / Copies::kLinesAtOnce; ++i) {
      const int line = Copies::first_line() + i * Copies::kLinesAtOnce;
      const int n = line < lines ? count : 0;
      const T* source = n > 0 ? data + line * from_.stride + Copies::chunk() * kChunk : from_.data;
      store_shared_vec(target(tile, i), load_first<false>(source, n));
    }
  }

  std::conditional_t<kVectors, Copies, TileSource<T, kAlong, kOuter>> from_;
  uint32_t target_;  // of the thread's first copy in a tile
  uint32_t first_;   // of the lane's chunk, or element, for fragment 0 of half 0
};

/// The tile of a form (tuning.h), and the bytes of one stage of it.
template <typename Form>
inline constexpr int kFormRows = 64 * Form::kWarpsDown;
template <typename Form>
inline constexpr int kFormColumns = 64 * Form::kWarpsAcross;
template <typename Form>
inline constexpr int kFormStageBytes = (kFormRows<Form> + kFormColumns<Form>)*kOperandBytes / kTile;

/// WarpForm: how the warps' sums make up the tile. kBytesOfStage: how far one stage is from the next.
template <TileElement T, Along kAlongA, Along kAlongB, bool kVectorAccess, bool kRowSums,
          typename WarpForm = Tuning::TensorCoreProduct, int kBytesOfStage = kFormStageBytes<WarpForm>>
class TensorCoreProduct {
 public:
  using Input = T;
  using Form = WarpForm;
  static constexpr bool kVectors = kVectorAccess;
  static constexpr int kThreads = kWarp * Form::kWarpsDown * Form::kWarpsAcross;
  static constexpr int kBlocks = Form::kBlocks;
  static constexpr int kRows = kFormRows<Form>, kColumns = kFormColumns<Form>;
  static constexpr int kStages = Form::kStages;
  static constexpr int kBytesA = kRows * kOperandBytes / kTile, kBytesB = kColumns * kOperandBytes / kTile;
  static constexpr int kPipelineBytes = kStages * kFormStageBytes<Form>;
  static constexpr int kParts = 4;  // 16 of the warp's rows each
  template <int kSize>
  static constexpr int kPasses = 16 * 64 / (kSize * kWarp);

  using OperandA = MmaOperand<T, kAlongA, MmaSide::a, kVectors, kThreads, kRows>;
  using OperandB = MmaOperand<T, kAlongB, MmaSide::b, kVectors, kThreads, kColumns>;

  __device__ __forceinline__ TensorCoreProduct(const Operand<T>& a, const Operand<T>& b, const TilePlace& at,
                                               int64_t reduction, bool sums_rows, void* shared)
      : warp_row_(static_cast<int>(threadIdx.x) / (Form::kWarpsAcross * kWarp) * 64),
        warp_column_(static_cast<int>(threadIdx.x) / kWarp % Form::kWarpsAcross * 64),
        lane_(static_cast<int>(threadIdx.x) % kWarp),
        sums_rows_(sums_rows && warp_column_ == 0),
        shared_(static_cast<Vec<T>*>(shared)),
        shared_address_(shared_address(shared)),
        a_(a, at.row, reduction, warp_row_),
        b_(b, at.column, reduction, warp_column_) {
    // Kept in a register: on sm_90 nvcc would find it again at each use, with three instructions. Without
    // vectors top-k has no register left for it.
    if constexpr (kVectors) asm("" : "+r"(shared_address_));
  }

  __device__ __forceinline__ void load(int step, int stage) const {
    load_a(step, stage);
    load_b(step, stage);
  }
  __device__ __forceinline__ void load_a(int step, int stage) const { a_.load(step, address(stage, 0)); }
  __device__ __forceinline__ void load_b(int step, int stage) const { b_.load(step, address(stage, 1)); }

  __device__ __forceinline__ void multiply(int stage) {
    const uint32_t a_tile = address(stage, 0);
    multiply_fragments(stage, [&](uint32_t(&r)[4], int i, int half) { a_.fragment(r, a_tile, i, half); });
  }

  /// Brings 16 rows of sums to shared memory; read() then gives the lane's vectors of them, kSize neighbours
  /// of rows row(part, pass) at column(part), in the tile.
  __device__ __forceinline__ void stage(int part) {
    __syncwarp();  // the part before has been read
#pragma unroll
    for (int i = 0; i < kParts; ++i) {
      if (i != part) continue;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const uint32_t to = staged(lane_ / 4 + 8 * h, j * 2 + lane_ % 4 / 2) + lane_ % 2 * 8;
          store_shared_pair(to, sums_[i][j][2 * h], sums_[i][j][2 * h + 1]);
        }
      }
    }
    __syncwarp();
  }
  template <int kSize>
  __device__ __forceinline__ void read(int pass, float (&v)[kSize]) const {
#pragma unroll
    for (int q = 0; q < kSize; q += 4) {
      float four[4];
      unpack(load_shared_vec<float>(staged(pass_row<kSize>(pass), lane_column<kSize>() / 4 + q / 4)), four);
#pragma unroll
      for (int j = 0; j < 4; ++j) v[q + j] = four[j];
    }
  }
  template <int kSize>
  __device__ __forceinline__ int row(int part, int pass) const {
    return warp_row_ + part * 16 + pass_row<kSize>(pass);
  }
  template <int kSize>
  __device__ __forceinline__ int column(int) const {
    return warp_column_ + lane_column<kSize>();
  }

  static constexpr int kThreadRows = 8, kThreadColumns = 16, kRowLanes = 4;
  static constexpr int kRowWarps = Form::kWarpsAcross, kColumnWarps = Form::kWarpsDown;
  /// Rows 2 i and 2 i + 1 and columns 2 j and 2 j + 1 are a D of mma (mma.cuh).
  static constexpr bool kMmaSums = true;
  __device__ __forceinline__ float& sum(int i, int j) { return sums_[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  __device__ __forceinline__ int thread_row(int i) const { return warp_row_ + i * 8 + lane_ / 4; }
  __device__ __forceinline__ int thread_column(int j) const {
    return warp_column_ + j / 2 * 8 + lane_ % 4 * 2 + j % 2;
  }
  __device__ __forceinline__ int row_warp() const { return warp_column_ / 64; }
  __device__ __forceinline__ int column_warp() const { return warp_row_ / 64; }

  /// They are products with ones: every column is the same.
  template <typename Body>
  __device__ __forceinline__ void for_row_sums(Body&& body) const {
    if (!sums_rows_ || lane_ % 4 != 0) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      body(warp_row_ + 16 * i + lane_ / 4, row_sums_[i][0]);
      body(warp_row_ + 16 * i + lane_ / 4 + 8, row_sums_[i][2]);
    }
  }

 protected:
  /// The product with B of a stage; fragment_a(registers, i, half) gives A's as MmaOperand::fragment does.
  template <typename FragmentA>
  __device__ __forceinline__ void multiply_fragments(int stage, FragmentA&& fragment_a) {
    const uint32_t b_tile = address(stage, 1);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t a[4][4], b[4][4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        fragment_a(a[i], i, half);
        b_.fragment(b[i], b_tile, i, half);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const uint32_t b_pair[] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          mma(sums_[i][j], a[i], b_pair);
        }
      }
    }
    if constexpr (kRowSums) {
      if (sums_rows_) add_row_sums(fragment_a);
    }
  }

  /// The product with ones. It reads A's fragments again: one branch for the whole step, not one for each.
  template <typename FragmentA>
  __device__ __forceinline__ void add_row_sums(FragmentA&& fragment_a) {
    constexpr uint32_t kOnes = sizeof(T) == 2 ? 0x3f803f80 : 0x3f800000;
    const uint32_t ones[] = {kOnes, kOnes};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        uint32_t a[4];
        fragment_a(a, i, half);
        mma(row_sums_[i], a, ones);
      }
    }
  }

  __device__ __forceinline__ Vec<T>* tile(int stage, int operand) const {
    return shared_ + (stage * kBytesOfStage + operand * kBytesA) / kVecBytes;
  }
  __device__ __forceinline__ uint32_t address(int stage, int operand) const {
    return shared_address_ + stage * kBytesOfStage + operand * kBytesA;
  }

 private:
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (sizeof(T) == 2) {
      mma_bf16(d, a, b);
    } else {
      mma_tf32(d, a, b);
    }
  }

  static constexpr int kWarpSumsBytes = 16 * 64 * 4;
  static_assert(kThreads / kWarp * kWarpSumsBytes <= kPipelineBytes);

  // Chunk (of 4 floats) of a row of the warp's 16 x 64 staged sums. Half a warp writes two chunks of four
  // rows at once: the row's bits keep them apart. Eight lanes read all chunks of one row, or every second
  // one: the chunk's upper bit keeps those apart.
  __device__ __forceinline__ uint32_t staged(int row, int chunk) const {
    const uint32_t warp_sums =
        shared_address_ + (warp_row_ / (64 / Form::kWarpsAcross) + warp_column_ / 64) * kWarpSumsBytes;
    return warp_sums + (row * 16 + (chunk ^ (chunk >> 3) ^ ((row & 3) * 2))) * kVecBytes;
  }
  template <int kSize>
  __device__ __forceinline__ int pass_row(int pass) const {
    return (pass * kWarp + lane_) / (64 / kSize);
  }
  template <int kSize>
  __device__ __forceinline__ int lane_column() const {
    return lane_ % (64 / kSize) * kSize;
  }

  int warp_row_, warp_column_, lane_;
  bool sums_rows_;
  Vec<T>* shared_;
  uint32_t shared_address_;
  OperandA a_;
  OperandB b_;
  float sums_[4][8][4] = {};  // of 16 x 8 elements each
  float row_sums_[4][4] = {};
};

template <Along kAlongA, Along kAlongB, bool kVectors, bool kRowSums>
using MmaProduct = TensorCoreProduct<bfloat16, kAlongA, kAlongB, kVectors, kRowSums>;
/// Of f32 operands in tf32: for contexts that allow it.
template <Along kAlongA, Along kAlongB, bool kVectors, bool kRowSums>
using Tf32Product = TensorCoreProduct<float, kAlongA, kAlongB, kVectors, kRowSums>;

/// All of an element and a form, for launchers that choose between forms by the shape.
template <TileElement T, typename Form>
struct TensorCoreProducts {
  using Input = T;
  template <Along kAlongA, Along kAlongB, bool kVectors, bool kRowSums>
  using Product = TensorCoreProduct<T, kAlongA, kAlongB, kVectors, kRowSums, Form>;
};

}  // namespace cuclip
