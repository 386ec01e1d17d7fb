// labels: threads
#include "kernels/gemm/gemm.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "kernels/gemm/gemm_cublaslt.h"
#include "tests/cases/gemm_cases.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using cases::GemmCase;
using test::Buffer;
using test::TestContext;

namespace {

std::vector<GemmCase> gemm_cases_here() {
  return test::cases_here(cases::gemm_cases(), [](const GemmCase& c) { return c.m * c.n * c.k < 8'000'000; });
}

// Calls body(ctx) with our own kernels, exact and in tf32, and on CUDA with cuBLASLt for what it takes.
template <typename Body>
void for_each_way(Body&& body) {
  TestContext ctx;
  ExecContext exec = ctx;
  body(exec);
  body(test::with_tf32(exec));
  if (!test::on_cuda()) return;
  const std::shared_ptr<CublasLt> cublaslt = make_cublaslt();
  const ProductPolicy policy{.cublaslt = cublaslt.get()};
  exec.products = &policy;
  body(exec);
}

double act(Activation kind, double x) {
  return kind == Activation::gelu ? 0.5 * x * std::erfc(-x / std::sqrt(2.0)) : x / (1 + std::exp(-1.702 * x));
}

double act_slope(Activation kind, double x) {
  const double h = 1e-6;
  return (act(kind, x + h) - act(kind, x - h)) / (2 * h);
}

// As products on this context see them: f32 is rounded in tf32, and the reference multiplies what comes of it
// so that errors are those of the sums alone.
std::vector<double> operand(const Buffer& x, const ExecContext& ctx) {
  std::vector<double> values = x.to_doubles();
  if (product_policy(ctx).tf32 && test::on_cuda() && x.dtype() == DType::f32) {
    for (double& value : values) value = test::to_tf32(value);
  }
  return values;
}

std::vector<double> product(const Buffer& a, const Buffer& b, bool transpose_b, int64_t m, int64_t n,
                            int64_t k, const ExecContext& ctx) {
  const std::vector<double> as = operand(a, ctx), bs = operand(b, ctx);
  std::vector<double> c(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum +=
            as[static_cast<size_t>(i * k + l)] * bs[static_cast<size_t>(transpose_b ? j * k + l : l * n + j)];
      }
      c[static_cast<size_t>(i * n + j)] = sum;
    }
  }
  return c;
}

// Inputs are N(0, 1) and N(0, 1/k): sums are of order 1 and their error below k·u·O(1); 8 leaves room for the
// largest of some 10^5 elements. A result of order 1 to 10 is then rounded to the output's dtype, twice (z,
// then c), and the activations' slopes are at most 1.13.
test::Tolerance tolerance(int64_t k, DType out) {
  return {
      8 * std::sqrt(static_cast<double>(k)) * test::roundoff(DType::f32) + 1e-6 + 2.3 * test::roundoff(out),
      2.3 * test::roundoff(out)};
}

void check_forward(const GemmCase& c, DType in, DType out, bool transpose_b,
                   std::optional<Activation> activation, const ExecContext& ctx) {
  const Buffer a = Buffer::normal({c.m, c.k}, in);
  const Buffer b = Buffer::normal(transpose_b ? Shape{c.n, c.k} : Shape{c.k, c.n}, in, 1 / std::sqrt(c.k));
  const Buffer bias = Buffer::normal({c.n}, DType::f32);
  Buffer z = Buffer::poisoned({c.m, c.n}, out), y = Buffer::poisoned({c.m, c.n}, out);
  gemm({.a = a.view(),
        .b = b.view(),
        .c = y.view(),
        .transpose_b = transpose_b,
        .bias = bias.view(),
        .activation = activation,
        .pre_activation = activation ? z.view() : TensorView()},
       ctx);
  std::vector<double> expected_z = product(a, b, transpose_b, c.m, c.n, c.k, ctx), expected_y;
  for (size_t i = 0; i < expected_z.size(); ++i) {
    expected_z[i] += bias.at(static_cast<int64_t>(i) % c.n);
    expected_y.push_back(activation ? act(*activation, expected_z[i]) : expected_z[i]);
  }
  if (activation) test::expect_close("z", z, expected_z, tolerance(c.k, out));
  test::expect_close("y", y, expected_y, tolerance(c.k, out));
}

}  // namespace

