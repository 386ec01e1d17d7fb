// How the batch norm kernels lay [rows, channels] over threads. A thread has one 16-byte vector of channels
// and goes down the rows; a block has up to 32 vectors side by side, and as many rows at a time as it has
// threads for. Where a row is narrower than a warp's 512 bytes, a warp takes several, which follow one
// another in memory. The grid is (runs of rows, strips of channels). Runs follow from the shape alone, so
// that sums over rows have the same bits on every GPU.
#pragma once

#include <algorithm>

#include "kernels/common/exec_context.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/common/tuning.h"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kChannelBlockThreads = 256;
// Blocks of a multiprocessor: up to 80 registers. Four, at 64, spill on sm_90 and later.
inline constexpr int kChannelBlocksEach = 3;

/// Chosen by the shape and the number of channels in a vector.
struct ChannelBlocks {
  // Bits: blocks to reach, three on each multiprocessor; rows that a thread has at least, so that what it
  // loads for its channels, and the sums of its block, stay small beside them.
  static constexpr int64_t kBlocks = kChannelBlocksEach * TuningSm80::kMultiprocessors;
  static constexpr int64_t kThreadRows = 16;

  ChannelBlocks(int64_t rows, int64_t channels, int vec_size) : rows(rows), channels(channels) {
    const int64_t vectors = ceil_div(channels, vec_size);
    strips = ceil_div(vectors, kWarp);
    columns = static_cast<int>(ceil_div(vectors, strips));
    lanes_down = kChannelBlockThreads / columns;
    run_rows = std::max(kThreadRows * lanes_down, ceil_div(rows, ceil_div(kBlocks, strips)));
    runs = ceil_div(rows, run_rows);
  }
  LaunchConfig launch_config(const char* kernel) const {
    return {.kernel = kernel, .grid = {runs, strips}, .threads = kChannelBlockThreads};
  }

  int64_t rows, channels, strips, run_rows, runs;
  int columns;     // vectors of a block
  int lanes_down;  // rows of a block at a time
};

/// A thread's place: its first channel, and its rows begin, begin + step, ... below end. A thread that has no
/// place has no rows.
template <int kSize>
struct ChannelPlace {
  int64_t channel, left;  // left: channels from there on; 0 or less where the thread is beyond them
  int64_t begin, end;
  int step;
  int lane_down;

  __device__ __forceinline__ explicit ChannelPlace(const ChannelBlocks& b) : step(b.lanes_down) {
    const int thread = static_cast<int>(threadIdx.x);
    lane_down = thread / b.columns;
    channel = (static_cast<int64_t>(blockIdx.y) * b.columns + thread % b.columns) * kSize;
    left = b.channels - channel;
    const int64_t run = static_cast<int64_t>(blockIdx.x) * b.run_rows;
    begin = run + lane_down;
    end = min(run + b.run_rows, b.rows);
    if (lane_down >= step || left <= 0) begin = end;
  }
  __device__ __forceinline__ bool writes_sums() const { return lane_down == 0 && left > 0; }
};

/// The largest power of two below the number of lanes down, where folding them in halves begins.
__device__ __forceinline__ int first_half(int lanes_down) {
  return lanes_down > 1 ? 1 << (31 - __clz(lanes_down - 1)) : 0;
}

/// Folds what the threads that share a vector of channels have, kValues each: pairs of threads, then pairs
/// of pairs. own(i) is a thread's value i; combine(other) takes in another's, other(i). In the end the first
/// thread has the result. Shared memory: 1 KB a value.
template <int kValues, int kSize, typename Own, typename Combine>
__device__ __forceinline__ void fold_down(const ChannelPlace<kSize>& place, int columns, Own&& own,
                                          Combine&& combine) {
  __shared__ float shared[kValues][kChannelBlockThreads];
  const int thread = static_cast<int>(threadIdx.x);
  for (int half = first_half(place.step); half > 0; half /= 2) {
    if (place.lane_down >= half) {  // also those that have been folded before, whom nobody reads
#pragma unroll
      for (int i = 0; i < kValues; ++i) shared[i][thread] = own(i);
    }
    __syncthreads();
    if (place.lane_down < half && place.lane_down + half < place.step) {
      combine([&](int i) { return shared[i][thread + half * columns]; });
    }
    __syncthreads();
  }
}

/// Threads that finish channels: a lane has a channel, a warp every eighth run.
inline constexpr int kRunWarps = 8;

/// The sum over a block's warps of what each has for the lane's channel, in their order.
__device__ __forceinline__ double sum_of_warps(double own) {
  __shared__ double shared[kRunWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  shared[warp][lane] = own;
  __syncthreads();
  double sum = 0;
  for (int other = 0; other < kRunWarps; ++other) sum += shared[other][lane];
  __syncthreads();
  return sum;
}

/// kSize floats of parameters; kWhole and n as for load_columns, but aligned to 16 bytes only.
template <bool kWhole, int kSize>
__device__ __forceinline__ void load_channels(const float* p, int64_t n, float (&out)[kSize]) {
  if constexpr (kWhole) {
    load_floats(p, out);
  } else {
    load_part(p, n, out);
  }
}

}  // namespace cuclip
