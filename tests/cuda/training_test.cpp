// A whole model on CUDA against the same on the CPU: features, loss, every parameter's gradient, training
// steps.
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <random>

#include "tests/support/kernel_test.h"
#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"
#include "train/train_step.h"

using namespace cuclip;

namespace {

constexpr int64_t kBatch = 6;

// A model on a device, with weights and a batch that depend on the seed alone.
struct Twin {
  Context context;
  Clip model;
  Optimizer optimizer;
  MicroBatch batch;

  Twin(Device device, DType dtype, uint64_t seed, bool checkpointing = false)
      : context(2, device),
        model(context, test::tiny_config(),
              {.dtype = dtype, .training = true, .checkpointing = checkpointing}),
        optimizer(context, model.parameters(), {}) {
    test::rng().seed(seed);
    test::randomise(model);
    batch = {test::random_images(context.host(), model.config(), kBatch),
             test::random_tokens(context.host(), model.config(), kBatch)};
  }

  // Every weight by `relative` of itself, up or down.
  void nudge_weights(double relative, uint64_t directions) {
    std::mt19937_64 random(directions);
    for (const Parameter& parameter : model.parameters().parameters()) {
      std::vector<float> values = parameter.value.to_floats();
      for (float& value : values) {
        value = static_cast<float>(double{value} * (1.0 + (random() % 2 ? relative : -relative)));
      }
      parameter.value.assign(values);
    }
    model.parameters().refresh_low(context);
  }
  Tensor image_features() {
    Tape tape(context, Tape::Mode::inference);
    return model.encode_image(tape, batch.images);
  }
  Tensor text_features() {
    Tape tape(context, Tape::Mode::inference);
    return model.encode_text(tape, batch.tokens);
  }
  float loss_and_gradients() {
    Tape tape(context);
    const Tensor loss =
        model.loss(tape, model.encode_image(tape, batch.images), model.encode_text(tape, batch.tokens));
    tape.backward(loss);
    return loss.item();
  }
  std::vector<float> train(int steps) {
    TrainStep step(model, optimizer, false);
    std::vector<float> losses;
    for (int i = 0; i < steps; ++i) losses.push_back(step.run(std::span(&batch, 1), 1e-3f).loss);
    return losses;
  }
};

// |a - b| / |b|, Euclidean.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - double{b[i]}, 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

}  // namespace

TEST_CASE("a model on CUDA has the CPU's features, loss and gradients") {
  if (!test::on_cuda()) return;
  const uint64_t seed = test::rng()();
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  CAPTURE(name_of(dtype));
  // In bf16 the devices round the same values, but add in another order before they do. A random model's
  // gradients can cancel almost wholly: what is asked for is no more than the CPU itself keeps when every
  // weight is moved by one unit in the last place.
  const bool f32 = dtype == DType::f32;
  const double features = f32 ? 2e-6 : 2e-2, gradients = f32 ? 1e-5 : 2e-2, moved = f32 ? 0x1p-23 : 0x1p-8;
  Twin cpu(Device::cpu, dtype, seed), cuda(Device::cuda, dtype, seed);
  CHECK(distance(cuda.image_features().to_floats(), cpu.image_features().to_floats()) < features);
  CHECK(distance(cuda.text_features().to_floats(), cpu.text_features().to_floats()) < features);
  CHECK(cuda.loss_and_gradients() == Approx(cpu.loss_and_gradients()).epsilon(features));
  // The farthest of several such moves: a single one may leave a gradient, of a scalar above all, by chance.
  std::map<std::string, double> sensitivity;
  for (uint64_t move = 1; move <= 8; ++move) {
    Twin nudged(Device::cpu, dtype, seed);
    nudged.nudge_weights(moved, seed + move);
    nudged.loss_and_gradients();
    auto expected = cpu.model.parameters().parameters().begin();
    for (const Parameter& parameter : nudged.model.parameters().parameters()) {
      double& farthest = sensitivity[parameter.name];
      farthest =
          std::max(farthest, distance(parameter.gradient.to_floats(), expected++->gradient.to_floats()));
    }
  }
  auto expected = cpu.model.parameters().parameters().begin();
  for (const Parameter& parameter : cuda.model.parameters().parameters()) {
    CAPTURE(parameter.name);
    const std::vector<float> reference = expected++->gradient.to_floats();
    CHECK(distance(parameter.gradient.to_floats(), reference) <
          std::max(gradients, 5 * sensitivity.at(parameter.name)));
  }
}

TEST_CASE("training on CUDA follows the CPU and repeats itself bit for bit") {
  if (!test::on_cuda()) return;
  const uint64_t seed = test::rng()();
  const bool checkpointing = GENERATE(false, true);
  constexpr int kSteps = 3;
  Twin cpu(Device::cpu, DType::f32, seed, checkpointing), cuda(Device::cuda, DType::f32, seed, checkpointing);
  const std::vector<float> expected = cpu.train(kSteps), losses = cuda.train(kSteps);
  for (size_t i = 0; i < kSteps; ++i) CHECK(losses[i] == Approx(expected[i]).epsilon(1e-5));
  Twin again(Device::cuda, DType::f32, seed, checkpointing);
  CHECK(again.train(kSteps) == losses);
  CHECK(again.model.parameters().values().to_floats() == cuda.model.parameters().values().to_floats());
}

TEST_CASE("accumulated batches on CUDA give the gradients of the whole batch") {
  if (!test::on_cuda()) return;
  const uint64_t seed = test::rng()();
  Twin whole(Device::cuda, DType::f32, seed), parts(Device::cuda, DType::f32, seed);
  const float loss = whole.train(1)[0];
  TrainStep step(parts.model, parts.optimizer, false);
  const MicroBatch& all = parts.batch;
  const std::vector<MicroBatch> pieces = {{all.images.rows(0, 4), all.tokens.rows(0, 4)},
                                          {all.images.rows(4, 2), all.tokens.rows(4, 2)}};
  CHECK(step.run(pieces, 1e-3f).loss == Approx(loss).epsilon(1e-6));
}
