// run:
// run: --check full --error-exitcode 9
// run: --check full --error-exitcode 9 --schedule random:4
// run: --check none --schedule random:9
// Warps some of whose lanes are done early, or skip what the others do together. Nobody waits for a lane that
// has exited, nor for one that is on its way to it.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "programs/check.h"

namespace cg = cooperative_groups;

// The first lanes skip the vote and exit.
__global__ void skip(int* out, int first) {
  const int lane = threadIdx.x;
  int r = 0;
  if (lane >= first) r = __all_sync(~0u, 1) + 2 * __popc(__ballot_sync(~0u, lane % 2));
  out[lane] = r;
}

// Sums over tiles, some lanes of which have returned; the others are their coalesced rest.
template <int kTile>
__global__ void tiles(int* out, int n) {
  const int i = threadIdx.x;
  if (i % 5 == 4 || i >= n) return;
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const auto rest = cg::coalesced_threads();
  tile.sync();
  out[i] = cg::reduce(rest, 1, cg::plus<int>()) * 1000 + __popc(tile.ballot(1));
  tile.sync();
}

// Lane i goes round i times: each time with those that still do.
__global__ void rounds(int* out) {
  int sum = 0;
  for (int i = 0; i < static_cast<int>(threadIdx.x); ++i) {
    sum += __popc(__ballot_sync(~0u, 1));
    __syncwarp();
  }
  out[threadIdx.x] = sum;
}

__device__ __noinline__ int deeper(int x, int depth) {
  if (x < depth) return -depth;
  const int sum = __reduce_add_sync(~0u, 1);
  if (depth < 3) return deeper(x, depth + 1) + sum;
  return sum;
}
// Lanes come out of the functions early, and exit while the others are still in them.
__global__ void nested(int* out) { out[threadIdx.x] = deeper(threadIdx.x, 1); }

// Each tile with its own mask, in one instruction; some lanes of both go another way and exit.
__global__ void masks(int* out) {
  const unsigned lane = threadIdx.x, mask = lane < 16 ? 0xffffu : 0xffff0000u;
  int r = 0;
  if (lane % 16 > 2) {
    r = __popc(__match_any_sync(mask, lane / 8));
    __syncwarp(mask);
    r += 100 * __shfl_sync(mask, static_cast<int>(lane), 5, 16);
  }
  out[lane] = r;
}

// While a warp waits like that another one waits for its lane that is held up.
__global__ void two_warps(volatile int* flag, int* out) {
  const int lane = threadIdx.x % 32;
  int r = 0;
  if (threadIdx.x >= 32) {
    while (*flag == 0) {
    }
  } else {
    if (lane != 0) r = __all_sync(~0u, 1);
    if (lane == 0) *flag = 1;
  }
  out[threadIdx.x] = r;
}

int main() {
  Device<int> out(64), flag(1);
  for (const int first : {1, 2, 17, 31}) {
    skip<<<1, 32>>>(out, first);
    const auto got = out.host();
    for (int i = 0; i < 32; ++i)
      EXPECT(got[i] == (i < first ? 0 : 1 + 2 * (16 - first / 2)), "skip %d: %d: %d", first, i, got[i]);
  }
  for (const int n : {64, 50, 33, 7}) {
    CUDA(cudaMemset(out, 0, 256));
    tiles<16><<<1, 64>>>(out, n);
    const auto got = out.host();
    for (int i = 0; i < n; ++i) {
      int in_tile = 0, in_warp = 0;
      for (int k = 0; k < n; ++k) {
        in_tile += k % 5 != 4 && k / 16 == i / 16;
        in_warp += k % 5 != 4 && k / 32 == i / 32;
      }
      const int expected = i % 5 == 4 ? 0 : in_warp * 1000 + in_tile;
      EXPECT(got[i] == expected, "tiles %d: %d: %d, expected %d", n, i, got[i], expected);
    }
  }
  rounds<<<1, 32>>>(out);
  auto got = out.host();
  for (int i = 0, sum = 0; i < 32; sum += 31 - i, ++i) EXPECT(got[i] == sum, "rounds: %d: %d", i, got[i]);
  nested<<<1, 32>>>(out);
  got = out.host();
  for (int i = 0; i < 32; ++i) {
    int expected = 0;
    for (int depth = 1; depth <= 3; ++depth) {
      expected += i < depth ? -depth : 32 - depth;
      if (i < depth) break;
    }
    EXPECT(got[i] == expected, "nested: %d: %d, expected %d", i, got[i], expected);
  }
  masks<<<1, 32>>>(out);
  got = out.host();
  for (int i = 0; i < 32; ++i) {
    const int expected = i % 16 <= 2 ? 0 : (i / 8 % 2 ? 8 : 5) + 100 * (i / 16 * 16 + 5);
    EXPECT(got[i] == expected, "masks: %d: %d, expected %d", i, got[i], expected);
  }
  CUDA(cudaMemset(flag, 0, 4));
  two_warps<<<1, 64>>>(flag, out);
  got = out.host();
  for (int i = 0; i < 64; ++i) EXPECT(got[i] == (i > 0 && i < 32), "two warps: %d: %d", i, got[i]);
  return finish();
}
