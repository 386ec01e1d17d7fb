#include <cmath>
#include <numbers>

#include "bench/cuda/lt_product.h"
#include "bench/cuda/naive.h"
#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "kernels/gemm/gemm.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip::bench {
namespace {

// cuBLASLt's GELU is the one through tanh, which is up to 5e-4 from the one through erf, and its derivative a
// little more.
constexpr double kOtherGelu = 5e-3;

/// x [M, K] times the weight [N, K]: of unit variance.
struct Sizes {
  int64_t m, n, k;
};

Operation operation(const std::string& name, const Sizes& s, Precision precision) {
  return {.name = name,
          .shape = fmt::format("M{}_N{}_K{}", s.m, s.n, s.k),
          .precision = precision,
          .flop = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n * s.k),
          .tensors = {}};
}

float weight_deviation(int64_t k) { return 1.0f / std::sqrt(static_cast<float>(k)); }

double gelu(double z) { return z * 0.5 * (1 + std::erf(z / std::numbers::sqrt2)); }
double gelu_derivative(double z) {
  return 0.5 * (1 + std::erf(z / std::numbers::sqrt2)) +
         z * std::exp(-z * z / 2) * 0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2;
}

/// Calls body(row, column, product) for some rows of a [M, K] and all columns of the weight.
template <typename Body>
void for_some_products(const Tensor& a, const Tensor& weight, bool transposed, Body&& body) {
  const Doubles w = all_of(weight);
  const int64_t k = a.size(1), n = weight.size(transposed ? 0 : 1);
  for (const int64_t row : spread(a.size(0), 4)) {
    const Doubles x = row_of(a, row);
    Doubles sums(static_cast<size_t>(n));
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t i = 0; i < k; ++i) {
        sums[static_cast<size_t>(j)] +=
            x[static_cast<size_t>(i)] * w[static_cast<size_t>(transposed ? j * k + i : i * n + j)];
      }
    }
    body(row, sums);
  }
}

/// y = act(x weightᵀ + bias), with or without the GELU.
struct Forward {
  Sizes s;
  bool activated;

  LtProduct product(DType dtype, LtEpilogue epilogue) const {
    return {
        .m = s.m, .n = s.n, .k = s.k, .in = dtype, .out = dtype, .transpose_b = true, .epilogue = epilogue};
  }
  /// What the activation is of, and the result where there is none.
  const Tensor& z(const Tensors& t) const { return t.at(activated ? "z" : "y"); }

  void ours(const Tensors& t, const ExecContext& ctx) const {
    Gemm p{.a = t.at("x"), .b = t.at("weight"), .c = t.at("y"), .transpose_b = true, .bias = t.at("bias")};
    if (activated) {
      p.activation = Activation::gelu;
      p.pre_activation = t.at("z");
    }
    gemm(p, ctx);
  }

  Launch fused(Lab& lab, const Tensors& first) const {
    const auto operands = [self = *this](const Tensors& t) {
      LtOperands at{t.at("x"), t.at("weight"), t.at("y"), t.at("bias_narrow")};
      if (self.activated) at.aux = t.at("z");
      return at;
    };
    const LtEpilogue epilogue = activated ? LtEpilogue::gelu_aux_bias : LtEpilogue::bias;
    const LtRun run = lt_product(lab, product(first.at("x").dtype(), epilogue), operands(first));
    return [=](const Tensors& t) { run(operands(t)); };
  }

  Launch unfused(Lab& lab, const Tensors& first) const {
    const auto operands = [self = *this](const Tensors& t) {
      return LtOperands{t.at("x"), t.at("weight"), self.z(t)};
    };
    const LtRun run = lt_product(lab, product(first.at("x").dtype(), LtEpilogue::none), operands(first));
    return [=, self = *this, &context = *lab.context](const Tensors& t) {
      run(operands(t));
      naive::add_bias(self.z(t), t.at("bias"), context.exec());
      if (!self.activated) return;
      activation_forward({.x = t.at("z"), .y = t.at("y"), .kind = Activation::gelu}, context.exec());
    };
  }

