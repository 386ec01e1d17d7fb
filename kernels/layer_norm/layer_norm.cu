// Layer norm forward on CUDA.
//
// Threads: each row has a team of warps (row_team.cuh); the row stays in registers from its only load to its
// only store, so the two passes of the variance cost no traffic. A team asks for everything that it needs
// before it uses any of it, and so waits for the memory once. Shared memory: the parameters, 8 C, once for
// all teams, and a float for each warp, where a row takes more than one. Bytes moved per row of C elements of
// b bytes: 2 C b, with a residual 4 C b, and 8 for the statistics; plus the parameters, 8 C for each block.
#include "kernels/common/launch.cuh"
#include "kernels/layer_norm/layer_norm_cuda.h"
#include "kernels/layer_norm/row_team.cuh"

namespace cuclip {
namespace {

// Rows per team: two share one reading of weight and bias, which would otherwise take as many cycles of
// shared memory as the memory takes for the row.
constexpr int kTeamRows = 2;
// Of a multiprocessor: up to 80 registers, or 128 where a lane asks for more than 12 vectors at once.
template <int kVecs, bool kResidual>
constexpr int kBlocks = kTeamRows* kVecs*(kResidual ? 2 : 1) <= 12 ? Tuning::LayerNorm::kForwardBlocks : 2;

template <typename T>
struct ForwardArguments {
  const T* x;
  const T* delta;  // null, or the residual branch, and then sum is not
  T* sum;
  const float* weight;
  const float* bias;
  T* y;
  float* mean;  // null, or both
  float* rstd;
  int64_t rows;
  int64_t width;
  float eps;
};

// x + delta as it is stored, and as everything that follows sees it.
template <typename T>
__device__ __forceinline__ Vec<T> add_rounded(const Vec<T>& x, const Vec<T>& delta) {
  float a[Vec<T>::kSize], b[Vec<T>::kSize];
  unpack(x, a);
  unpack(delta, b);
#pragma unroll
  for (int i = 0; i < Vec<T>::kSize; ++i) a[i] += b[i];
  return pack<T>(a);
}

template <typename T>
__device__ __forceinline__ float add_elements(const Vec<T>& s, float total) {
  float v[Vec<T>::kSize];
  unpack(s, v);
#pragma unroll
  for (int j = 0; j < Vec<T>::kSize; ++j) total += v[j];
  return total;
}

template <typename T>
__device__ __forceinline__ float add_squares(const Vec<T>& s, float mean, float total) {
  float v[Vec<T>::kSize];
  unpack(s, v);
#pragma unroll
  for (int j = 0; j < Vec<T>::kSize; ++j) total = fmaf(v[j] - mean, v[j] - mean, total);
  return total;
}

template <typename T, int kSize>
__device__ __forceinline__ Vec<T> normalise(const Vec<T>& s, float mean, float rstd,
                                            const float (&weight)[kSize], const float (&bias)[kSize]) {
  float v[kSize];
  unpack(s, v);
#pragma unroll
  for (int j = 0; j < kSize; ++j) v[j] = fmaf((v[j] - mean) * rstd, weight[j], bias[j]);
  return pack<T>(v);
}

template <typename T>
__device__ __forceinline__ void store_statistics(const ForwardArguments<T>& p, int64_t row, float mean,
                                                 float rstd) {
  if (p.mean) {
    p.mean[row] = mean;
    p.rstd[row] = rstd;
  }
}

// A lane's vectors of its team's rows.
template <typename T, int kVecs>
using HeldRows = Vec<T>[kTeamRows][kVecs];

// Where a lane's part of its team's rows lies. A row that is not there has the width 0, and the team computes
// on zeros: the sums need every thread of the block.
template <typename T>
struct TeamRows {
  const ForwardArguments<T>& p;
  const TeamPlace& place;
  int64_t first;

  __device__ __forceinline__ int width(int r) const {
    return first + r < p.rows ? static_cast<int>(p.width) : 0;
  }
  __device__ __forceinline__ int column(int i) const { return place.template column<Vec<T>::kSize>(i); }
  __device__ __forceinline__ int64_t element(int r, int i) const { return (first + r) * p.width + column(i); }
  template <int kVecs>
  __device__ __forceinline__ void load(const T* from, HeldRows<T, kVecs>& to) const {
#pragma unroll
    for (int r = 0; r < kTeamRows; ++r) {
#pragma unroll
      for (int i = 0; i < kVecs; ++i)
        to[r][i] = column(i) < width(r) ? load_vec(from + element(r, i)) : Vec<T>{};
    }
  }
  __device__ __forceinline__ void store(const Vec<T>& v, int r, int i, T* to) const {
    if (column(i) < width(r)) store_vec(to + element(r, i), v);
  }
};

// Mean and 1 / sigma of rows in registers. Two passes, not E[x^2] - E[x]^2, which cancels for large means.
template <typename T, int kVecs>
__device__ __forceinline__ void find_statistics(const HeldRows<T, kVecs>& s, const TeamRows<T>& rows,
                                                float* shared, float (&mean)[kTeamRows],
                                                float (&rstd)[kTeamRows]) {
  const float scale = 1.0f / static_cast<float>(rows.p.width);
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    mean[r] = rstd[r] = 0.0f;
#pragma unroll
    for (int i = 0; i < kVecs; ++i) mean[r] = add_elements(s[r][i], mean[r]);
  }
  row_sums(mean, rows.place, shared);
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    mean[r] *= scale;
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      if (rows.column(i) < rows.width(r)) rstd[r] = add_squares(s[r][i], mean[r], rstd[r]);
    }
  }
  row_sums(rstd, rows.place, shared);
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) rstd[r] = 1.0f / sqrtf(fmaf(rstd[r], scale, rows.p.eps));
}

