// Layer norm backward on CUDA.
//
// Threads: each row has a team of warps (row_team.cuh). A block walks over a run of rows that the shape
// fixes; each lane keeps its columns' terms of dweight and dbias in registers, and at the end the block's
// teams add theirs in shared memory, one after the other. The sums of all blocks go to scratch, and a second
// kernel adds them in order: no atomics, the same bits on every run. Shared memory: the weight and later
// those sums, 4 C, and each team's next row, which is on its way while this one is computed. Bytes moved per
// row of C elements of b bytes: 3 C b (dy, x, dx), 4 C b with a residual gradient; the weight, 4 C, and the
// partial sums, 16 C, for each block.
#include <algorithm>

#include "kernels/common/column_sums.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/layer_norm/layer_norm_cuda.h"
#include "kernels/layer_norm/row_team.cuh"

namespace cuclip {
namespace {

// A block's share of the rows, but not less than `least`.
int64_t block_rows_of(int64_t rows, int64_t least) {
  return std::max(least, ceil_div(rows, SumOrder::kLayerNormBlocks));
}

template <typename T>
struct BackwardArguments {
  const T* dy;
  const T* x;
  const float* weight;
  const float* mean;
  const float* rstd;
  const T* dsum;  // null, or the residual gradient
  T* dx;
  float* partial;  // [blocks, 2, stride]: dweight and dbias of each block
  int64_t rows;
  int64_t width;
  int64_t stride;
};

// Adds the block's teams' sums in shared memory, in the teams' order, and stores them in the order of the
// columns.
template <int kVecs, int kSize>
__device__ __forceinline__ void store_block_sums(const float (&sums)[kVecs][kSize], const TeamPlace& place,
                                                 int width, const SharedColumns& shared, float* out) {
  for (int team = 0; team < place.teams(); ++team) {
    if (team == place.team) {
#pragma unroll
      for (int i = 0; i < kVecs; ++i) {
        const int c = place.column<kSize>(i);
#pragma unroll
        for (int j = 0; j < kSize; j += 4) {
          if (c < width) {
            float4& slot = shared.at(c + j);
            const float4 before = team == 0 ? make_float4(0, 0, 0, 0) : slot;
            slot = make_float4(before.x + sums[i][j], before.y + sums[i][j + 1], before.z + sums[i][j + 2],
                               before.w + sums[i][j + 3]);
          }
        }
      }
    }
    __syncthreads();
  }
  for (int c = static_cast<int>(threadIdx.x) * 4; c < width; c += kTeamBlockThreads * 4) {
    *reinterpret_cast<float4*>(out + c) = shared.at(c);
  }
  __syncthreads();
}

// A row's share of everything that is summed: over its columns into sums (g, and g xhat), over rows into the
// lane's dweight and dbias.
template <typename T, int kSize>
__device__ __forceinline__ void add_terms(const Vec<T>& x, const Vec<T>& dy, const float (&weights)[kSize],
                                          float mean, float rstd, float (&sums)[2], float (&dweight)[kSize],
                                          float (&dbias)[kSize]) {
  float xs[kSize], dys[kSize];
  unpack(x, xs);
  unpack(dy, dys);
#pragma unroll
  for (int j = 0; j < kSize; ++j) {
    const float xhat = (xs[j] - mean) * rstd, g = dys[j] * weights[j];
    sums[0] += g;
    sums[1] = fmaf(g, xhat, sums[1]);
    dweight[j] = fmaf(dys[j], xhat, dweight[j]);
    dbias[j] += dys[j];
  }
}

// dx without the residual gradient, which is added to it.
template <typename T, int kSize>
__device__ __forceinline__ Vec<T> input_gradient(const Vec<T>& x, const Vec<T>& dy,
                                                 const float (&weights)[kSize], float mean, float rstd,
                                                 float mean_g, float mean_g_xhat,
                                                 const float (&residual)[kSize]) {
  float xs[kSize], dys[kSize];
  unpack(x, xs);
  unpack(dy, dys);
#pragma unroll
  for (int j = 0; j < kSize; ++j) {
    const float xhat = (xs[j] - mean) * rstd;
    const float centred = fmaf(-xhat, mean_g_xhat, fmaf(dys[j], weights[j], -mean_g));
    xs[j] = fmaf(centred, rstd, residual[j]);
  }
  return pack<T>(xs);
}

// A lane's vectors of the row that its team comes to next, on their way to shared memory while the team
// computes. Only the lane itself reads them, so that it need not wait for others.
template <typename T, int kVecs, bool kResidual>
struct NextRow {
  static constexpr int kTensors = kResidual ? 3 : 2;
  static constexpr int kBytes = kTensors * kVecs * kTeamBlockThreads * kVecBytes;

