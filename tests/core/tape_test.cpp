#include "core/tape.h"

#include <catch2/catch.hpp>
#include <cmath>

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

// Two linear layers with a residual and a feed-forward layer: enough for gradients to fork and to meet again.
struct SmallNet {
  Context context{2};
  ParameterStore store;
  Parameter &w, &b;
  ops::MlpParameters mlp;

  SmallNet()
      : w(weight("w", {6, 6})),
        b(bias("b", {6})),
        mlp{weight("fc", {10, 6}), bias("fc_b", {10}), weight("proj", {6, 10}), bias("proj_b", {6})} {
    store.allocate(context, {.gradients = true});
    std::normal_distribution<float> normal(0, 0.5f);
    for (Parameter& p : store.parameters()) {
      for (int64_t i = 0; i < p.value.elements(); ++i) p.value.data<float>()[i] = normal(test::rng());
    }
  }

  Parameter& weight(const char* name, const Shape& shape) {
    return store.add(name, shape, ParameterRole::weight, Initialiser::zeros());
  }
  Parameter& bias(const char* name, const Shape& shape) {
    return store.add(name, shape, ParameterRole::bias, Initialiser::zeros());
  }

  Tensor forward(Tape& tape, const Tensor& x) {
    const Tensor y = ops::linear(tape, x, w, b);
    const Tensor z = ops::add(tape, ops::mlp(tape, y, mlp, Activation::gelu), y);
    return ops::linear(tape, z, w, b);  // the same parameters twice: gradients accumulate
  }

  // Σ weights·forward(x), in double from the f32 outputs.
  double objective(const Tensor& x, const Tensor& weights) {
    Tape tape(context, Tape::Mode::inference);
    const std::vector<float> y = forward(tape, x).to_floats(), c = weights.to_floats();
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y[i]) * static_cast<double>(c[i]);
    return sum;
  }
};

}  // namespace

TEST_CASE("gradients through shared parameters and forks match finite differences") {
  SmallNet net;
  const Tensor x = random_tensor(net.context, {5, 6}), seed = random_tensor(net.context, {5, 6});
  Tape tape(net.context);
  const Tensor leaf = tape.leaf(x);
  const Tensor y = net.forward(tape, leaf);
  const Tape::Seed seeds{y, seed};
  const Tensor dx = tape.backward(std::span(&seeds, 1), std::span(&leaf, 1)).front();

  // Central differences of five points: f32 rounding of the objective, 5e-6, times 18 over 12 h is 4e-4; h⁴
  // times a fifth derivative over 30 is less. Over 200 seeds the gradients were at most 4e-4 off, of up to
  // 40.
  const float h = 2e-2f;
  const auto check = [&](Tensor values, const Tensor& gradient) {
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& v = values.data<float>()[i];
      const float before = v;
      const auto moved = [&](float by) {
        v = before + by;
        const double objective = net.objective(x, seed);
        v = before;
        return objective;
      };
      const double near = moved(h) - moved(-h), far = moved(2 * h) - moved(-2 * h);
      const double expected = (8 * near - far) / (12.0 * static_cast<double>(h));
      REQUIRE(static_cast<double>(gradient.data<float>()[i]) == Approx(expected).epsilon(0).margin(1e-3));
    }
  };
  check(x, dx);
  for (Parameter& p : net.store.parameters()) check(p.value, p.gradient);
}