TEST_CASE("gemm with bias and activation matches float64") {
  for_each_way([](const ExecContext& ctx) {
    for (const auto& c : gemm_cases_here()) {
      for (bool transpose_b : {false, true}) {
        check_forward(c, DType::f32, DType::f32, transpose_b, std::nullopt, ctx);
        check_forward(c, DType::f32, DType::f32, transpose_b, Activation::gelu, ctx);
        check_forward(c, DType::bf16, DType::bf16, transpose_b, Activation::quick_gelu, ctx);
        check_forward(c, DType::bf16, DType::bf16, transpose_b, std::nullopt, ctx);
        check_forward(c, DType::bf16, DType::f32, transpose_b, std::nullopt, ctx);
        check_forward(c, DType::bf16, DType::f32, transpose_b, Activation::quick_gelu, ctx);
      }
    }
  });
}

TEST_CASE("gemm without anything after it matches float64") {
  for_each_way([](const ExecContext& ctx) {
    for (const auto& c : gemm_cases_here()) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        const Buffer a = Buffer::normal({c.m, c.k}, dtype);
        const Buffer b = Buffer::normal({c.k, c.n}, dtype, 1 / std::sqrt(c.k));
        Buffer y = Buffer::poisoned({c.m, c.n}, dtype);
        gemm({.a = a.view(), .b = b.view(), .c = y.view()}, ctx);
        test::expect_close("y", y, product(a, b, false, c.m, c.n, c.k, ctx), tolerance(c.k, dtype));
      }
    }
  });
}

TEST_CASE("gemm multiplies by the activation's slope at the gate") {
  for_each_way([](const ExecContext& ctx) {
    for (const auto& c : gemm_cases_here()) {
      for (DType dtype : {DType::f32, DType::bf16}) {
        for (Activation kind : {Activation::gelu, Activation::quick_gelu}) {
          const Buffer a = Buffer::normal({c.m, c.k}, dtype), gate = Buffer::normal({c.m, c.n}, dtype);
          const Buffer b = Buffer::normal({c.k, c.n}, dtype, 1 / std::sqrt(c.k));
          Buffer y = Buffer::poisoned({c.m, c.n}, dtype);
          gemm({.a = a.view(), .b = b.view(), .c = y.view(), .activation = kind, .gate = gate.view()}, ctx);
          std::vector<double> expected = product(a, b, false, c.m, c.n, c.k, ctx);
          for (size_t i = 0; i < expected.size(); ++i)
            expected[i] *= act_slope(kind, gate.at(static_cast<int64_t>(i)));
          test::expect_close("y", y, expected, tolerance(c.k, dtype));
        }
      }
    }
  });
}

namespace {

void check_weight_gradient(const GemmCase& c, const ExecContext& ctx) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Buffer dy = Buffer::normal({c.m, c.n}, dtype), x = Buffer::normal({c.m, c.k}, dtype);
    Buffer dw = Buffer::normal({c.n, c.k}, DType::f32), db = Buffer::normal({c.n}, DType::f32);
    std::vector<double> expected_w = dw.to_doubles(), expected_b = db.to_doubles();
    const std::vector<double> dys = operand(dy, ctx), xs = operand(x, ctx);
    for (size_t j = 0; j < expected_b.size(); ++j) {
      const size_t n = static_cast<size_t>(c.n), k = static_cast<size_t>(c.k);
      for (size_t i = 0; i < static_cast<size_t>(c.m); ++i) {
        expected_b[j] += dys[i * n + j];
        for (size_t l = 0; l < k; ++l) expected_w[j * k + l] += dys[i * n + j] * xs[i * k + l];
      }
    }
    gemm_weight_gradient({.dy = dy.view(), .x = x.view(), .dweight = dw.view(), .dbias = db.view()}, ctx);
    // Sums of m products of N(0, 1): |sum| ~ sqrt(m), error <= m u sqrt(m) at worst.
    const double m = static_cast<double>(c.m) + 1;
    const test::Tolerance t{2 * m * test::roundoff(DType::f32) + 1e-6, 1e-5};
    test::expect_close("dw", dw, expected_w, t);
    test::expect_close("db", db, expected_b, t);
  }
}

}  // namespace