  const BackwardArguments<T>& p;
  const TeamPlace& place;
  uint32_t shared;  // the block's
  int64_t end;      // of the block's rows
  struct Row {
    int64_t start;  // its first element
    int width;      // 0 where there is none: then all are zeros
    float mean, rstd;
  } row;

  __device__ __forceinline__ int column(int i) const { return place.template column<Vec<T>::kSize>(i); }
  /// Starts the copies of dy and x, a group, to where those of the row before have been read.
  __device__ __forceinline__ void ask_for(int64_t i) {
    const bool there = i < end;
    row = {.start = i * p.width,
           .width = there ? static_cast<int>(p.width) : 0,
           .mean = there ? p.mean[i] : 0.0f,
           .rstd = there ? p.rstd[i] : 0.0f};
#pragma unroll
    for (int v = 0; v < kVecs; ++v) {
      copy(p.dy, 0, v);
      copy(p.x, 1, v);
    }
    async_commit();
  }
  /// Starts that of one vector of dsum, or of all, a group.
  __device__ __forceinline__ void ask_for_residual(int i) const { copy(p.dsum, 2, i); }
  __device__ __forceinline__ void ask_for_residual() const {
#pragma unroll
    for (int i = 0; i < kVecs; ++i) ask_for_residual(i);
    async_commit();
  }

  __device__ __forceinline__ Vec<T> dy(int i) const { return load_shared_vec<T>(slot(0, i)); }
  __device__ __forceinline__ Vec<T> x(int i) const { return load_shared_vec<T>(slot(1, i)); }
  __device__ __forceinline__ Vec<T> residual(int i) const { return load_shared_vec<T>(slot(2, i)); }