template <typename T, int kVecs, bool kResidual>
__global__ void __launch_bounds__(kTeamBlockThreads, kBlocks<kVecs, kResidual>)
    layer_norm_forward_kernel(const ForwardArguments<T> p, int team_warps) {
  constexpr int kSize = Vec<T>::kSize;
  __shared__ float shared[kTeamBlockWarps * kTeamRows];
  extern __shared__ float4 parameters[];
  const SharedColumns weight{parameters}, bias{parameters + round_up(p.width, 8) / 4};
  const TeamPlace place(team_warps);
  const TeamRows<T> rows{p, place,
                         (static_cast<int64_t>(blockIdx.x) * place.teams() + place.team) * kTeamRows};
  HeldRows<T, kVecs> s, delta;
  rows.load(p.x, s);
  if constexpr (kResidual) rows.load(p.delta, delta);
  weight.copy(p.weight, static_cast<int>(p.width));
  bias.copy(p.bias, static_cast<int>(p.width));
  async_commit();
  if constexpr (kResidual) {
#pragma unroll
    for (int r = 0; r < kTeamRows; ++r) {
#pragma unroll
      for (int i = 0; i < kVecs; ++i) {
        s[r][i] = add_rounded(s[r][i], delta[r][i]);
        rows.store(s[r][i], r, i, p.sum);
      }
    }
  }
  float mean[kTeamRows], rstd[kTeamRows];
  find_statistics<T, kVecs>(s, rows, shared, mean, rstd);
  async_wait<0>();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kVecs; ++i) {
    if (rows.column(i) >= rows.width(0)) continue;
    float weights[kSize], biases[kSize];
    weight.read(rows.column(i), weights);
    bias.read(rows.column(i), biases);
#pragma unroll
    for (int r = 0; r < kTeamRows; ++r)
      rows.store(normalise(s[r][i], mean[r], rstd[r], weights, biases), r, i, p.y);
  }
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    if (place.lane == r && rows.width(r) > 0) store_statistics(p, rows.first + r, mean[r], rstd[r]);
  }
}

// Any width and alignment: one warp per row, element by element, three times over the row.
template <typename T>
__global__ void __launch_bounds__(kTeamBlockThreads)
    layer_norm_forward_any_kernel(const ForwardArguments<T> p) {
  const TeamPlace place(1);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTeamBlockWarps + place.team;
  if (row >= p.rows) return;
  const int64_t start = row * p.width;
  const T* s = p.delta ? p.sum + start : p.x + start;
  float total = 0;
  for (int64_t c = place.lane; c < p.width; c += kWarp) {
    if (p.delta) p.sum[start + c] = from_float<T>(to_float(p.x[start + c]) + to_float(p.delta[start + c]));
    total += to_float(s[c]);
  }
  const float mean = warp_sum(total) / static_cast<float>(p.width);
  float squares = 0;
  for (int64_t c = place.lane; c < p.width; c += kWarp) {
    const float centred = to_float(s[c]) - mean;
    squares = fmaf(centred, centred, squares);
  }
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(p.width) + p.eps);
  for (int64_t c = place.lane; c < p.width; c += kWarp) {
    p.y[start + c] = from_float<T>(fmaf((to_float(s[c]) - mean) * rstd, p.weight[c], p.bias[c]));
  }
  if (place.lane == 0) store_statistics(p, row, mean, rstd);
}

template <typename T>
void launch_forward(const ForwardArguments<T>& p, const ExecContext& ctx) {
  const RowTeams teams = choose_row_teams(p.width, Vec<T>::kSize, kForwardRowVecs);
  if (teams.warps == 0 || !aligned_to(kVecBytes, p.x, p.delta, p.sum, p.weight, p.bias, p.y)) {
    launch({.kernel = "layer_norm_forward_any_kernel",
            .grid = {ceil_div(p.rows, kTeamBlockWarps)},
            .threads = kTeamBlockThreads},
           layer_norm_forward_any_kernel<T>, ctx, p);
    return;
  }
  for_row_vecs<kForwardRowVecs>(teams.vecs, [&](auto vecs) {
    constexpr int kVecs = decltype(vecs)::value;
    launch({.kernel = "layer_norm_forward_kernel",
            .grid = {ceil_div(p.rows, teams.teams() * kTeamRows)},
            .threads = kTeamBlockThreads,
            .shared_bytes = 2 * SharedColumns::bytes(p.width)},
           p.delta ? layer_norm_forward_kernel<T, kVecs, true> : layer_norm_forward_kernel<T, kVecs, false>,
           ctx, p, teams.warps);
  });
}

template <typename T>
void forward(const LayerNormForward& p, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  launch_forward<T>({.x = p.x.as<T>(),
                     .delta = p.delta ? p.delta.as<T>() : nullptr,
                     .sum = p.sum ? p.sum.as<T>() : nullptr,
                     .weight = p.weight.as<float>(),
                     .bias = p.bias.as<float>(),
                     .y = p.y.as<T>(),
                     .mean = p.mean ? p.mean.as<float>() : nullptr,
                     .rstd = p.mean ? p.rstd.as<float>() : nullptr,
                     .rows = p.x.elements() / width,
                     .width = width,
                     .eps = p.eps},
                    ctx);
}

}  // namespace

void layer_norm_forward_cuda(const LayerNormForward& p, const ExecContext& ctx) {
  if (p.x.dtype == DType::f32) {
    forward<float>(p, ctx);
  } else {
    forward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
