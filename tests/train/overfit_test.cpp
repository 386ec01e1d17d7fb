// Training from nothing, end to end: a small model learns 64 pairs by heart.
#include <catch2/catch.hpp>

#include "tests/support/buffer.h"
#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/train_step.h"

using namespace cuclip;

namespace {

// Pictures of noise with captions of noise share nothing that could be generalised: each pair has to be
// learned. `sizes` are the micro-batches that the pairs go through the encoders in. Returns each step's loss.
std::vector<float> overfit(ClipConfig config, DType dtype, const std::vector<int64_t>& sizes) {
  const int64_t pairs = 64, steps = 130;
  Context context(1);  // shapes this small gain nothing from a second
  config.embed_dim = 40;
  ClipModel model(context, config, {.dtype = dtype, .training = true});
  model.initialise(test::rng()());
  const Tensor images = test::random_images(context, config, pairs);
  const Tensor tokens = test::random_tokens(context, config, pairs);
  std::vector<MicroBatch> batches;
  for (int64_t row = 0; const int64_t size : sizes) {
    batches.push_back({images.rows(row, size), tokens.rows(row, size)});
    row += size;
  }

  Optimizer optimizer(context, model.parameters(), {.clip_norm = 1.0f});
  TrainStep step(model, optimizer);
  const LrSchedule schedule{.peak = 3e-3, .warmup_steps = 10, .total_steps = steps};
  std::vector<float> losses;
  for (int64_t i = 0; i < steps; ++i) {
    const StepResult result = step.run(batches, static_cast<float>(schedule.at(i)));
    REQUIRE(!result.skipped);
    losses.push_back(result.loss);
  }
  return losses;
}

}  // namespace

// It ends near 0.006. A loss of 0.05 needs every pair's cosine far above all 126 others'.
TEST_CASE("64 pairs are learned by heart") {
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const std::vector<int64_t> sizes = GENERATE(std::vector<int64_t>{64}, std::vector<int64_t>{40, 24});
  const ClipConfig config = GENERATE(test::tiny_config(), test::tiny_resnet_config());
  const std::vector<float> losses = overfit(config, dtype, sizes);
  INFO((config.vision.is_resnet() ? "ResNet, " : "transformer, ")
       << name_of(dtype) << " in " << sizes.size() << " micro-batches");
  CHECK(losses.front() > 3.0f);
  CHECK(losses.back() < 0.05f);
}