  std::vector<Deviation> deviations(const Tensors& t) const {
    Comparison comparison;
    const Doubles bias = all_of(t.at("bias"));
    for_some_products(t.at("x"), t.at("weight"), true, [&](int64_t row, const Doubles& sums) {
      const Doubles y = row_of(t.at("y"), row), argument = row_of(z(t), row);
      for (size_t i = 0; i < y.size(); ++i) {
        const double expected = sums[i] + bias[i];
        if (activated) comparison.add("z", argument[i], expected);
        comparison.add("y", y[i], activated ? gelu(expected) : expected);
      }
    });
    return comparison.deviations();
  }
};

Operation forward(const std::string& name, const Forward& f, Precision precision) {
  Operation op = operation(name, f.s, precision);
  const DType dtype = activation_dtype(precision);
  op.tensors = {{"x", {f.s.m, f.s.k}, dtype, Fill::normal},
                {"weight", {f.s.n, f.s.k}, dtype, Fill::normal, weight_deviation(f.s.k)},
                {"bias", {f.s.n}, DType::f32, Fill::normal},
                {"bias_narrow", {f.s.n}, dtype, Fill::derived, 1, 0},  // cuBLASLt's is of the result's type
                {"y", {f.s.m, f.s.n}, dtype}};
  if (f.activated) op.tensors.push_back({"z", {f.s.m, f.s.n}, dtype});
  op.derive = [](const Tensors& t, const ExecContext& ctx) {
    if (t.at("bias_narrow").dtype() == DType::bf16) {
      cast({.x = t.at("bias"), .out = t.at("bias_narrow")}, ctx);
    } else {
      device_copy(ctx.device, t.at("bias_narrow").view().data, t.at("bias").view().data, t.at("bias").bytes(),
                  ctx.stream);
    }
  };
  op.contestants = {
      ours([f](const Tensors& t, const ExecContext& ctx) { f.ours(t, ctx); }),
      {.name = "cublaslt",
       .prepare = [f](Lab& lab, const Tensors& first) { return f.fused(lab, first); },
       .limit = f.activated ? kOtherGelu : 0},
      {.name = "naive", .prepare = [f](Lab& lab, const Tensors& first) { return f.unfused(lab, first); }}};
  op.deviations = [f](const Tensors& t) { return f.deviations(t); };
  return op;
}

}  // namespace

Operation linear_bias(const Tower& t, Precision precision) {
  return forward("linear_bias", {{t.rows(), 3 * t.width, t.width}, false}, precision);
}

Operation linear_gelu(const Tower& t, Precision precision) {
  return forward("linear_gelu", {{t.rows(), 4 * t.width, t.width}, true}, precision);
}

Operation linear_gelu_gradient(const Tower& tower, Precision precision) {
  const Sizes s{tower.rows(), 4 * tower.width, tower.width};
  Operation op = operation("linear_gelu_gradient", s, precision);
  const DType dtype = activation_dtype(precision);
  op.tensors = {{"dy", {s.m, s.k}, dtype, Fill::normal},
                {"weight", {s.k, s.n}, dtype, Fill::normal, weight_deviation(s.k)},
                {"z", {s.m, s.n}, dtype, Fill::normal},
                {"dz", {s.m, s.n}, dtype}};
  const LtProduct product{.m = s.m, .n = s.n, .k = s.k, .in = dtype, .out = dtype};
  const auto operands = [](const Tensors& t) { return LtOperands{t.at("dy"), t.at("weight"), t.at("dz")}; };
  const auto fused_operands = [](const Tensors& t) {
    return LtOperands{.a = t.at("dy"), .b = t.at("weight"), .c = t.at("dz"), .aux = t.at("z")};
  };
  op.contestants = {ours([](const Tensors& t, const ExecContext& ctx) {
                      gemm({.a = t.at("dy"),
                            .b = t.at("weight"),
                            .c = t.at("dz"),
                            .activation = Activation::gelu,
                            .gate = t.at("z")},
                           ctx);
                    }),
                    {.name = "cublaslt",
                     .prepare = [=](Lab& lab, const Tensors& first) -> Launch {
                       LtProduct fused = product;
                       fused.epilogue = LtEpilogue::dgelu;
                       const LtRun run = lt_product(lab, fused, fused_operands(first));
                       return [=](const Tensors& t) { run(fused_operands(t)); };
                     },
                     .limit = kOtherGelu},
                    {.name = "naive", .prepare = [=](Lab& lab, const Tensors& first) -> Launch {
                       const LtRun run = lt_product(lab, product, operands(first));
                       return [=, &context = *lab.context](const Tensors& t) {
                         run(operands(t));
                         activation_backward(
                             {.x = t.at("z"), .dy = t.at("dz"), .dx = t.at("dz"), .kind = Activation::gelu},
                             context.exec());
                       };
                     }}};
  op.deviations = [](const Tensors& t) {
    Comparison comparison;
    for_some_products(t.at("dy"), t.at("weight"), false, [&](int64_t row, const Doubles& sums) {
      const Doubles z = row_of(t.at("z"), row), dz = row_of(t.at("dz"), row);
      for (size_t i = 0; i < dz.size(); ++i) comparison.add("dz", dz[i], sums[i] * gelu_derivative(z[i]));
    });
    return comparison.deviations();
  };
  return op;
}

