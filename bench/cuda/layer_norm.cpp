#include "kernels/layer_norm/layer_norm.h"

#include "bench/cuda/naive.h"
#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "tests/support/ref_layer_norm.h"

namespace cuclip::bench {
namespace {

constexpr float kEps = 1e-5f;

Operation operation(const std::string& name, const Tower& t, Precision precision, double flop_an_element) {
  const DType dtype = activation_dtype(precision);
  return {.name = name,
          .shape = fmt::format("R{}_C{}", t.rows(), t.width),
          .precision = precision,
          .flop = flop_an_element * static_cast<double>(t.rows() * t.width),
          .tensors = {{"x", {t.rows(), t.width}, dtype, Fill::normal},
                      {"weight", {t.width}, DType::f32, Fill::normal},
                      {"bias", {t.width}, DType::f32, Fill::normal},
                      {"y", {t.rows(), t.width}, dtype},
                      {"mean", {t.rows()}, DType::f32},
                      {"rstd", {t.rows()}, DType::f32}}};
}

void forward(const Tensors& t, const ExecContext& ctx) {
  cuclip::layer_norm_forward({.x = t.at("x"),
                              .weight = t.at("weight"),
                              .bias = t.at("bias"),
                              .y = t.at("y"),
                              .mean = t.at("mean"),
                              .rstd = t.at("rstd"),
                              .eps = kEps},
                             ctx);
}

std::vector<Deviation> forward_deviations(const Tensors& t) {
  Comparison comparison;
  const Doubles weight = all_of(t.at("weight")), bias = all_of(t.at("bias"));
  for (const int64_t row : spread(t.at("x").size(0), 16)) {
    const auto expected = test::ref_layer_norm(row_of(t.at("x"), row), weight, bias, kEps);
    const Doubles y = row_of(t.at("y"), row);
    for (size_t i = 0; i < y.size(); ++i) comparison.add("y", y[i], expected.y[i]);
    // The mean is near 0: what counts is its error beside the values.
    comparison.add("mean", 1 + row_of(t.at("mean"), row)[0], 1 + expected.mean[0]);
    comparison.add("rstd", row_of(t.at("rstd"), row)[0], expected.rstd[0]);
  }
  return comparison.deviations();
}

// The parameters' gradients are sums over all rows: of a few columns, with the statistics as they were given.
std::vector<Deviation> backward_deviations(const Tensors& t) {
  Comparison comparison;
  const Doubles weight = all_of(t.at("weight"));
  for (const int64_t row : spread(t.at("x").size(0), 16)) {
    const auto expected =
        test::ref_layer_norm_backward(row_of(t.at("dy"), row), row_of(t.at("x"), row), weight, kEps);
    const Doubles dx = row_of(t.at("dx"), row);
    for (size_t i = 0; i < dx.size(); ++i) comparison.add("dx", dx[i], expected.dx[i]);
  }
  const Doubles mean = all_of(t.at("mean")), rstd = all_of(t.at("rstd"));
  for (const int64_t column : spread(t.at("x").size(1), 4)) {
    const Doubles dy = column_of(t.at("dy"), column), x = column_of(t.at("x"), column);
    double dweight = 0, dbias = 0;
    for (size_t row = 0; row < x.size(); ++row) {
      dweight += dy[row] * (x[row] - mean[row]) * rstd[row];
      dbias += dy[row];
    }
    comparison.add("dweight", column_of(t.at("dweight"), column)[0], dweight);
    comparison.add("dbias", column_of(t.at("dbias"), column)[0], dbias);
  }
  return comparison.deviations();
}

}  // namespace

Operation layer_norm_forward(const Tower& tower, Precision precision) {
  Operation op = operation("layer_norm_forward", tower, precision, 8);
  op.contestants = {ours(forward),
                    cudnn(CudnnLayerNorm{tower.rows(), tower.width, false}),
                    {.name = "naive", .prepare = [](Lab& lab, const Tensors&) -> Launch {
                       return [&context = *lab.context](const Tensors& t) {
                         const ExecContext ctx = context.exec();
                         naive::row_mean(t.at("x"), t.at("mean"), ctx);
                         naive::row_rstd(t.at("x"), t.at("mean"), kEps, t.at("rstd"), ctx);
                         naive::normalize(t.at("x"), t.at("mean"), t.at("rstd"), t.at("weight"), t.at("bias"),
                                          t.at("y"), ctx);
                       };
                     }}};
  op.deviations = forward_deviations;
  return op;
}

Operation layer_norm_backward(const Tower& tower, Precision precision) {
  Operation op = operation("layer_norm_backward", tower, precision, 15);
  for (TensorSpec& spec : op.tensors) {
    if (spec.fill == Fill::zeros) spec.fill = Fill::derived;
    if (spec.name == "y" || spec.name == "bias") spec.moved = 0;
  }
  const DType dtype = activation_dtype(precision);
  op.tensors.push_back({"dy", {tower.rows(), tower.width}, dtype, Fill::normal});
  op.tensors.push_back({"dx", {tower.rows(), tower.width}, dtype});
  op.tensors.push_back({"dweight", {tower.width}, DType::f32, Fill::zeros, 1, 2});
  op.tensors.push_back({"dbias", {tower.width}, DType::f32, Fill::zeros, 1, 2});
  op.derive = forward;
  op.contestants = {ours([](const Tensors& t, const ExecContext& ctx) {
                      cuclip::layer_norm_backward({.dy = t.at("dy"),
                                                   .x = t.at("x"),
                                                   .weight = t.at("weight"),
                                                   .mean = t.at("mean"),
                                                   .rstd = t.at("rstd"),
                                                   .dx = t.at("dx"),
                                                   .dweight = t.at("dweight"),
                                                   .dbias = t.at("dbias")},
                                                  ctx);
                    }),
                    cudnn(CudnnLayerNorm{tower.rows(), tower.width, true}),
                    {.name = "naive", .prepare = [](Lab& lab, const Tensors&) -> Launch {
                       return [&context = *lab.context](const Tensors& t) {
                         const ExecContext ctx = context.exec();
                         naive::normalize_backward(t.at("dy"), t.at("x"), t.at("weight"), t.at("mean"),
                                                   t.at("rstd"), t.at("dx"), ctx);
                         naive::column_sums(t.at("dy"), t.at("x"), t.at("mean"), t.at("rstd"),
                                            t.at("dweight"), t.at("dbias"), ctx);
                       };
                     }}};
  op.deviations = backward_deviations;
  return op;
}

}  // namespace cuclip::bench
