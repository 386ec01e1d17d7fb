// Pooling on CUDA: a warp copies a row, whatever its dtype, in words of 16 bytes where rows consist of
// aligned ones, otherwise element by element. No shared memory. Bytes moved: each row that is copied, once in
// and once out; backward also writes the zeros of the rows between.
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/vec.cuh"
#include "kernels/pool/pool_cuda.h"

namespace cuclip {
namespace {

constexpr int kWarps = 8;  // of a block

// All of a word's bits: NaN in f32 and in bf16.
template <typename Word>
__device__ Word ones() {
  if constexpr (sizeof(Word) == sizeof(uint4)) {
    return make_uint4(~0u, ~0u, ~0u, ~0u);
  } else {
    return static_cast<Word>(~Word{});
  }
}

__device__ int64_t row_of_warp() {
  return static_cast<int64_t>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
}

template <typename Word>
struct Rows {
  const Word* in;
  Word* out;
  const int32_t* index;  // null: row 0
  int64_t rows;          // that `out` has
  int64_t words;         // of a row
  int64_t length;        // of a sequence, in rows
  int64_t count;         // rows picked of each sequence
};

template <typename Word>
__global__ void __launch_bounds__(kWarps* kWarp) pool_forward_kernel(const Rows<Word> p) {
  const int64_t row = row_of_warp();
  if (row >= p.rows) return;
  const int64_t picked = p.index ? p.index[row] : 0;
  const bool inside = picked >= 0 && picked < p.length;
  const Word* in = p.in + (row / p.count * p.length + picked) * p.words;
#pragma unroll 4
  for (int64_t w = threadIdx.x % kWarp; w < p.words; w += kWarp) {
    p.out[row * p.words + w] = inside ? in[w] : ones<Word>();
  }
}

// Which of `count` ascending rows is `wanted`, or `count`.
__device__ int64_t find_row(const int32_t* rows, int64_t count, int64_t wanted) {
  int64_t first = 0;  // of those not below `wanted`
  for (int64_t end = count; first < end;) {
    const int64_t middle = (first + end) / 2;
    if (rows[middle] < wanted) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  return first < count && rows[first] == wanted ? first : count;
}

template <typename Word>
__global__ void __launch_bounds__(kWarps* kWarp) pool_backward_kernel(const Rows<Word> p) {
  const int64_t row = row_of_warp();
  if (row >= p.rows) return;
  const int64_t sequence = row / p.length, place = row % p.length;
  const int64_t k = p.index      ? find_row(p.index + sequence * p.count, p.count, place)
                    : place == 0 ? 0
                                 : p.count;
  const Word* in = p.in + (sequence * p.count + k) * p.words;
#pragma unroll 4
  for (int64_t w = threadIdx.x % kWarp; w < p.words; w += kWarp) {
    p.out[row * p.words + w] = k < p.count ? in[w] : Word{};
  }
}

// Calls launch_rows(words) with the rows' memory as the widest words that fit.
template <typename Launch>
void with_words(const TensorView& sequences, const TensorView& index, const TensorView& in,
                const TensorView& out, Launch&& launch_rows) {
  const int64_t count = index && index.rank() == 2 ? index.size(1) : 1;
  const int64_t width = sequences.size(2), size = static_cast<int64_t>(size_of(in.dtype));
  const auto as = [&]<typename Word>(Word) {
    launch_rows(Rows<Word>{static_cast<const Word*>(in.data), static_cast<Word*>(out.data),
                           index ? index.as<int32_t>() : nullptr, width == 0 ? 0 : out.elements() / width,
                           width * size / static_cast<int64_t>(sizeof(Word)), sequences.size(1), count});
  };
  if (width * size % kVecBytes == 0 && aligned_to(kVecBytes, in.data, out.data)) {
    as(uint4{});
  } else if (size == 4) {
    as(uint32_t{});
  } else {
    as(uint16_t{});
  }
}

}  // namespace

void pool_forward_cuda(const PoolForward& p, const ExecContext& ctx) {
  with_words(p.x, p.index, p.x, p.out, [&]<typename Word>(const Rows<Word>& rows) {
    launch(
        {.kernel = "pool_forward_kernel", .grid = {ceil_div(rows.rows, kWarps)}, .threads = kWarps * kWarp},
        pool_forward_kernel<Word>, ctx, rows);
  });
}

void pool_backward_cuda(const PoolBackward& p, const ExecContext& ctx) {
  with_words(p.dx, p.index, p.dout, p.dx, [&]<typename Word>(const Rows<Word>& rows) {
    launch(
        {.kernel = "pool_backward_kernel", .grid = {ceil_div(rows.rows, kWarps)}, .threads = kWarps * kWarp},
        pool_backward_kernel<Word>, ctx, rows);
  });
}

}  // namespace cuclip
