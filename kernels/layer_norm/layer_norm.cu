// Layer norm forward on CUDA.
//
// Threads: each row has a team of warps (row_team.cuh); the row stays in registers from its only load to its
// only store, so the two passes of the variance cost no traffic. Shared memory: a float for each warp, where
// a row takes more than one. Bytes moved per row of C elements of b bytes: 2 C b, with a residual 4 C b; plus
// the parameters, 8 C, which come from the cache after the first rows, and 8 for the statistics.
#include "kernels/common/launch.cuh"
#include "kernels/layer_norm/layer_norm_cuda.h"
#include "kernels/layer_norm/row_team.cuh"

namespace cuclip {
namespace {

// Rows per team: two share one reading of weight and bias, which would otherwise take as many cycles of the
// first-level cache as the memory takes for the row.
constexpr int kTeamRows = 2;

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

// What is normalised of one vector: x, or the sum, which is stored.
template <typename T>
__device__ __forceinline__ Vec<T> load_sum(const ForwardArguments<T>& p, int64_t element) {
  Vec<T> s = load_vec(p.x + element);
  if (p.delta) {
    s = add_rounded(s, load_vec(p.delta + element));
    store_vec(p.sum + element, s);
  }
  return s;
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

template <typename T, int kVecs>
__global__ void __launch_bounds__(kTeamBlockThreads, Tuning::LayerNorm::kForwardBlocks)
    layer_norm_forward_kernel(const ForwardArguments<T> p, int team_warps) {
  constexpr int kSize = Vec<T>::kSize;
  __shared__ float shared[kTeamBlockWarps * kTeamRows];
  const TeamPlace place(team_warps);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * place.teams() + place.team) * kTeamRows;
  // Where no row is left, the width is 0 and the team computes on zeros: the sums need every thread of the
  // block.
  const auto width = [&](int r) { return first + r < p.rows ? static_cast<int>(p.width) : 0; };
  const float scale = 1.0f / static_cast<float>(p.width);

  Vec<T> s[kTeamRows][kVecs];
  float mean[kTeamRows] = {}, rstd[kTeamRows] = {};
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      const int c = place.column<kSize>(i);
      s[r][i] = c < width(r) ? load_sum(p, (first + r) * p.width + c) : Vec<T>{};
      mean[r] = add_elements(s[r][i], mean[r]);
    }
  }
  row_sums(mean, place, shared);
  // Two passes, not E[x^2] - E[x]^2, which cancels for large means.
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    mean[r] *= scale;
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      if (place.column<kSize>(i) < width(r)) rstd[r] = add_squares(s[r][i], mean[r], rstd[r]);
    }
  }
  row_sums(rstd, place, shared);
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) rstd[r] = 1.0f / sqrtf(fmaf(rstd[r], scale, p.eps));

#pragma unroll
  for (int i = 0; i < kVecs; ++i) {
    const int c = place.column<kSize>(i);
    if (c >= width(0)) continue;
    float weight[kSize], bias[kSize];
    load_floats(p.weight + c, weight);
    load_floats(p.bias + c, bias);
#pragma unroll
    for (int r = 0; r < kTeamRows; ++r) {
      if (c < width(r)) {
        store_vec(p.y + (first + r) * p.width + c, normalise(s[r][i], mean[r], rstd[r], weight, bias));
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kTeamRows; ++r) {
    if (place.lane == r && width(r) > 0) store_statistics(p, first + r, mean[r], rstd[r]);
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
    launch({.kernel = "layer_norm_forward_kernel",
            .grid = {ceil_div(p.rows, teams.teams() * kTeamRows)},
            .threads = kTeamBlockThreads},
           layer_norm_forward_kernel<T, decltype(vecs)::value>, ctx, p, teams.warps);
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