TEST_CASE("gemm weight gradient accumulates into weights and bias") {
  for_each_way([](const ExecContext& ctx) {
    for (const auto& c : gemm_cases_here()) check_weight_gradient(c, ctx);
  });
}

// Of L = <dy, gelu(x·w1ᵀ + bias)·w2>, whose gradient the two layers' backward products give. Differences of
// the forward in float64 at h = 1e-4 are off by h² and by 1e-12; what is compared is the kernels' rounding.
TEST_CASE("gemm gradients match finite differences of the forward") {
  constexpr int64_t m = 9, k = 13, hidden = 17, n = 5;
  const Buffer x = Buffer::normal({m, k}, DType::f32), w1 = Buffer::normal({hidden, k}, DType::f32, 0.3);
  const Buffer bias = Buffer::normal({hidden}, DType::f32), w2 = Buffer::normal({n, hidden}, DType::f32);
  const Buffer dy = Buffer::normal({m, n}, DType::f32);
  const Buffer x_step = Buffer::normal(x.shape(), DType::f32),
               w1_step = Buffer::normal(w1.shape(), DType::f32);
  const Buffer bias_step = Buffer::normal(bias.shape(), DType::f32);

  TestContext ctx;
  Buffer z = Buffer::poisoned({m, hidden}, DType::f32), h = z, dz = z;
  gemm({.a = x.view(),
        .b = w1.view(),
        .c = h.view(),
        .transpose_b = true,
        .bias = bias.view(),
        .activation = Activation::gelu,
        .pre_activation = z.view()},
       ctx);
  gemm({.a = dy.view(), .b = w2.view(), .c = dz.view(), .activation = Activation::gelu, .gate = z.view()},
       ctx);
  Buffer dx = Buffer::poisoned(x.shape(), DType::f32);
  Buffer dw1 = Buffer::zeros(w1.shape(), DType::f32), dbias = Buffer::zeros(bias.shape(), DType::f32);
  gemm({.a = dz.view(), .b = w1.view(), .c = dx.view()}, ctx);
  gemm_weight_gradient({.dy = dz.view(), .x = x.view(), .dweight = dw1.view(), .dbias = dbias.view()}, ctx);

  const auto loss_at = [&](double step) {
    const auto moved = [&](const Buffer& at, const Buffer& by, int64_t i) {
      return at.at(i) + step * by.at(i);
    };
    double loss = 0;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < hidden; ++j) {
        double sum = moved(bias, bias_step, j), slope = 0;
        for (int64_t l = 0; l < k; ++l) sum += moved(x, x_step, i * k + l) * moved(w1, w1_step, j * k + l);
        for (int64_t l = 0; l < n; ++l) slope += dy.at(i * n + l) * w2.at(l * hidden + j);
        loss += slope * act(Activation::gelu, sum);
      }
    }
    return loss;
  };
  double expected = 0, size = 0;
  const auto add = [&](const Buffer& gradient, const Buffer& step) {
    for (int64_t i = 0; i < gradient.elements(); ++i) {
      expected += gradient.at(i) * step.at(i);
      size += std::abs(gradient.at(i) * step.at(i));
    }
  };
  add(dx, x_step);
  add(dw1, w1_step);
  add(dbias, bias_step);
  REQUIRE((loss_at(1e-4) - loss_at(-1e-4)) / 2e-4 == Approx(expected).margin(1e-6 * size));
}

