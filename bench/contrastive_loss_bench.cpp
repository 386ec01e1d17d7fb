// The fused contrastive loss against one that materialises S, forward and backward together.
//
//   build/cpu/bench/contrastive_loss_bench
//
// The opponent is as good as it can be with S in memory: the same tiles of oneDNN products and the same
// vector code over them, one f32 matrix N x N for S and its gradient in place (a framework that keeps softmax
// outputs has three). Having S, it needs 6 N^2 D FLOP where the fused loss needs 8; FLOP/s counts 8 for both.
// On a busy machine compare the CPU column, the CPU time of all threads. extra_MiB is what the process grew
// by during one call, beyond inputs, gradients and statistics.
#include <algorithm>
#include <cmath>

#include "bench/bench_support.h"
#include "kernels/contrastive_loss/contrastive_loss.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/gemm/tile_product.h"
#include "tests/cases/contrastive_loss_cases.h"

namespace cuclip::bench {
namespace {

constexpr float kScale = 100.0f;
constexpr int64_t kTile = 256;

struct Problem {
  Problem(Context& context, int64_t n, int64_t d, DType dtype)
      : n(n),
        d(d),
        image(unit_rows(context, n, d, dtype, 1)),
        text(unit_rows(context, n, d, dtype, 2)),
        dimage(Tensor::zeros(context, {n, d}, dtype)),
        dtext(Tensor::zeros(context, {n, d}, dtype)),
        row_lse(Tensor::zeros(context, {n}, DType::f32)),
        column_lse(Tensor::zeros(context, {n}, DType::f32)) {
    for (Tensor* scalar : {&log_scale, &loss, &dloss, &dlog_scale})
      *scalar = Tensor::zeros(context, {1}, DType::f32);
    *log_scale.data<float>() = std::log(kScale);
    *dloss.data<float>() = 1.0f;
  }

