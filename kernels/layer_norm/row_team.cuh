// How the layer norm kernels lay a row over threads. A team of 1, 2, 4 or 8 warps keeps a row in registers, a
// few 16-byte vectors per lane: vector i of the team's lane l is vector i * lanes + l of the row, so that
// each load of a warp is 512 consecutive bytes. A block is 8 warps, which are 8 to 1 teams. Rows that are
// wider than 8 warps hold, or that do not consist of whole aligned vectors, go through kernels that read the
// row again.
#pragma once

#include <type_traits>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/exec_context.h"
#include "kernels/common/reduce.cuh"
#include "kernels/common/tuning.h"
#include "kernels/common/vec.cuh"

namespace cuclip {

inline constexpr int kTeamBlockWarps = 8;
inline constexpr int kTeamBlockThreads = kTeamBlockWarps * kWarp;
inline constexpr int kForwardRowVecs = Tuning::LayerNorm::kForwardRowVecs;
inline constexpr int kBackwardRowVecs = Tuning::LayerNorm::kBackwardRowVecs;

/// Chosen only from the width; warps is 0 where no team holds the row.
struct RowTeams {
  int warps = 0;
  int vecs = 0;
  int teams() const { return kTeamBlockWarps / warps; }
};

inline RowTeams choose_row_teams(int64_t width, int vec_size, int max_vecs) {
  if (width % vec_size != 0) return {};
  for (const int warps : {1, 2, 4, 8}) {
    const int64_t vecs = ceil_div(width / vec_size, warps * kWarp);
    if (vecs <= max_vecs) return {warps, static_cast<int>(vecs)};
  }
  return {};
}

/// Calls body(std::integral_constant<int, vecs>): the number of vectors is a template parameter of the
/// kernels.
template <int kMaxVecs, typename Body>
void for_row_vecs(int vecs, Body&& body) {
  if constexpr (kMaxVecs > 1) {
    if (vecs < kMaxVecs) return for_row_vecs<kMaxVecs - 1>(vecs, body);
  }
  body(std::integral_constant<int, kMaxVecs>{});
}

/// A thread's place: its team in the block, its warp in the team, its lane in the team.
struct TeamPlace {
  int warps;  // of a team
  int team;
  int warp;
  int lane;

  __device__ __forceinline__ explicit TeamPlace(int warps)
      : warps(warps),
        team(static_cast<int>(threadIdx.x) / (warps * kWarp)),
        warp(static_cast<int>(threadIdx.x) / kWarp % warps),
        lane(static_cast<int>(threadIdx.x) % (warps * kWarp)) {}
  __device__ __forceinline__ int teams() const { return kTeamBlockWarps / warps; }
  /// The first element of the lane's vector i.
  template <int kSize>
  __device__ __forceinline__ int column(int i) const {
    return (i * warps * kWarp + lane) * kSize;
  }
};

/// A row of `width` floats in a block's shared memory, which all teams read or add to, in 16-byte chunks. A
/// bf16 lane owns two neighbouring ones, so that eight lanes' first chunks would fall into four groups of
/// banks: every other eight of them are swapped in pairs.
struct SharedColumns {
  float4* chunks;

  static size_t bytes(int64_t width) { return static_cast<size_t>(round_up(width, 8)) * sizeof(float); }

  __device__ __forceinline__ float4& at(int column) const {
    const int q = column / 4;
    return chunks[q ^ (q >> 3 & 1)];
  }
  /// Starts the block's copies of a parameter.
  __device__ __forceinline__ void copy(const float* from, int width) const {
#pragma unroll 1
    for (int c = static_cast<int>(threadIdx.x) * 4; c < width; c += kTeamBlockThreads * 4) {
      async_copy_16(shared_address(&at(c)), from + c, true);
    }
  }
  template <int kSize>
  __device__ __forceinline__ void read(int column, float (&v)[kSize]) const {
#pragma unroll
    for (int j = 0; j < kSize; j += 4) {
      const float4 four = at(column + j);
      v[j] = four.x, v[j + 1] = four.y, v[j + 2] = four.z, v[j + 3] = four.w;
    }
  }
};

/// Sums N values over the lanes of each team of the block, which must all call. `shared` has N floats for
/// each warp.
template <int N>
__device__ __forceinline__ void row_sums(float (&x)[N], const TeamPlace& place, float* shared) {
  team_sum(x, place.warp, place.warps, shared + place.team * place.warps * N);
}
__device__ __forceinline__ float row_sum(float x, const TeamPlace& place, float* shared) {
  return team_sum(x, place.warp, place.warps, shared + place.team * place.warps);
}

}  // namespace cuclip