// Whole 16-byte vectors except for one tensor at a time, which starts an element off: results have the
// bits of those of aligned memory.
TEST_CASE("gemm takes memory of any alignment") {
  constexpr int64_t m = 17, n = 24, k = 40;
  for (const auto& [dtype, tf32] :
       {std::pair(DType::f32, false), std::pair(DType::f32, true), std::pair(DType::bf16, false)}) {
    const Buffer a = Buffer::normal({m, k}, dtype), b = Buffer::normal({n, k}, dtype);
    const Buffer bias = Buffer::normal({n}, DType::f32), dy = Buffer::normal({m, n}, dtype);
    const Buffer blank = Buffer::poisoned({m, n}, dtype), before = Buffer::normal({n, k}, DType::f32);
    TestContext test_context;
    ExecContext ctx = test_context;
    if (tf32) ctx = test::with_tf32(ctx);
    const auto run = [&](int odd) {
      const auto place = [&](const Buffer& buffer, int which) {
        return buffer.shifted(which == odd ? 1 : 0);
      };
      const Buffer a_here = place(a, 0), b_here = place(b, 1), bias_here = place(bias, 2);
      const Buffer dy_here = place(dy, 3);
      std::vector<Buffer> out = {place(blank, 4), place(blank, 5), place(before, 6)};
      gemm({.a = a_here.view(),
            .b = b_here.view(),
            .c = out[0].view(),
            .transpose_b = true,
            .bias = bias_here.view(),
            .activation = Activation::gelu,
            .pre_activation = out[1].view()},
           ctx);
      gemm_weight_gradient({.dy = dy_here.view(), .x = a_here.view(), .dweight = out[2].view()}, ctx);
      for (const Buffer& each : out) each.check_guards();
      return out;
    };
    const std::vector<Buffer> expected = run(-1);
    for (int odd = 0; odd < 7; ++odd) {
      const std::vector<Buffer> actual = run(odd);
      for (size_t i = 0; i < expected.size(); ++i) REQUIRE(actual[i].same_bits(expected[i]));
    }
  }
}

TEST_CASE("gemm gives the same bits with any number of threads") {
  for (const auto& [dtype, tf32] :
       {std::pair(DType::f32, false), std::pair(DType::f32, true), std::pair(DType::bf16, false)}) {
    const Buffer dy = Buffer::normal({5000, 40}, dtype), x = Buffer::normal({5000, 24}, dtype);
    const Buffer w = Buffer::normal({40, 24}, dtype);
    REQUIRE(test::same_bits_for_any_thread_count([&, tf32 = tf32](ExecContext ctx) {
      if (tf32) ctx = test::with_tf32(ctx);
      std::vector<Buffer> out = {Buffer::zeros({40, 24}, DType::f32), Buffer::zeros({40}, DType::f32),
                                 Buffer::poisoned({5000, 24}, DType::f32)};
      gemm_weight_gradient({.dy = dy.view(), .x = x.view(), .dweight = out[0].view(), .dbias = out[1].view()},
                           ctx);
      gemm({.a = dy.view(), .b = w.view(), .c = out[2].view()}, ctx);
      return out;
    }));
  }
}

TEST_CASE("gemm refuses wrong shapes, dtypes and combinations") {
  TestContext ctx;
  const Buffer a = Buffer::zeros({4, 8}, DType::f32), b = Buffer::zeros({8, 6}, DType::f32);
  Buffer c = Buffer::zeros({4, 6}, DType::f32);
  const Buffer bias = Buffer::zeros({5}, DType::f32), half = Buffer::zeros({8, 6}, DType::bf16);
  REQUIRE_THROWS_WITH(gemm({.a = a.view(), .b = b.view(), .c = c.view(), .bias = bias.view()}, ctx),
                      "gemm: bias must be [6], got [5]");
  REQUIRE_THROWS_WITH(gemm({.a = a.view(), .b = half.view(), .c = c.view()}, ctx),
                      "gemm: b must be f32, got bf16");
  REQUIRE_THROWS_AS(gemm({.a = a.view(), .b = b.view(), .c = c.view(), .gate = c.view()}, ctx), InputError);
  TensorView strided = a.view();
  strided.strides[0] = 9;
  REQUIRE_THROWS_AS(gemm({.a = strided, .b = b.view(), .c = c.view()}, ctx), InputError);
}