Operation linear_weight_gradient(const Tower& tower, Precision precision) {
  const Sizes s{tower.rows(), 4 * tower.width, tower.width};
  Operation op = operation("linear_weight_gradient", s, precision);
  const DType dtype = activation_dtype(precision);
  op.tensors = {{"dy", {s.m, s.n}, dtype, Fill::normal},
                {"x", {s.m, s.k}, dtype, Fill::normal},
                {"dweight", {s.n, s.k}, DType::f32, Fill::zeros, 1, 2},
                {"dbias", {s.n}, DType::f32, Fill::zeros, 1, 2}};
  const LtProduct product{
      .m = s.n, .n = s.k, .k = s.m, .in = dtype, .out = DType::f32, .transpose_a = true, .beta = 1.0f};
  const auto operands = [](const Tensors& t, bool fused) {
    LtOperands at{t.at("dy"), t.at("x"), t.at("dweight")};
    if (fused) at.bias = t.at("dbias");
    return at;
  };
  const auto by_cublaslt = [=](bool fused) {
    return [=](Lab& lab, const Tensors& first) -> Launch {
      LtProduct p = product;
      if (fused) p.epilogue = LtEpilogue::bias_gradient;
      const LtRun run = lt_product(lab, p, operands(first, fused));
      return [=, &context = *lab.context](const Tensors& t) {
        run(operands(t, fused));
        if (!fused) naive::column_sums(t.at("dy"), {}, {}, {}, {}, t.at("dbias"), context.exec());
      };
    };
  };
  op.contestants = {
      ours([](const Tensors& t, const ExecContext& ctx) {
        gemm_weight_gradient(
            {.dy = t.at("dy"), .x = t.at("x"), .dweight = t.at("dweight"), .dbias = t.at("dbias")}, ctx);
      }),
      {.name = "cublaslt", .prepare = by_cublaslt(true)},
      {.name = "naive", .prepare = by_cublaslt(false)}};
  op.deviations = [](const Tensors& t) {
    Comparison comparison;
    for (const int64_t column : spread(t.at("x").size(1), 3)) {
      const Doubles x = column_of(t.at("x"), column), dweight = column_of(t.at("dweight"), column);
      for (const int64_t row : spread(t.at("dy").size(1), 3)) {
        const Doubles dy = column_of(t.at("dy"), row);
        double sum = 0, bias = 0;
        for (size_t i = 0; i < x.size(); ++i) {
          sum += x[i] * dy[i];
          bias += dy[i];
        }
        comparison.add("dweight", dweight[static_cast<size_t>(row)], sum);
        comparison.add("dbias", column_of(t.at("dbias"), row)[0], bias);
      }
    }
    return comparison.deviations();
  };
  return op;
}

}  // namespace cuclip::bench