TEST_CASE("gradients of the contrastive loss with words match finite differences") {
  // Pairs 1 and 4 have the same word, pair 2 has it and another one, pair 0 has none.
  const std::vector<int32_t> sets[] = {{0, 0, 0, 0}, {6, 0, 0, 0}, {6, 0, 3, 0}, {0, 0, 0, 5}, {6, 0, 0, 0}};
  constexpr int64_t kPairs = 5, kWidth = 4;
  Context context(2);
  Tensor words = Tensor::empty(context, {kPairs, 4}, DType::i32);
  for (int64_t i = 0; i < kPairs; ++i) std::copy_n(sets[i].data(), 4, words.data<int32_t>() + 4 * i);
  ParameterStore store;
  Parameter& log_scale = store.add("t", {}, ParameterRole::scale, Initialiser::zeros());
  store.allocate(context, {.gradients = true});
  *log_scale.value.data<float>() = 0.5f;
  const Tensor image = random_tensor(context, {kPairs, kWidth}),
               text = random_tensor(context, {kPairs, kWidth});
  const auto loss = [&](const Tensor& of_words) {
    Tape tape(context, Tape::Mode::inference);
    return static_cast<double>(ops::contrastive_loss(tape, image, text, log_scale, of_words).item());
  };
  REQUIRE(loss(words) < loss(Tensor()) - 1e-3);  // fewer negatives

  Tape tape(context);
  const Tensor leaves[] = {tape.leaf(image), tape.leaf(text)};
  const Tensor recorded = ops::contrastive_loss(tape, leaves[0], leaves[1], log_scale, words);
  const Tensor one = Tensor::empty(context, {1}, DType::f32);
  one.assign(std::vector<float>{1.0f});
  const Tape::Seed seeds{recorded, one};
  const std::vector<Tensor> gradients = tape.backward(std::span(&seeds, 1), leaves);
  // An ulp of the loss, 5e-7 at most below 8, over 2 h is 3e-5; h² times a third derivative, of sums of cubes
  // of features up to 3 and a scale of 1.6, stays below 1e-2.
  const auto check = [&](const Tensor& values, const Tensor& gradient) {
    const float h = 1e-2f;
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& v = values.data<float>()[i];
      const float before = v;
      v = before + h;
      const double above = loss(words);
      v = before - h;
      const double below = loss(words);
      v = before;
      REQUIRE(static_cast<double>(gradient.data<float>()[i]) ==
              Approx((above - below) / (2.0 * static_cast<double>(h))).epsilon(0).margin(1e-2));
    }
  };
  check(image, gradients[0]);
  check(text, gradients[1]);
  check(log_scale.value, log_scale.gradient);
}

TEST_CASE("gradients through two convolutions match finite differences") {
  Context context(2);
  ParameterStore store;
  Parameter& first = store.add("first", {4, 3, 3, 2}, ParameterRole::weight, Initialiser::zeros());
  Parameter& second = store.add("second", {3, 1, 1, 4}, ParameterRole::weight, Initialiser::zeros());
  store.allocate(context, {.gradients = true});
  for (Parameter& p : store.parameters()) p.value.assign(random_tensor(context, p.shape).to_floats());
  const Tensor x = random_tensor(context, {2, 5, 6, 2}), seed = random_tensor(context, {2, 3, 3, 3});
  const auto forward = [&](Tape& tape, const Tensor& in) {
    return ops::conv2d(tape, ops::conv2d(tape, in, first, 2, 1), second, 1, 0);
  };
  const auto objective = [&] {
    Tape tape(context, Tape::Mode::inference);
    const std::vector<float> y = forward(tape, x).to_floats(), c = seed.to_floats();
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y[i]) * static_cast<double>(c[i]);
    return sum;
  };
  // Each weight or pixel is a factor of the objective once: differences are exact but for rounding, 2^-24 of
  // sums of up to 200 terms of some tens in all.
  const auto check = [&](const Tensor& values, const Tensor& gradient) {
    for (int64_t i = 0; i < values.elements(); ++i) {
      float& v = values.data<float>()[i];
      const float before = v;
      v = before + 1;
      const double above = objective();
      v = before - 1;
      const double below = objective();
      v = before;
      REQUIRE(static_cast<double>(gradient.data<float>()[i]) ==
              Approx((above - below) / 2).epsilon(0).margin(1e-3));
    }
  };
  Tape tape(context);
  const Tensor leaf = tape.leaf(x);
  const Tape::Seed seeds{forward(tape, leaf), seed};
  check(x, tape.backward(std::span(&seeds, 1), std::span(&leaf, 1)).front());
  for (Parameter& p : store.parameters()) check(p.value, p.gradient);

  // Of pictures from outside no gradient is wanted: the weights' are the same.
  const std::vector<float> gradients = store.gradients().to_floats();
  store.zero_gradients();
  Tape from_data(context);
  const Tape::Seed seeds_from_data{forward(from_data, x), seed};
  from_data.backward(std::span(&seeds_from_data, 1));
  REQUIRE(store.gradients().to_floats() == gradients);
}

