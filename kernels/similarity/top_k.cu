// The k most similar rows on CUDA.
//
// A strip of rows' similarities at a time goes to scratch (at most kStripElements, whatever M is). Blocks
// sort kChunk of a row's similarities each in shared memory and keep the best k; then pairs of sorted lists
// are merged, and cut at k, until one list is left. What is sorted are 64-bit keys: the value's bits, turned
// so that larger values come first and NaN last, then the index. No two are equal, so that the order is
// total, and a key's place in a merged list is its place in its own plus the number of smaller keys in the
// other. Bytes moved: the products as in cosine_similarity.cu; 4 bytes for each similarity out and in; 16
// bytes for each of the kept keys in each round of merging.
#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/similarity/similarity_cuda.h"

namespace cuclip {
namespace {

constexpr int64_t kStripElements = int64_t{1} << 24;  // 64 MB
constexpr int kChunk = 1024;                          // 8 KB of keys
constexpr int kSortThreads = kChunk / 4;
constexpr int kThreads = 256;
constexpr uint64_t kNoKey = ~uint64_t{0};  // after every key: indices are below 2^31

// Smaller for larger values; +0 and -0 alike; NaN last.
__device__ uint32_t descending(float value) {
  if (isnan(value)) return ~0u;
  const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}
__device__ float value_of(uint64_t key) {
  const auto high = static_cast<uint32_t>(key >> 32);
  return __uint_as_float(high == ~0u ? 0x7fffffffu : high & 0x80000000u ? high : ~high & 0x7fffffffu);
}

// lists[row, chunk, :] = the `kept` first of the chunk's keys in order. Bitonic sort (Batcher 1968).
__global__ void __launch_bounds__(kSortThreads)
    sort_chunk_kernel(const float* values, int64_t columns, int64_t chunks, int kept, uint64_t* lists) {
  __shared__ uint64_t keys[kChunk];
  const int64_t row = blockIdx.x / chunks, chunk = blockIdx.x % chunks;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kChunk; i += kSortThreads) {
    const int64_t column = chunk * kChunk + i;
    keys[i] = column < columns ? static_cast<uint64_t>(descending(values[row * columns + column])) << 32 |
                                     static_cast<uint64_t>(column)
                               : kNoKey;
  }
  for (int run = 2; run <= kChunk; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      __syncthreads();
      for (int i = thread; i < kChunk / 2; i += kSortThreads) {
        const int low = i / distance * 2 * distance + i % distance, high = low + distance;
        const uint64_t a = keys[low], b = keys[high];
        if ((a > b) == ((low & run) == 0)) {
          keys[low] = b;
          keys[high] = a;
        }
      }
    }
  }
  __syncthreads();
  for (int i = thread; i < kept; i += kSortThreads) lists[(row * chunks + chunk) * kept + i] = keys[i];
}

// How many of the `count` ascending keys are below `key`.
__device__ int64_t keys_below(const uint64_t* keys, int64_t count, uint64_t key) {
  int64_t first = 0;
  while (count > 0) {
    const int64_t half = count / 2;
    if (keys[first + half] < key) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return first;
}

// Merges lists 2 i and 2 i + 1 of each row, `length` keys each, into list i of the `kept` first ones. Keys
// that stand for nothing are equal, and only they: those of the second list follow the first one's.
__global__ void __launch_bounds__(kThreads)
    merge_lists_kernel(const uint64_t* from, int64_t count, int64_t lists, int64_t length, int64_t merged,
                       int64_t kept, uint64_t* to) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t place = i % length, list = i / length % lists, row = i / (length * lists);
  const int64_t other = list ^ 1;
  const uint64_t key = from[i];
  int64_t rank = place;
  if (other < lists) {
    const uint64_t* keys = from + (row * lists + other) * length;
    rank += key == kNoKey && list % 2 == 1 ? length : keys_below(keys, length, key);
  }
  if (rank < kept) to[(row * merged + list / 2) * kept + rank] = key;
  // A list without a partner has no more than its own keys.
  if (other >= lists && place + length < kept) to[(row * merged + list / 2) * kept + place + length] = kNoKey;
}

__global__ void __launch_bounds__(kThreads)
    write_best_kernel(const uint64_t* keys, int64_t count, int64_t length, int64_t k, float* values,
                      int32_t* indices) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const uint64_t key = keys[i / k * length + i % k];
  values[i] = value_of(key);
  indices[i] = static_cast<int32_t>(key);
}

}  // namespace

void top_k_cuda(const TopK& p, const ExecContext& ctx) {
  const int64_t rows = p.a.size(0), columns = p.b.size(0), depth = p.a.size(1);
  if (rows == 0) return;
  const int64_t strip = std::clamp<int64_t>(kStripElements / columns, 1, rows);
  const int64_t chunks = ceil_div(columns, kChunk), kept = std::min<int64_t>(p.k, kChunk);
  // A round at most doubles the lists' length, and halves their number, rounded up.
  const int64_t keys = strip * static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(chunks))) * kept;
  ScratchPlan plan;
  const auto a_rnorm = plan.add<float>(rows), b_rnorm = plan.add<float>(columns);
  const auto values = plan.add<float>(strip * columns);
  const auto lists = plan.add<uint64_t>(keys), merged = plan.add<uint64_t>(keys);
  plan.reserve(ctx);
  inverse_norms_cuda(p.a, plan[a_rnorm], ctx);
  inverse_norms_cuda(p.b, plan[b_rnorm], ctx);
  for (int64_t first = 0; first < rows; first += strip) {
    const int64_t count = std::min(strip, rows - first);
    const TensorView a(static_cast<char*>(p.a.data) + static_cast<size_t>(first * depth) * size_of(p.a.dtype),
                       p.a.dtype, {count, depth});
    scaled_products_cuda(a, p.b, plan[a_rnorm] + first, plan[b_rnorm], p.scale, plan[values], ctx);
    launch({.kernel = "sort_chunk_kernel", .grid = {count * chunks}, .threads = kSortThreads},
           sort_chunk_kernel, ctx, plan[values], columns, chunks, static_cast<int>(kept), plan[lists]);
    uint64_t *from = plan[lists], *to = plan[merged];
    int64_t number = chunks, length = kept;
    while (number > 1) {
      const int64_t pairs = ceil_div(number, 2), next = std::min(p.k, 2 * length);
      launch({.kernel = "merge_lists_kernel",
              .grid = {ceil_div(count * number * length, kThreads)},
              .threads = kThreads},
             merge_lists_kernel, ctx, from, count * number * length, number, length, pairs, next, to);
      std::swap(from, to);
      number = pairs;
      length = next;
    }
    launch({.kernel = "write_best_kernel", .grid = {ceil_div(count * p.k, kThreads)}, .threads = kThreads},
           write_best_kernel, ctx, from, count * p.k, length, p.k, p.values.as<float>() + first * p.k,
           p.indices.as<int32_t>() + first * p.k);
  }
}

}  // namespace cuclip
