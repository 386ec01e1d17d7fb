// The fused contrastive loss against two that materialise S, forward and backward together.
//
//   build/cpu/bench/contrastive_loss_bench
//
// - naive: what a framework does with the loss as it is written: S, S transposed, a softmax over the rows of
//   each, their gradients added, two products. Its softmax is oneDNN's.
// - materialised: as good as it can be with S in memory: the fused loss's tiles of oneDNN products and its
//   vector code over them, one f32 matrix N x N for S and its gradient in place.
//
// words: the fused loss with a set of words for each pair, so that pairs that say the same are left out.
//
// Since they keep S, both need 6 N^2 D FLOP where the fused loss needs 8; FLOP/s counts 8 for all.
// On a busy machine compare the CPU column, the CPU time of all threads. extra_MiB is what the process grew
// by during one call, beyond inputs, gradients and statistics.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>

#include "bench/bench_support.h"
#include "kernels/contrastive_loss/contrastive_loss.h"
#include "kernels/contrastive_loss/contrastive_loss_tile.h"
#include "kernels/tiles/tile_product.h"
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
        column_lse(Tensor::zeros(context, {n}, DType::f32)),
        words(Tensor::zeros(context, {n, 4}, DType::i32)) {
    for (Tensor* scalar : {&log_scale, &loss, &dloss, &dlog_scale})
      *scalar = Tensor::zeros(context, {1}, DType::f32);
    // Captions of up to ten of 1,000 words, two bits each.
    std::mt19937 random(3);
    for (int64_t i = 0; i < n; ++i) {
      std::array<uint32_t, 4> set{};
      for (auto left = 1 + random() % 10; left > 0; --left) {
        std::mt19937 word(static_cast<uint32_t>(random() % 1000));
        for (const auto bit : {word() % 128, word() % 128}) set[bit / 32] |= 1u << bit % 32;
      }
      std::memcpy(words.data<int32_t>() + 4 * i, set.data(), sizeof(set));
    }
    *log_scale.data<float>() = std::log(kScale);
    *dloss.data<float>() = 1.0f;
  }

  int64_t n, d;
  Tensor image, text, dimage, dtext, row_lse, column_lse, words, log_scale, loss, dloss, dlog_scale;
};

void fused(Context& context, const Problem& p, const Tensor& words) {
  const ExecContext ctx = context.exec();
  contrastive_loss_forward({.image = p.image,
                            .text = p.text,
                            .log_scale = p.log_scale,
                            .image_words = words,
                            .text_words = words,
                            .loss = p.loss,
                            .row_lse = p.row_lse,
                            .column_lse = p.column_lse},
                           ctx);
  contrastive_loss_backward({.image = p.image,
                             .text = p.text,
                             .log_scale = p.log_scale,
                             .image_words = words,
                             .text_words = words,
                             .row_lse = p.row_lse,
                             .column_lse = p.column_lse,
                             .dloss = p.dloss,
                             .dimage = p.dimage,
                             .dtext = p.dtext,
                             .dlog_scale = p.dlog_scale},
                            ctx);
}

void plain(Context& context, const Problem& p) { fused(context, p, Tensor()); }
void with_words(Context& context, const Problem& p) { fused(context, p, p.words); }

const void* at(const Tensor& x, int64_t row) { return x.rows(row, 1).view().data; }

// S without its scale, over tiles of rows.
void logits(const ExecContext& ctx, const Problem& p, const Tensor& s) {
  parallel_for(ctx, ceil_div(p.n, kTile), [&](int64_t tile, int) {
    const int64_t i = tile * kTile;
    tile_product({.a = at(p.image, i),
                  .b = p.text.view().data,
                  .c = s.data<float>() + i * p.n,
                  .m = std::min(kTile, p.n - i),
                  .n = p.n,
                  .k = p.d,
                  .lda = p.d,
                  .ldb = p.d,
                  .ldc = p.n,
                  .transpose_b = true,
                  .input = p.image.dtype()});
  });
}

// dimage = gradient text, dtext = gradient^T image.
void products(const ExecContext& ctx, const Problem& p, const Tensor& gradient) {
  const DType dtype = p.image.dtype();
  for (const bool text : {false, true}) {
    parallel_for(ctx, ceil_div(p.n, kTile), [&](int64_t tile, int) {
      const int64_t i = tile * kTile;
      const void* columns =
          static_cast<const char*>(gradient.view().data) + static_cast<size_t>(i) * size_of(dtype);
      tile_product({.a = text ? columns : at(gradient, i),
                    .b = (text ? p.image : p.text).view().data,
                    .c = const_cast<void*>(at(text ? p.dtext : p.dimage, i)),
                    .m = std::min(kTile, p.n - i),
                    .n = p.d,
                    .k = p.n,
                    .lda = p.n,
                    .ldb = p.d,
                    .ldc = p.d,
                    .transpose_a = text,
                    .input = dtype,
                    .output = dtype});
    });
  }
}

