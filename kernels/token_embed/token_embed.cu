// Token embedding on CUDA.
//
// Forward: a thread adds kColumns columns of a table row and a position row.
//
// Backward, deterministic, and balanced however often one token occurs (captions are mostly padding): the
// places of the batch are sorted by their token (CUB's radix sort, which keeps the order of equal ones);
// blocks take kChunk sorted places each and add up the runs of equal tokens in them. The sum of a run that
// lies in one chunk goes to its table row at once; where a run spans several, each chunk's sum goes to
// scratch, and in a second kernel the chunk in which the run begins adds them up. Two such sums per chunk are
// enough, one for the run that comes in and one for the run that goes out. dposition is a sum down the
// columns. Bytes moved: dout twice, the table rows that occur once in and once out, and at most an eighth of
// dout for the runs' sums.
#include <bit>
#include <cub/device/device_radix_sort.cuh>

#include "kernels/common/column_sums.cuh"
#include "kernels/common/cuda_check.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/token_embed/token_embed_cuda.h"

namespace cuclip {
namespace {

constexpr int kThreads = 128;
constexpr int kColumns = 4;  // of a thread: 16 bytes of f32
constexpr int kChunk = 64;   // sorted places of a block

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const int32_t* tokens, int64_t rows, int64_t length, int64_t vocabulary, int64_t width,
                   const float* table, const float* position, T* out) {
  const int64_t pieces = (width + kColumns - 1) / kColumns;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = i / pieces, c = i % pieces * kColumns;
  if (row >= rows) return;
  const int64_t token = tokens[row];
  float sum[kColumns] = {NAN, NAN, NAN, NAN};
  if (token >= 0 && token < vocabulary) {
    float place[kColumns];
    load_columns<kWhole>(table + token * width + c, width - c, sum);
    load_columns<kWhole>(position + row % length * width + c, width - c, place);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sum[j] += place[j];
  }
  store_columns<kWhole>(out + row * width + c, width - c, sum);
}

template <typename T>
struct BackwardArguments {
  const int32_t* tokens = nullptr;  // [rows], sorted; what is outside the vocabulary comes last
  const int32_t* places = nullptr;  // [rows]: where in the batch each was
  const T* dout;
  float* dtable;
  float* partial = nullptr;  // [chunks, 2, width]: of the run that comes in and of the one that goes out
  int64_t rows, vocabulary, width;
};

// Keys to sort: a token outside the vocabulary, negative ones included, counts as the vocabulary's size.
__global__ void __launch_bounds__(kThreads)
    keys_kernel(const int32_t* tokens, int64_t rows, uint32_t vocabulary, uint32_t* keys, int32_t* places) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows) return;
  keys[i] = min(static_cast<uint32_t>(tokens[i]), vocabulary);
  places[i] = static_cast<int32_t>(i);
}

__device__ int64_t column_of_thread() {
  return (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kColumns;
}

template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads) runs_kernel(const BackwardArguments<T> p) {
  const int64_t chunk = blockIdx.x, begin = chunk * kChunk, end = min(begin + kChunk, p.rows);
  const int64_t c = column_of_thread(), left = p.width - c;
  if (c >= p.width) return;
  bool comes_in = begin > 0 && p.tokens[begin - 1] == p.tokens[begin];
  float sum[kColumns] = {}, term[kColumns];
  for (int64_t i = begin; i < end; ++i) {
    const int64_t token = p.tokens[i];
    if (token >= p.vocabulary) return;
    load_columns<kWhole>(p.dout + p.places[i] * p.width + c, left, term);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sum[j] += term[j];
    const bool goes_on = i + 1 < p.rows && p.tokens[i + 1] == token;
    if (goes_on && i + 1 < end) continue;
    if (comes_in || goes_on) {
      store_columns<kWhole>(p.partial + (chunk * 2 + (comes_in ? 0 : 1)) * p.width + c, left, sum);
    } else {
      add_to_columns<kWhole>(p.dtable + token * p.width + c, left, sum);
    }
    comes_in = false;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sum[j] = 0.0f;
  }
}

// The runs that extend beyond their first chunk.
template <bool kWhole, typename T>
__global__ void __launch_bounds__(kThreads) long_runs_kernel(const BackwardArguments<T> p) {
  const int64_t chunk = blockIdx.x, c = column_of_thread(), left = p.width - c;
  const int64_t last = (chunk + 1) * kChunk - 1;  // the last place of the chunk
  if (c >= p.width || last + 1 >= p.rows) return;
  const int32_t token = p.tokens[last];
  const bool goes_out = p.tokens[last + 1] == token;
  const bool begins_here = chunk == 0 || p.tokens[chunk * kChunk - 1] != token;
  if (!goes_out || !begins_here || token >= p.vocabulary) return;
  float sum[kColumns], term[kColumns];
  load_columns<kWhole>(p.partial + (chunk * 2 + 1) * p.width + c, left, sum);
  for (int64_t next = chunk + 1; next * kChunk < p.rows && p.tokens[next * kChunk] == token; ++next) {
    load_columns<kWhole>(p.partial + next * 2 * p.width + c, left, term);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) sum[j] += term[j];
  }
  add_to_columns<kWhole>(p.dtable + token * p.width + c, left, sum);
}

