// The CPU's convolutions: useful FLOP/s of the forward and of either gradient.
//
//   build/cpu-tests/bench/conv2d_bench --benchmark_filter=forward
//
// matrix_product of kernels_bench is the yardstick.
#include "bench/bench_support.h"
#include "kernels/conv2d/conv2d.h"

namespace cuclip::bench {
namespace {

enum class Pass : uint8_t { forward, folded, data, weights };  // folded: with bias, residual and relu

void conv2d(benchmark::State& state, DType dtype, Pass pass) {
  const int64_t n = state.range(0), side = state.range(1), channels = state.range(2),
                outputs = state.range(3), kernel = state.range(4), stride = state.range(5),
                padding = kernel / 2, out = conv2d_extent(side, kernel, stride, padding);
  Context context;
  const Tensor x = normal(context, {n, side, side, channels}, dtype);
  const Tensor weight = normal(context, {outputs, kernel, kernel, channels}, dtype, 0.05f);
  const Tensor y = normal(context, {n, out, out, outputs}, dtype, 1, 1);
  const Tensor residual = normal(context, y.shape(), dtype, 1, 2);
  const Tensor bias = normal(context, {outputs}, DType::f32);
  const Tensor dweight = Tensor::zeros(context, weight.shape(), DType::f32);
  Conv2dForward forward{.x = x, .weight = weight, .y = y, .stride = stride, .padding = padding};
  if (pass == Pass::folded) {
    forward.bias = bias;
    forward.residual = residual;
    forward.relu = true;
  }
  Conv2dBackward backward{.x = x, .weight = weight, .dy = y, .stride = stride, .padding = padding};
  const Tensor dx = Tensor::zeros(context, x.shape(), dtype);
  if (pass == Pass::data) {
    backward.dx = dx;
  } else {
    backward.dweight = dweight;
  }
  for (auto _ : state) {
    if (pass == Pass::forward || pass == Pass::folded) {
      conv2d_forward(forward, context.exec());
    } else {
      conv2d_backward(backward, context.exec());
    }
  }
  set_rates(state, 2.0 * static_cast<double>(n * out * out * outputs * kernel * kernel * channels), 0);
}

// A small residual network on pictures of 64 pixels: the stem, four stages, the end of a bottleneck.
void sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "side", "Cin", "Cout", "K", "stride"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  b->Args({256, 64, 3, 16, 3, 2})->Args({256, 32, 32, 32, 3, 1})->Args({256, 16, 64, 64, 3, 1});
  b->Args({256, 8, 128, 128, 3, 1})->Args({256, 4, 256, 256, 3, 1})->Args({256, 16, 32, 128, 1, 1});
}
BENCHMARK_CAPTURE(conv2d, forward_f32, DType::f32, Pass::forward)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, forward_bf16, DType::bf16, Pass::forward)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, folded_f32, DType::f32, Pass::folded)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, folded_bf16, DType::bf16, Pass::folded)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, data_f32, DType::f32, Pass::data)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, data_bf16, DType::bf16, Pass::data)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, weights_f32, DType::f32, Pass::weights)->Apply(sizes);
BENCHMARK_CAPTURE(conv2d, weights_bf16, DType::bf16, Pass::weights)->Apply(sizes);

}  // namespace
}  // namespace cuclip::bench

BENCHMARK_MAIN();