TEST_CASE("a recomputed function gives the same outputs and gradients, bit for bit") {
  SmallNet net;
  const Tensor x = random_tensor(net.context, {5, 6}), seed = random_tensor(net.context, {5, 6});
  std::vector<std::vector<float>> results[2];
  for (int recomputed = 0; recomputed < 2; ++recomputed) {
    net.store.zero_gradients();
    Tape tape(net.context);
    const Tensor leaf = tape.leaf(x);
    const Tensor y = recomputed ? recompute(tape, {leaf},
                                            [&](Tape& t, const std::vector<Tensor>& in) {
                                              return std::vector<Tensor>{net.forward(t, in[0])};
                                            })[0]
                                : net.forward(tape, leaf);
    if (recomputed) REQUIRE(tape.size() == 1);
    const Tape::Seed seeds{y, seed};
    auto& out = results[recomputed];
    out.push_back(y.to_floats());
    out.push_back(tape.backward(std::span(&seeds, 1), std::span(&leaf, 1)).front().to_floats());
    out.push_back(net.store.gradients().to_floats());
  }
  REQUIRE(results[0] == results[1]);
}

TEST_CASE("the backward pass lets saved tensors go as it leaves them") {
  SmallNet net;
  const Tensor x = random_tensor(net.context, {64, 6}), seed = random_tensor(net.context, {64, 6});
  const auto run_backwards = [&](Tape& tape, const Tensor& y) {
    const Tape::Seed seeds{y, seed};
    tape.backward(std::span(&seeds, 1));
  };
  {  // scratch grows once
    Tape tape(net.context);
    run_backwards(tape, net.forward(tape, tape.leaf(x)));
  }
  const size_t before = net.context.allocator().statistics().bytes_in_use;
  size_t after_forward = 0;
  {
    Tape tape(net.context);
    const Tensor y = net.forward(tape, tape.leaf(x));
    after_forward = net.context.allocator().statistics().bytes_in_use;
    run_backwards(tape, y);
    // y is held by this scope, the rest is gone although the tape still exists.
    REQUIRE(y.bytes() % 512 == 0);
    REQUIRE(net.context.allocator().statistics().bytes_in_use == before + y.bytes());
  }
  REQUIRE(after_forward > before + 64 * 6 * 4 * 4);
  REQUIRE(net.context.allocator().statistics().bytes_in_use == before);
}

TEST_CASE("a gradient has the shape that the tensor had on the tape, however it was reshaped") {
  Context context(1);
  Tape tape(context);
  const Tensor leaf = tape.leaf(random_tensor(context, {2, 3}));
  Shape seen;
  Tensor y = Tensor::empty(context, {3, 2}, DType::f32);
  tape.record(y, [&seen, x = leaf.reshaped({6})](Grads& g) {
    seen = g.output().shape();
    g.add(x, g.output());
  });
  const Tape::Seed seeds{y.reshaped({1, 6}), random_tensor(context, {6})};
  const Tensor gradient = tape.backward(std::span(&seeds, 1), std::span(&leaf, 1)).front();
  REQUIRE(seen == Shape{3, 2});
  REQUIRE(gradient.shape() == Shape{2, 3});
}

TEST_CASE("an inference tape records nothing") {
  SmallNet net;
  Tape tape(net.context, Tape::Mode::inference);
  net.forward(tape, random_tensor(net.context, {5, 6}));
  REQUIRE(tape.size() == 0);
  REQUIRE_THROWS_AS(tape.backward(random_tensor(net.context, {1})), InputError);
}