// Sorts p.tokens and where they are into scratch, and sets `a` to that.
template <typename T>
void sort_tokens(const TokenEmbedBackward& p, BackwardArguments<T>& a, const ExecContext& ctx) {
  const auto stream = static_cast<cudaStream_t>(ctx.stream);
  const auto count = static_cast<int>(a.rows);
  const int bits = static_cast<int>(std::bit_width(static_cast<uint64_t>(a.vocabulary)));
  const int64_t chunks = ceil_div(a.rows, kChunk);
  cub::DoubleBuffer<uint32_t> keys;
  cub::DoubleBuffer<int32_t> places;
  const auto sort = [&](void* scratch, size_t& bytes) {
    CUCLIP_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(scratch, bytes, keys, places, count, 0, bits, stream));
  };
  size_t bytes = 0;
  sort(nullptr, bytes);
  ScratchPlan plan;
  const auto partial = plan.add<float>(chunks * 2 * a.width);
  const auto key = plan.add<uint32_t>(a.rows), other_key = plan.add<uint32_t>(a.rows);
  const auto place = plan.add<int32_t>(a.rows), other_place = plan.add<int32_t>(a.rows);
  const auto sorting = plan.add<std::byte>(static_cast<int64_t>(bytes));
  plan.reserve(ctx);
  launch({.kernel = "keys_kernel", .grid = {ceil_div(a.rows, kThreads)}, .threads = kThreads}, keys_kernel,
         ctx, p.tokens.as<int32_t>(), a.rows, static_cast<uint32_t>(a.vocabulary), plan[key], plan[place]);
  keys = {plan[key], plan[other_key]};
  places = {plan[place], plan[other_place]};
  sort(plan[sorting], bytes);
  a.tokens = reinterpret_cast<const int32_t*>(keys.Current());
  a.places = places.Current();
  a.partial = plan[partial];
}

template <bool kWhole, typename T>
void launch_forward(const TokenEmbedForward& p, const ExecContext& ctx) {
  const int64_t rows = p.tokens.elements(), width = p.table.size(1);
  launch({.kernel = "token_embed: forward_kernel",
          .grid = {ceil_div(rows * ceil_div(width, kColumns), kThreads)},
          .threads = kThreads},
         forward_kernel<kWhole, T>, ctx, p.tokens.as<int32_t>(), rows, p.tokens.size(1), p.table.size(0),
         width, p.table.as<float>(), p.position.as<float>(), p.out.as<T>());
}

template <bool kWhole, typename T>
void launch_backward(const TokenEmbedBackward& p, const ExecContext& ctx) {
  BackwardArguments<T> a{.dout = p.dout.as<T>(),
                         .dtable = p.dtable.as<float>(),
                         .rows = p.tokens.elements(),
                         .vocabulary = p.dtable.size(0),
                         .width = p.dtable.size(1)};
  if (a.rows == 0 || a.width == 0) return;
  sort_tokens(p, a, ctx);
  const Grid grid{ceil_div(a.rows, kChunk), ceil_div(a.width, kThreads * kColumns)};
  launch({.kernel = "token_embed: runs_kernel", .grid = grid, .threads = kThreads}, runs_kernel<kWhole, T>,
         ctx, a);
  launch({.kernel = "token_embed: long_runs_kernel", .grid = grid, .threads = kThreads},
         long_runs_kernel<kWhole, T>, ctx, a);
  const int64_t length = p.tokens.size(1);
  add_batch_sums<kColumns, kWhole>(a.dout, p.tokens.size(0), length, a.width, length, p.dposition.as<float>(),
                                   ctx);
}

// Calls body(std::bool_constant<whole>, T()).
template <typename Body>
void with_columns(int64_t width, const TensorView& a, const TensorView& b, const TensorView& activations,
                  Body&& body) {
  const bool whole = width % kColumns == 0 && aligned_to(kColumns * sizeof(float), a.data, b.data) &&
                     aligned_to(kColumns * size_of(activations.dtype), activations.data);
  const auto of_type = [&](auto element) {
    whole ? body(std::true_type(), element) : body(std::false_type(), element);
  };
  activations.dtype == DType::f32 ? of_type(float()) : of_type(bfloat16());
}

}  // namespace

void token_embed_forward_cuda(const TokenEmbedForward& p, const ExecContext& ctx) {
  with_columns(p.table.size(1), p.table, p.position, p.out,
               [&]<typename T>(auto whole, T) { launch_forward<decltype(whole)::value, T>(p, ctx); });
}

void token_embed_backward_cuda(const TokenEmbedBackward& p, const ExecContext& ctx) {
  with_columns(p.dtable.size(1), p.dtable, p.dposition, p.dout,
               [&]<typename T>(auto whole, T) { launch_backward<decltype(whole)::value, T>(p, ctx); });
}

}  // namespace cuclip
