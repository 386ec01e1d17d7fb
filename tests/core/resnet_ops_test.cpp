// Gradients through the operations that modified ResNets add: batch norm, average pooling, the mean token and
// attention pooling.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "core/ops.h"
#include "tests/support/buffer.h"

using namespace cuclip;

namespace {

Tensor random_tensor(Context& context, const Shape& shape) {
  std::normal_distribution<float> normal;
  Tensor t = Tensor::empty(context, shape, DType::f32);
  for (int64_t i = 0; i < t.elements(); ++i) t.data<float>()[i] = normal(test::rng());
  return t;
}

struct Problem {
  Context context{2};
  ParameterStore store;

  Parameter& parameter(const char* name, const Shape& shape) {
    return store.add(name, shape, ParameterRole::norm, Initialiser::zeros());
  }
  void allocate() {
    store.allocate(context, {.gradients = true});
    std::normal_distribution<float> normal(1.0f, 0.5f);
    for (Parameter& p : store.parameters()) {
      for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<float>()[i] = normal(test::rng());
    }
  }
};

using Function = std::function<Tensor(Tape&, const std::vector<Tensor>&)>;

// The gradients of sum(function(inputs) * random) with respect to inputs and parameters against central
// differences of five points. f32 rounding of a sum of size 10, 1e-6, times 18 over 12 h is 1e-4; h^4 times a
// fifth derivative, over 30, is less.
void check_gradients(Problem& problem, const std::vector<Tensor>& inputs, const Function& function) {
  Tape tape(problem.context);
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) leaves.push_back(tape.leaf(input));
  const Tensor y = function(tape, leaves);
  const Tensor seed = random_tensor(problem.context, y.shape());
  const Tape::Seed seeds{y, seed};
  const std::vector<Tensor> gradients = tape.backward(std::span(&seeds, 1), leaves);
  const auto objective = [&] {
    Tape silent(problem.context, Tape::Mode::inference);
    const std::vector<float> values = function(silent, inputs).to_floats(), weights = seed.to_floats();
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      sum += static_cast<double>(values[i]) * static_cast<double>(weights[i]);
    }
    return sum;
  };
  const float h = 2e-2f;
  const auto check = [&](const Tensor& values, const Tensor& gradient) {
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& v = values.data<float>()[i];
      const float before = v;
      const auto moved = [&](float by) {
        v = before + by;
        const double result = objective();
        v = before;
        return result;
      };
      const double near = moved(h) - moved(-h), far = moved(2 * h) - moved(-2 * h);
      const double expected = (8 * near - far) / (12.0 * static_cast<double>(h));
      INFO("element " << i << " of " << values.shape().to_string());
      REQUIRE(static_cast<double>(gradient.data<float>()[i]) == Approx(expected).epsilon(1e-3).margin(2e-3));
    }
  };
  for (size_t i = 0; i < inputs.size(); ++i) check(inputs[i], gradients[i]);
  for (Parameter& p : problem.store.parameters()) check(p.value, p.gradient);
}

}  // namespace

TEST_CASE("gradients of batch norm, with and without a residual, match finite differences") {
  for (const bool with_residual : {false, true}) {
    Problem p;
    const ops::BatchNormParameters parameters{p.parameter("w", {3}), p.parameter("b", {3}), {}, {}};
    p.allocate();
    const Tensor x = random_tensor(p.context, {2, 2, 3, 3}),
                 residual = random_tensor(p.context, {2, 2, 3, 3});
    std::vector<Tensor> inputs = {x};
    if (with_residual) inputs.push_back(residual);
    check_gradients(p, inputs, [&](Tape& tape, const std::vector<Tensor>& in) {
      return ops::batch_norm(tape, in[0], parameters, false, with_residual ? in[1] : Tensor());
    });
  }
}

TEST_CASE("gradients of batch norm with a ReLU match finite differences") {
  Problem p;
  const ops::BatchNormParameters parameters{p.parameter("w", {2}), p.parameter("b", {2}), {}, {}};
  p.allocate();
  // A residual of 10 or -10 keeps every element away from the corner of the ReLU.
  const Tensor x = random_tensor(p.context, {7, 2}), residual = Tensor::empty(p.context, {7, 2}, DType::f32);
  for (int64_t i = 0; i < 14; ++i) residual.data<float>()[i] = i % 3 == 0 ? -10.0f : 10.0f;
  check_gradients(p, {x, residual}, [&](Tape& tape, const std::vector<Tensor>& in) {
    return ops::batch_norm(tape, in[0], parameters, true, in[1]);
  });
}

