#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip::bench {
namespace {

constexpr const char* kNames[] = {"conv2d_forward", "conv2d_data_gradient", "conv2d_weight_gradient"};

std::vector<TensorSpec> tensors(const Convolution& c, ConvolutionPass pass, DType dtype) {
  const Shape x{c.batch, c.side, c.side, c.channels}, weight{c.outputs, c.kernel, c.kernel, c.channels},
      y{c.batch, c.out(), c.out(), c.outputs};
  const float deviation = 1.0f / static_cast<float>(c.kernel);
  switch (pass) {
    case ConvolutionPass::forward:
      return {
          {"x", x, dtype, Fill::normal}, {"weight", weight, dtype, Fill::normal, deviation}, {"y", y, dtype}};
    case ConvolutionPass::data_gradient:
      // x is not read.
      return {{"x", x, dtype, Fill::normal, 1, 0},
              {"weight", weight, dtype, Fill::normal, deviation},
              {"dy", y, dtype, Fill::normal},
              {"dx", x, dtype}};
    case ConvolutionPass::weight_gradient:
      return {{"x", x, dtype, Fill::normal},
              {"weight", weight, dtype, Fill::normal, deviation, 0},
              {"dy", y, dtype, Fill::normal},
              {"dweight", weight, DType::f32, Fill::zeros, 1, 2},
              {"dweight_narrow", weight, dtype, Fill::zeros, 1, 0}};
  }
  return {};
}

void run(const Convolution& c, ConvolutionPass pass, const Tensors& t, const ExecContext& ctx) {
  if (pass == ConvolutionPass::forward) {
    conv2d_forward(
        {.x = t.at("x"), .weight = t.at("weight"), .y = t.at("y"), .stride = c.stride, .padding = c.padding},
        ctx);
    return;
  }
  Conv2dBackward p{
      .x = t.at("x"), .weight = t.at("weight"), .dy = t.at("dy"), .stride = c.stride, .padding = c.padding};
  if (pass == ConvolutionPass::data_gradient) p.dx = t.at("dx");
  if (pass == ConvolutionPass::weight_gradient) p.dweight = t.at("dweight");
  conv2d_backward(p, ctx);
}

/// cuDNN's, and in bf16 the cast of its weight gradient to f32.
Contestant by_cudnn(const Convolution& c, ConvolutionPass pass) {
  CudnnConvolution p{c.batch, c.side, c.side, c.channels, c.outputs, c.kernel, c.stride, c.padding, pass};
  return {.name = "cudnn", .prepare = [p](Lab& lab, const Tensors& first) -> Launch {
            CudnnConvolution problem = p;
            const bool narrow =
                p.pass == ConvolutionPass::weight_gradient && lab.precision == Precision::bf16;
            if (narrow) problem.dweight = "dweight_narrow";
            const Launch launch = cudnn(problem).prepare(lab, first);
            if (!narrow) return launch;
            return [launch, context = lab.context](const Tensors& t) {
              launch(t);
              cast({.x = t.at("dweight_narrow"), .out = t.at("dweight")}, context->exec());
            };
          }};
}

/// Indices into contiguous tensors with the channels last.
struct Places {
  const Convolution& c;
  size_t x(int64_t h, int64_t w, int64_t channel) const {
    return static_cast<size_t>((h * c.side + w) * c.channels + channel);
  }
  size_t y(int64_t h, int64_t w, int64_t output) const {
    return static_cast<size_t>((h * c.out() + w) * c.outputs + output);
  }
  size_t weight(int64_t output, int64_t i, int64_t j, int64_t channel) const {
    return static_cast<size_t>(((output * c.kernel + i) * c.kernel + j) * c.channels + channel);
  }
};

/// body(i, j, h, w) for the pixels (h, w) of the picture that position (row, column) of the result reads.
template <typename Body>
void for_window(const Convolution& c, int64_t row, int64_t column, Body&& body) {
  for (int64_t i = 0; i < c.kernel; ++i) {
    for (int64_t j = 0; j < c.kernel; ++j) {
      const int64_t h = row * c.stride - c.padding + i, w = column * c.stride - c.padding + j;
      if (h >= 0 && h < c.side && w >= 0 && w < c.side) body(i, j, h, w);
    }
  }
}

void compare_forward(const Convolution& c, const Tensors& t, Comparison& comparison) {
  const Places at{c};
  const Doubles weight = all_of(t.at("weight"));
  for (const int64_t n : spread(c.batch, 2)) {
    const Doubles x = row_of(t.at("x"), n), y = row_of(t.at("y"), n);
    for (const int64_t place : spread(c.out() * c.out(), 4)) {
      const int64_t row = place / c.out(), column = place % c.out();
      for (int64_t o = 0; o < c.outputs; ++o) {
        double sum = 0;
        for_window(c, row, column, [&](int64_t i, int64_t j, int64_t h, int64_t w) {
          for (int64_t k = 0; k < c.channels; ++k) sum += x[at.x(h, w, k)] * weight[at.weight(o, i, j, k)];
        });
        comparison.add("y", y[at.y(row, column, o)], sum);
      }
    }
  }
}

void compare_data_gradient(const Convolution& c, const Tensors& t, Comparison& comparison) {
  const Places at{c};
  const Doubles weight = all_of(t.at("weight"));
  for (const int64_t n : spread(c.batch, 2)) {
    const Doubles dy = row_of(t.at("dy"), n), dx = row_of(t.at("dx"), n);
    for (const int64_t place : spread(c.side * c.side, 4)) {
      Doubles expected(static_cast<size_t>(c.channels));
      for (int64_t position = 0; position < c.out() * c.out(); ++position) {
        const int64_t row = position / c.out(), column = position % c.out();
        for_window(c, row, column, [&](int64_t i, int64_t j, int64_t h, int64_t w) {
          if (h * c.side + w != place) return;
          for (int64_t o = 0; o < c.outputs; ++o) {
            for (int64_t k = 0; k < c.channels; ++k) {
              expected[static_cast<size_t>(k)] += dy[at.y(row, column, o)] * weight[at.weight(o, i, j, k)];
            }
          }
        });
      }
      for (int64_t k = 0; k < c.channels; ++k) {
        comparison.add("dx", dx[at.x(place / c.side, place % c.side, k)], expected[static_cast<size_t>(k)]);
      }
    }
  }
}

void compare_weight_gradient(const Convolution& c, const Tensors& t, Comparison& comparison) {
  const Places at{c};
  const Doubles dweight = all_of(t.at("dweight"));
  for (const int64_t o : {int64_t{0}, c.outputs - 1}) {
    const int64_t k = o == 0 ? 0 : c.channels - 1;
    const Doubles dy = column_of(t.at("dy"), o), x = column_of(t.at("x"), k);
    Doubles expected(static_cast<size_t>(c.kernel * c.kernel));
    for (size_t position = 0; position < dy.size(); ++position) {
      const auto p = static_cast<int64_t>(position);
      const int64_t n = p / (c.out() * c.out()), row = p / c.out() % c.out(), column = p % c.out();
      for_window(c, row, column, [&](int64_t i, int64_t j, int64_t h, int64_t w) {
        expected[static_cast<size_t>(i * c.kernel + j)] +=
            dy[position] * x[static_cast<size_t>((n * c.side + h) * c.side + w)];
      });
    }
    for (int64_t i = 0; i < c.kernel * c.kernel; ++i) {
      comparison.add("dweight", dweight[at.weight(o, 0, i, k)], expected[static_cast<size_t>(i)]);
    }
  }
}

}  // namespace

Operation convolution(const Convolution& c, ConvolutionPass pass, Precision precision) {
  return {.name = kNames[static_cast<size_t>(pass)],
          .shape = fmt::format("N{}_S{}_C{}_O{}_K{}_s{}", c.batch, c.side, c.channels, c.outputs, c.kernel,
                               c.stride),
          .precision = precision,
          .flop = 2.0 * static_cast<double>(c.batch * c.out() * c.out()) *
                  static_cast<double>(c.outputs * c.kernel * c.kernel * c.channels),
          .tensors = tensors(c, pass, activation_dtype(precision)),
          .contestants = {ours([=](const Tensors& t, const ExecContext& ctx) { run(c, pass, t, ctx); }),
                          by_cudnn(c, pass)},
          .deviations = [=](const Tensors& t) {
            Comparison comparison;
            if (pass == ConvolutionPass::forward) compare_forward(c, t, comparison);
            if (pass == ConvolutionPass::data_gradient) compare_data_gradient(c, t, comparison);
            if (pass == ConvolutionPass::weight_gradient) compare_weight_gradient(c, t, comparison);
            return comparison.deviations();
          }};
}

}  // namespace cuclip::bench