 private:
  __device__ __forceinline__ uint32_t slot(int tensor, int i) const {
    return shared + ((tensor * kVecs + i) * kTeamBlockThreads + static_cast<int>(threadIdx.x)) * kVecBytes;
  }
  __device__ __forceinline__ void copy(const T* from, int tensor, int i) const {
    async_copy_16(slot(tensor, i), from + row.start + column(i), column(i) < row.width);
  }
};

template <typename T, int kVecs, bool kResidual>
__global__ void __launch_bounds__(kTeamBlockThreads, Tuning::LayerNorm::kBackwardBlocks)
    layer_norm_backward_kernel(const BackwardArguments<T> p, int team_warps, int64_t block_rows) {
  constexpr int kSize = Vec<T>::kSize;
  constexpr int kResidualGroups = kResidual ? 1 : 0;  // of copies: after each row's group of dy and x
  using Next = NextRow<T, kVecs, kResidual>;
  __shared__ float shared_sums[2 * kTeamBlockWarps];
  extern __shared__ float4 shared[];
  const SharedColumns columns{shared + Next::kBytes / kVecBytes};  // the weight, at the end sums
  const TeamPlace place(team_warps);
  const int width = static_cast<int>(p.width);
  const float scale = 1.0f / static_cast<float>(width);
  float dweight[kVecs][kSize] = {}, dbias[kVecs][kSize] = {};

  const int64_t begin = static_cast<int64_t>(blockIdx.x) * block_rows, end = min(begin + block_rows, p.rows);
  columns.copy(p.weight, width);
  async_commit();
  Next next{.p = p, .place = place, .shared = shared_address(shared), .end = end};
  next.ask_for(begin + place.team);
  if constexpr (kResidual) next.ask_for_residual();
  async_wait<1 + kResidualGroups>();
  __syncthreads();
  // All teams take the same number of steps, since row_sums needs the whole block: a team without a row
  // computes on zeros.
  for (int64_t first = begin; first < end; first += place.teams()) {
    const auto [start, row_width, mean, rstd] = next.row;
    async_wait<kResidualGroups>();
    Vec<T> x[kVecs], dy[kVecs];
    float sums[2] = {}, weights[kSize];
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      dy[i] = next.dy(i);
      x[i] = next.x(i);
      if (next.column(i) >= row_width) continue;
      columns.read(next.column(i), weights);
      add_terms(x[i], dy[i], weights, mean, rstd, sums, dweight[i], dbias[i]);
    }
    next.ask_for(first + place.teams() + place.team);
    row_sums(sums, place, shared_sums);
    if constexpr (kResidual) async_wait<1>();
#pragma unroll
    for (int i = 0; i < kVecs; ++i) {
      const int c = next.column(i);
      float residual[kSize] = {};
      if constexpr (kResidual) unpack(next.residual(i), residual);
      if (c < row_width) {
        columns.read(c, weights);
        store_vec(p.dx + start + c, input_gradient(x[i], dy[i], weights, mean, rstd, sums[0] * scale,
                                                   sums[1] * scale, residual));
      }
      if constexpr (kResidual) next.ask_for_residual(i);
    }
    if constexpr (kResidual) async_commit();
  }
  __syncthreads();  // the weight has been read
  float* partial = p.partial + static_cast<int64_t>(blockIdx.x) * 2 * p.stride;
  store_block_sums(dweight, place, width, columns, partial);
  store_block_sums(dbias, place, width, columns, partial + p.stride);
}

// Any width and alignment: one warp per row, element by element, twice over the row. dx only.
template <typename T>
__global__ void __launch_bounds__(kTeamBlockThreads)
    layer_norm_backward_any_kernel(const BackwardArguments<T> p) {
  const TeamPlace place(1);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTeamBlockWarps + place.team;
  if (row >= p.rows) return;
  const int64_t start = row * p.width;
  const float mean = p.mean[row], rstd = p.rstd[row], scale = 1.0f / static_cast<float>(p.width);
  float sum_g = 0, sum_g_xhat = 0;
  for (int64_t c = place.lane; c < p.width; c += kWarp) {
    const float g = to_float(p.dy[start + c]) * p.weight[c];
    sum_g += g;
    sum_g_xhat = fmaf(g, (to_float(p.x[start + c]) - mean) * rstd, sum_g_xhat);
  }
  const float mean_g = warp_sum(sum_g) * scale, mean_g_xhat = warp_sum(sum_g_xhat) * scale;
  for (int64_t c = place.lane; c < p.width; c += kWarp) {
    const float xhat = (to_float(p.x[start + c]) - mean) * rstd;
    const float centred = fmaf(-xhat, mean_g_xhat, fmaf(to_float(p.dy[start + c]), p.weight[c], -mean_g));
    p.dx[start + c] = from_float<T>(fmaf(centred, rstd, p.dsum ? to_float(p.dsum[start + c]) : 0.0f));
  }
}

// The partial sums that go with it: one thread per column, block_rows rows per block (grid.y).
template <typename T>
__global__ void __launch_bounds__(kTeamBlockThreads)
    layer_norm_columns_kernel(const BackwardArguments<T> p, int64_t block_rows) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kTeamBlockThreads + threadIdx.x;
  if (c >= p.width) return;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * block_rows;
  const int64_t end = min(begin + block_rows, p.rows);
  float dweight = 0, dbias = 0;
  for (int64_t row = begin; row < end; ++row) {
    const float dy = to_float(p.dy[row * p.width + c]);
    dweight = fmaf(dy, (to_float(p.x[row * p.width + c]) - p.mean[row]) * p.rstd[row], dweight);
    dbias += dy;
  }
  float* partial = p.partial + static_cast<int64_t>(blockIdx.y) * 2 * p.stride;
  partial[c] = dweight;
  partial[p.stride + c] = dbias;
}

// dweight (grid.y 0) or dbias (grid.y 1) += the blocks' partial sums.
template <int kSize>
__global__ void __launch_bounds__(kColumnSumThreads)
    add_partials_kernel(const float* partial, int64_t blocks, int64_t stride, int64_t width, float* dweight,
                        float* dbias) {
  add_column_sums<kSize, true>(partial + blockIdx.y * stride, blocks, 2 * stride, width,
                               blockIdx.y == 0 ? dweight : dbias);
}