  int64_t n, d;
  Tensor image, text, dimage, dtext, row_lse, column_lse, log_scale, loss, dloss, dlog_scale;
};

void fused(const Problem& p, const ExecContext& ctx) {
  contrastive_loss_forward({.image = p.image,
                            .text = p.text,
                            .log_scale = p.log_scale,
                            .loss = p.loss,
                            .row_lse = p.row_lse,
                            .column_lse = p.column_lse},
                           ctx);
  contrastive_loss_backward({.image = p.image,
                             .text = p.text,
                             .log_scale = p.log_scale,
                             .row_lse = p.row_lse,
                             .column_lse = p.column_lse,
                             .dloss = p.dloss,
                             .dimage = p.dimage,
                             .dtext = p.dtext,
                             .dlog_scale = p.dlog_scale},
                            ctx);
}

const void* at(const Tensor& x, int64_t row) { return x.rows(row, 1).view().data; }

// S in memory; then its rows' and columns' statistics; then the gradient over S in place; then two products.
void materialised(Context& context, const Problem& p) {
  const ExecContext ctx = context.exec();
  const int64_t n = p.n, d = p.d, tiles = ceil_div(n, kTile);
  const Tensor s = Tensor::empty(context, {n, n}, DType::f32);
  const auto row_tile = [&](int64_t i) {
    return ProductTile{s.data<float>() + i * n, n, std::min(kTile, n - i), n, kScale};
  };
  parallel_for(ctx, tiles, [&](int64_t tile, int) {
    const int64_t i = tile * kTile;
    tile_product({.a = at(p.image, i),
                  .b = p.text.view().data,
                  .c = s.data<float>() + i * n,
                  .m = std::min(kTile, n - i),
                  .n = n,
                  .k = d,
                  .lda = d,
                  .ldb = d,
                  .ldc = n,
                  .transpose_b = true,
                  .input = p.image.dtype()});
  });
  const Tensor row_sum = Tensor::zeros(context, {n}, DType::f32);
  const Tensor column_max = Tensor::empty(context, {tiles, n}, DType::f32);
  const Tensor column_sum = Tensor::zeros(context, {tiles, n}, DType::f32);
  const Tensor new_max = Tensor::empty(context, {tiles, n}, DType::f32);
  std::fill_n(column_max.data<float>(), tiles * n, kLowestLogit);
  std::fill_n(p.row_lse.data<float>(), n, kLowestLogit);
  parallel_for(ctx, tiles, [&](int64_t tile, int) {
    const int64_t i = tile * kTile;
    add_tile_statistics(row_tile(i), {p.row_lse.data<float>() + i, row_sum.data<float>() + i},
                        {column_max.data<float>() + tile * n, column_sum.data<float>() + tile * n},
                        new_max.data<float>() + tile * n);
  });
  double loss = 0;
  for (int64_t j = 0; j < n; ++j) {
    float max = kLowestLogit, sum = 0;
    for (int64_t t = 0; t < tiles; ++t) max = std::max(max, column_max.data<float>()[t * n + j]);
    for (int64_t t = 0; t < tiles; ++t) {
      sum += column_sum.data<float>()[t * n + j] * std::exp(column_max.data<float>()[t * n + j] - max);
    }
    p.column_lse.data<float>()[j] = max + std::log(sum);
    p.row_lse.data<float>()[j] += std::log(row_sum.data<float>()[j]);
    loss += (p.column_lse.data<float>()[j] + p.row_lse.data<float>()[j]) / 2 -
            kScale * s.data<float>()[j * n + j];
  }
  *p.loss.data<float>() = static_cast<float>(loss / static_cast<double>(n));

  const DType dtype = p.image.dtype();
  const Tensor gradient = dtype == DType::f32 ? s : Tensor::empty(context, {n, n}, dtype);
  parallel_for(ctx, tiles, [&](int64_t tile, int) {
    const int64_t i = tile * kTile;
    gradient_tile({.tile = row_tile(i),
                   .row_lse = p.row_lse.data<float>() + i,
                   .column_lse = p.column_lse.data<float>(),
                   .first_positive = i,
                   .dtype = dtype,
                   .gradient = const_cast<void*>(at(gradient, i)),
                   .gradient_stride = n});
    tile_product({.a = at(gradient, i),
                  .b = p.text.view().data,
                  .c = const_cast<void*>(at(p.dimage, i)),
                  .m = std::min(kTile, n - i),
                  .n = d,
                  .k = n,
                  .lda = n,
                  .ldb = d,
                  .ldc = d,
                  .input = dtype,
                  .output = dtype});
  });
  parallel_for(ctx, tiles, [&](int64_t tile, int) {
    const int64_t j = tile * kTile;
    const char* columns =
        static_cast<const char*>(gradient.view().data) + static_cast<size_t>(j) * size_of(dtype);
    tile_product({.a = columns,
                  .b = p.image.view().data,
                  .c = const_cast<void*>(at(p.dtext, j)),
                  .m = std::min(kTile, n - j),
                  .n = d,
                  .k = n,
                  .lda = n,
                  .ldb = d,
                  .ldc = d,
                  .transpose_a = true,
                  .input = dtype,
                  .output = dtype});
  });
}

void run(benchmark::State& state, DType dtype, bool materialise) {
  auto context = std::make_unique<Context>();
  const Problem p(*context, state.range(0), state.range(1), dtype);
  Context working(context->pool());  // fresh scratch and allocator: what they take is seen
  const auto step = [&](Context& c) { materialise ? materialised(c, p) : fused(p, c.exec()); };
  {
    Context measured(context->pool());
    const MemoryGrowth growth;
    step(measured);
    state.counters["extra_MiB"] = growth.mib();
  }
  state.counters["loss"] = static_cast<double>(*p.loss.data<float>());
  for (auto _ : state) step(working);
  const cases::ContrastiveLossCase c{p.n, p.n, p.d};
  set_rates(state, c.forward_flop() + c.backward_flop(), 0);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "D"})->Args({1024, 256})->Args({4096, 256})->Args({16384, 256});
  b->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
}
BENCHMARK_CAPTURE(run, fused_f32, DType::f32, false)->Apply(sizes);
BENCHMARK_CAPTURE(run, materialised_f32, DType::f32, true)->Apply(sizes);
BENCHMARK_CAPTURE(run, fused_bf16, DType::bf16, false)->Apply(sizes);
BENCHMARK_CAPTURE(run, materialised_bf16, DType::bf16, true)->Apply(sizes);

}  // namespace
}  // namespace cuclip::bench

BENCHMARK_MAIN();