// body(i, j) for every element, in blocks that keep a matrix and its transpose in the cache.
template <typename Body>
void for_each_element(const ExecContext& ctx, int64_t n, const Body& body) {
  constexpr int64_t kBlock = 32;
  parallel_for(ctx, ceil_div(n, kBlock), [&](int64_t tile, int) {
    const int64_t first = tile * kBlock, last = std::min(first + kBlock, n);
    for (int64_t block = 0; block < n; block += kBlock) {
      for (int64_t i = first; i < last; ++i) {
        for (int64_t j = block; j < std::min(block + kBlock, n); ++j) body(i, j);
      }
    }
  });
}

// The loss as it is written: cross entropies of scale S and of its transpose, one after the other.
void naive(Context& context, const Problem& p) {
  const ExecContext ctx = context.exec();
  const int64_t n = p.n;
  const Tensor s = Tensor::empty(context, {n, n}, DType::f32),
               st = Tensor::empty(context, {n, n}, DType::f32);
  const Tensor rows = Tensor::empty(context, {n, n}, DType::f32),
               columns = Tensor::empty(context, {n, n}, DType::f32);
  logits(ctx, p, s);
  float *const sp = s.data<float>(), *const stp = st.data<float>();
  for_each_element(ctx, n, [&](int64_t i, int64_t j) { sp[i * n + j] *= kScale; });
  for_each_element(ctx, n, [&](int64_t i, int64_t j) { stp[i * n + j] = sp[j * n + i]; });
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::desc matrix({n, n}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab);
  const dnnl::softmax_forward softmax(
      dnnl::softmax_forward::primitive_desc({dnnl::prop_kind::forward_training, matrix, 1}, engine));
  for (const auto& [from, to] : {std::pair(&s, &rows), std::pair(&st, &columns)}) {
    softmax.execute(stream, {{DNNL_ARG_SRC, dnnl::memory(matrix, engine, from->data<float>())},
                             {DNNL_ARG_DST, dnnl::memory(matrix, engine, to->data<float>())}});
  }
  stream.wait();
  const float *const r = rows.data<float>(), *const c = columns.data<float>();
  double loss = 0;
  for (int64_t i = 0; i < n; ++i) {
    loss -= (std::log(double{r[i * n + i]}) + std::log(double{c[i * n + i]})) / 2;
  }
  *p.loss.data<float>() = static_cast<float>(loss / static_cast<double>(n));

  const Tensor gradient = Tensor::empty(context, {n, n}, p.image.dtype());
  const float factor = kScale / (2.0f * static_cast<float>(n));
  const auto fill = [&](auto* g) {
    for_each_element(ctx, n, [&](int64_t i, int64_t j) {
      const float value = r[i * n + j] + c[j * n + i] - (i == j ? 2.0f : 0.0f);
      g[i * n + j] = std::remove_pointer_t<decltype(g)>(factor * value);
    });
  };
  if (p.image.dtype() == DType::f32) {
    fill(gradient.data<float>());
  } else {
    fill(gradient.data<bfloat16>());
  }
  products(ctx, p, gradient);
}

// S in memory; then its rows' and columns' statistics; then the gradient over S in place; then two products.
void materialised(Context& context, const Problem& p) {
  const ExecContext ctx = context.exec();
  const int64_t n = p.n, tiles = ceil_div(n, kTile);
  const Tensor s = Tensor::empty(context, {n, n}, DType::f32);
  logits(ctx, p, s);
  const auto row_tile = [&](int64_t i) {
    return ProductTile{s.data<float>() + i * n, n, std::min(kTile, n - i), n, kScale};
  };
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
  });
  products(ctx, p, gradient);
}

using Loss = void (*)(Context&, const Problem&);

void run(benchmark::State& state, DType dtype, Loss step) {
  auto context = std::make_unique<Context>();
  const Problem p(*context, state.range(0), state.range(1), dtype);
  Context working(context->pool());  // fresh scratch and allocator: what they take is seen
  {
    Context measured(context->pool());
    const MemoryGrowth growth;
    step(measured, p);
    state.counters["extra_MiB"] = growth.mib();
  }
  state.counters["loss"] = static_cast<double>(*p.loss.data<float>());
  for (auto _ : state) step(working, p);
  const cases::ContrastiveLossCase c{p.n, p.n, p.d};
  set_rates(state, c.forward_flop() + c.backward_flop(), 0);
}

void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "D"})->Args({1024, 256})->Args({4096, 256})->Args({16384, 256});
  b->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();
}
BENCHMARK_CAPTURE(run, fused_f32, DType::f32, plain)->Apply(sizes);
BENCHMARK_CAPTURE(run, words_f32, DType::f32, with_words)->Apply(sizes);
BENCHMARK_CAPTURE(run, materialised_f32, DType::f32, materialised)->Apply(sizes);
BENCHMARK_CAPTURE(run, naive_f32, DType::f32, naive)->Apply(sizes);
BENCHMARK_CAPTURE(run, fused_bf16, DType::bf16, plain)->Apply(sizes);
BENCHMARK_CAPTURE(run, words_bf16, DType::bf16, with_words)->Apply(sizes);
BENCHMARK_CAPTURE(run, materialised_bf16, DType::bf16, materialised)->Apply(sizes);
BENCHMARK_CAPTURE(run, naive_bf16, DType::bf16, naive)->Apply(sizes);

}  // namespace
}  // namespace cuclip::bench

BENCHMARK_MAIN();