TEST_CASE("gradients of average pooling, the mean token and attention pooling match finite differences") {
  Problem p;
  Parameter& positions = p.parameter("positions", {5, 6});
  p.allocate();
  const Tensor x = random_tensor(p.context, {2, 5, 4, 6}), q = random_tensor(p.context, {2, 3});
  check_gradients(p, {x, q}, [&](Tape& tape, const std::vector<Tensor>& in) {
    const Tensor pooled = ops::avg_pool2d(tape, in[0], 2);
    const Tensor tokens = ops::mean_token(tape, pooled.reshaped({2, 4, 6}), positions);
    return ops::attention_pool(tape, in[1], tokens, 3);
  });
}

TEST_CASE("batch norm moves its running statistics unless told not to") {
  Problem p;
  ops::BatchNormParameters parameters{p.parameter("w", {2}), p.parameter("b", {2}),
                                      Tensor::zeros(p.context, {2}, DType::f32),
                                      Tensor::full(p.context, {2}, 1.0f)};
  p.allocate();
  const Tensor x = Tensor::empty(p.context, {4, 2}, DType::f32);
  x.assign(std::vector<float>{1, 10, 2, 10, 3, 10, 6, 14});  // means 3 and 11, squares around them 14 and 12
  const auto check = [&](const Tensor& statistic, float a, float b) {
    REQUIRE(statistic.data<float>()[0] == Approx(a));
    REQUIRE(statistic.data<float>()[1] == Approx(b));
  };
  Tape tape(p.context);
  ops::batch_norm(tape, x, parameters, true);
  check(parameters.running_mean, 0.3f, 1.1f);
  check(parameters.running_var, 0.9f + 0.1f * 14 / 3, 0.9f + 0.1f * 12 / 3);
  const std::vector<float> mean = parameters.running_mean.to_floats(),
                           var = parameters.running_var.to_floats();
  parameters.update_statistics = false;
  ops::batch_norm(tape, x, parameters, true);
  REQUIRE(parameters.running_mean.to_floats() == mean);
  REQUIRE(parameters.running_var.to_floats() == var);
}

TEST_CASE("a convolution with batch norm by running statistics is a convolution, and then the norm") {
  for (const bool whole : {false, true}) {
    Problem p;
    Parameter& filters = p.parameter("f", {5, 3, 3, 4});
    const ops::BatchNormParameters norm{p.parameter("w", {5}), p.parameter("b", {5}),
                                        random_tensor(p.context, {5}), Tensor::full(p.context, {5}, 0.3f)};
    p.allocate();
    const Tensor x = random_tensor(p.context, {2, 6, 7, 4}),
                 residual = random_tensor(p.context, {2, 6, 7, 5});
    Tape tape(p.context), silent(p.context, Tape::Mode::inference);
    const auto by_running = [&](Tape& t) {
      return ops::conv2d_inference(t, x, filters, 1, 1, norm, whole, whole ? residual : Tensor());
    };
    const auto check = [&] {
      const Tensor y = by_running(silent), sums = ops::conv2d(silent, x, filters, 1, 1);
      for (int64_t i = 0; i < y.elements(); ++i) {
        const int64_t c = i % 5;
        const auto at = [](const Tensor& t, int64_t k) { return static_cast<double>(t.data<float>()[k]); };
        double expected = (at(sums, i) - at(norm.running_mean, c)) / std::sqrt(0.3 + 1e-5);
        expected = expected * at(norm.weight.value, c) + at(norm.bias.value, c);
        if (whole) expected = std::max(0.0, expected + at(residual, i));
        // Sums of 36 products of order 1, scaled by up to 5, in some roundings each.
        REQUIRE(at(y, i) == Approx(expected).margin(1e-4));
      }
    };
    check();
    // As at an evaluation within a training run, weights and statistics are those of now.
    for (int64_t i = 0; i < filters.value.elements(); ++i) filters.value.data<float>()[i] += 0.5f;
    norm.running_mean.data<float>()[1] += 2.0f;
    check();
    REQUIRE_THROWS_WITH(by_running(tape),
                        Catch::StartsWith("conv2d_inference: no gradient goes through running"));
  }
}