template <int kSize>
void launch_add_partials(const LayerNormBackward& p, const float* partial, int64_t blocks, int64_t stride,
                         const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  launch({.kernel = "add_partials_kernel",
          .grid = {ceil_div(width, kWarp * kSize), 2},
          .threads = kColumnSumThreads},
         add_partials_kernel<kSize>, ctx, partial, blocks, stride, width, p.dweight.as<float>(),
         p.dbias.as<float>());
}

// One row per team: 16-byte accesses throughout.
template <typename T>
void backward_teams(const RowTeams& teams, const LayerNormBackward& p, BackwardArguments<T> a,
                    const ExecContext& ctx) {
  const int64_t block_rows = block_rows_of(a.rows, SumOrder::kLayerNormTeamRows * teams.teams());
  const int64_t blocks = ceil_div(a.rows, block_rows);
  ScratchPlan plan;
  const auto partial = plan.add<float>(blocks * 2 * a.stride);
  plan.reserve(ctx);
  a.partial = plan[partial];
  for_row_vecs<kBackwardRowVecs>(teams.vecs, [&](auto vecs) {
    const auto run = [&]<bool kResidual>(std::bool_constant<kResidual>) {
      constexpr int kVecs = decltype(vecs)::value;
      launch({.kernel = "layer_norm_backward_kernel",
              .grid = {blocks},
              .threads = kTeamBlockThreads,
              .shared_bytes = NextRow<T, kVecs, kResidual>::kBytes + SharedColumns::bytes(a.width)},
             layer_norm_backward_kernel<T, kVecs, kResidual>, ctx, a, teams.warps, block_rows);
    };
    a.dsum ? run(std::true_type()) : run(std::false_type());
  });
  launch_add_partials<4>(p, a.partial, blocks, a.stride, ctx);
}

// Any rows. The columns go first: dx may be the memory of dy.
template <typename T>
void backward_any(const LayerNormBackward& p, BackwardArguments<T> a, const ExecContext& ctx) {
  const int64_t block_rows = block_rows_of(a.rows, SumOrder::kLayerNormColumnRows);
  const int64_t blocks = ceil_div(a.rows, block_rows);
  ScratchPlan plan;
  const auto partial = plan.add<float>(blocks * 2 * a.stride);
  plan.reserve(ctx);
  a.partial = plan[partial];
  launch({.kernel = "layer_norm_columns_kernel",
          .grid = {ceil_div(a.width, kTeamBlockThreads), blocks},
          .threads = kTeamBlockThreads},
         layer_norm_columns_kernel<T>, ctx, a, block_rows);
  launch_add_partials<1>(p, a.partial, blocks, a.stride, ctx);
  launch({.kernel = "layer_norm_backward_any_kernel",
          .grid = {ceil_div(a.rows, kTeamBlockWarps)},
          .threads = kTeamBlockThreads},
         layer_norm_backward_any_kernel<T>, ctx, a);
}

template <typename T>
void backward(const LayerNormBackward& p, const ExecContext& ctx) {
  const int64_t width = p.weight.size(0);
  const BackwardArguments<T> a{.dy = p.dy.as<T>(),
                               .x = p.x.as<T>(),
                               .weight = p.weight.as<float>(),
                               .mean = p.mean.as<float>(),
                               .rstd = p.rstd.as<float>(),
                               .dsum = p.dsum ? p.dsum.as<T>() : nullptr,
                               .dx = p.dx.as<T>(),
                               .partial = nullptr,
                               .rows = p.x.elements() / width,
                               .width = width,
                               .stride = round_up(width, 4)};
  const RowTeams teams = choose_row_teams(width, Vec<T>::kSize, kBackwardRowVecs);
  if (teams.warps > 0 &&
      aligned_to(kVecBytes, a.dy, a.x, a.weight, a.dsum, a.dx, p.dweight.data, p.dbias.data)) {
    backward_teams(teams, p, a, ctx);
  } else {
    backward_any(p, a, ctx);
  }
}

}  // namespace

void layer_norm_backward_cuda(const LayerNormBackward& p, const ExecContext& ctx) {
  if (p.x.elements() == 0) return;
  if (p.x.dtype == DType::f32) {
    backward<float>(p, ctx);
  } else {
    backward<bfloat16>(p, ctx);
  }
}

}  // namespace cuclip
