// One optimiser step: gradient accumulation, threads, frozen towers, and batches that cannot be learned from.
#include "train/loop/train_step.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/support/buffer.h"
#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"

using namespace cuclip;

namespace {

constexpr int64_t kBatch = 12;

// A model with weights and a batch that depend on the arguments alone.
struct Trainer {
  Context context;
  ClipModel model;
  Optimizer optimizer;
  MicroBatch batch;

  Trainer(uint64_t seed, int threads, DType dtype, bool recomputation, const OptimizerOptions& options,
          bool lock_image = false, const ClipConfig& config = test::tiny_config())
      : context(threads),
        model(context, config,
              {.dtype = dtype, .training = true, .recomputation = recomputation, .lock_image = lock_image}),
        optimizer(context, model.parameters(), options) {
    test::rng().seed(seed);
    test::randomise(model);
    batch = {test::random_images(context, model.config(), kBatch),
             test::random_tokens(context, model.config(), kBatch)};
  }

  // The batch in pieces of these sizes.
  std::vector<MicroBatch> pieces(const std::vector<int64_t>& sizes) const {
    std::vector<MicroBatch> parts;
    int64_t row = 0;
    for (const int64_t size : sizes) {
      parts.push_back({batch.images.rows(row, size), batch.tokens.rows(row, size)});
      if (batch.words) parts.back().words = batch.words.rows(row, size);
      row += size;
    }
    return parts;
  }
  std::vector<float> weights() const { return model.parameters().values().to_floats(); }
};

Trainer resnet_trainer(uint64_t seed, DType dtype = DType::f32, bool recomputation = false) {
  return Trainer(seed, 2, dtype, recomputation, {}, false, test::tiny_resnet_config());
}

struct Run {
  StepResult result;
  // Adam's first moment after one step is (1 - beta1) times the (clipped) gradient.
  std::vector<float> gradient, weights;
};

struct How {
  int threads = 2;
  DType dtype = DType::f32;
  bool recomputation = false;
  std::vector<int64_t> sizes{kBatch};
  std::vector<int32_t> words{};  // [kBatch, 4]; none: the plain loss
  bool leaves = false;           // the sizes, which are equal, are leaves
  bool recompute_leaves = false;
};

Run run(uint64_t seed, const How& how) {
  Trainer trainer(seed, how.threads, how.dtype, how.recomputation, {.clip_norm = 1.0f});
  SingleCommunicator alone;
  StepLeaves leaves;
  if (how.leaves) {
    leaves = {.count = std::ssize(how.sizes), .recompute = how.recompute_leaves, .ranks = &alone};
  }
  TrainStep step(trainer.model, trainer.optimizer, leaves);
  if (!how.words.empty())
    trainer.batch.words = Tensor::from<int32_t>(trainer.context, {kBatch, 4}, how.words);
  Run out;
  out.result = step.run(trainer.pieces(how.sizes), 1e-3f);
  out.gradient = trainer.optimizer.exp_avg().to_floats();
  out.weights = trainer.weights();
  return out;
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    error += std::pow(static_cast<double>(actual[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error / size);
}

bool same(const Run& a, const Run& b) {
  return a.result.loss == b.result.loss && a.result.gradient_norm == b.result.gradient_norm &&
         a.gradient == b.gradient && a.weights == b.weights;
}

// How far features lie from their mean, as a root mean square.
double spread(const Tensor& features) {
  const std::vector<float> values = features.to_floats();
  const auto rows = static_cast<size_t>(features.size(0)), width = static_cast<size_t>(features.size(1));
  double squares = 0;
  for (size_t c = 0; c < width; ++c) {
    double mean = 0;
    for (size_t r = 0; r < rows; ++r)
      mean += static_cast<double>(values[r * width + c]) / static_cast<double>(rows);
    for (size_t r = 0; r < rows; ++r)
      squares += std::pow(static_cast<double>(values[r * width + c]) - mean, 2);
  }
  return std::sqrt(squares / static_cast<double>(rows));
}

// Of the pictures or the texts, whichever lie closer together.
double smaller_spread(uint64_t seed) {
  Trainer trainer(seed, 2, DType::f32, false, {});
  Tape tape(trainer.context, Tape::Mode::inference);
  return std::min(spread(trainer.model.encode_image(tape, trainer.batch.images)),
                  spread(trainer.model.encode_text(tape, trainer.batch.tokens)));
}

}  // namespace

// Both are the same sums in f32 in another order. The gradient of a feature is a difference of others'
// features, whose rounding errors are some 2^-24 of unit length: relative to what is left when they lie close
// together, as those of a model with random weights do, that is 2^-24 / spread. 200 models had up to 19 times
// that.
TEST_CASE("accumulated gradients are those of the whole batch, with all its negatives") {
  const uint64_t seed = test::rng()();
  const Run whole = run(seed, {});
  const double tolerance = 64 * test::roundoff(DType::f32) / smaller_spread(seed);
  REQUIRE(tolerance < 0.01);  // else the comparison says nothing
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{6, 6}, {5, 1, 6}, {1, 11}, {4, 4, 4}}) {
    const bool leaves = sizes.size() == 3 && sizes[1] == 4;
    const Run parts = run(seed, {.sizes = sizes, .leaves = leaves});
    CHECK(parts.result.loss == Approx(whole.result.loss).epsilon(1e-6));
    CHECK(parts.result.gradient_norm == Approx(whole.result.gradient_norm).epsilon(tolerance));
    CHECK(relative_error(parts.gradient, whole.gradient) <= tolerance);
  }
  // Losses of the pieces on their own would be near ln 6 instead of ln 12.
  CHECK(whole.result.loss > std::log(6.0f));
}

TEST_CASE("pairs whose sets of words contain one another are not contrasted, in whichever batch they are") {
  const uint64_t seed = test::rng()();
  // Sets of one bit each, then two pairs that say the same and one that says more.
  std::vector<int32_t> words(4 * kBatch);
  for (size_t i = 0; i < kBatch; ++i) words[4 * i] = 1 << i;
  const Run plain = run(seed, {}), distinct = run(seed, {.words = words});
  CHECK(same(distinct, plain));
  words[4 * 9] = words[4 * 2];
  words[4 * 11] |= words[4 * 4];
  const Run whole = run(seed, {.words = words});
  CHECK(whole.result.loss < plain.result.loss);
  const Run parts = run(seed, {.sizes = {5, 7}, .words = words});
  CHECK(parts.result.loss == Approx(whole.result.loss).epsilon(1e-6));
  for (const size_t i : {2, 4, 9, 11}) words[4 * i] = 1 << i;
  CHECK(same(run(seed, {.words = words}), plain));
}

TEST_CASE("a training step has the same bits on any number of threads, recomputed or not") {
  const uint64_t seed = test::rng()();
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const std::vector<int64_t> sizes = GENERATE(std::vector<int64_t>{12}, std::vector<int64_t>{7, 5});
  const Run expected = run(seed, {.threads = 1, .dtype = dtype, .sizes = sizes});
  CHECK(same(run(seed, {.threads = 2, .dtype = dtype, .sizes = sizes}), expected));
  CHECK(same(run(seed, {.threads = 3, .dtype = dtype, .recomputation = true, .sizes = sizes}), expected));
  // Leaves are summed in another order.
  const std::vector<int64_t> four{3, 3, 3, 3};
  const Run by_leaves = run(seed, {.threads = 1, .dtype = dtype, .sizes = four, .leaves = true});
  CHECK(
      same(run(seed, {.threads = 2, .dtype = dtype, .sizes = four, .leaves = true, .recompute_leaves = true}),
           by_leaves));
  CHECK_FALSE(same(run(seed, {.threads = 1, .dtype = dtype, .sizes = four}), by_leaves));
}

TEST_CASE("a step reports the norm before clipping and the clamped temperature") {
  Trainer trainer(test::rng()(), 2, DType::f32, false, {.clip_norm = 1e-3f});
  *trainer.model.parameters().get("logit_scale").value.data<float>() = std::log(100.0f) + 0.5f;
  TrainStep step(trainer.model, trainer.optimizer);
  const StepResult result = step.run(trainer.pieces({kBatch}), 1e-4f);
  CHECK(!result.skipped);
  CHECK(result.gradient_norm > 1e-2f);
  CHECK(result.logit_scale == Approx(100.0).epsilon(1e-5));
}

TEST_CASE("a step on the CPU keeps no memory of its own and replays nothing") {
  Trainer trainer(test::rng()(), 1, DType::f32, false, {});
  TrainStep step(trainer.model, trainer.optimizer);
  step.run(trainer.pieces({kBatch}), 1e-3f);
  CHECK(step.memory().bytes_reserved == 0);
  CHECK(step.memory().peak_in_use == 0);
  CHECK(step.replayed() == nullptr);
}

TEST_CASE("a step with a non-finite loss leaves weights, moments and count as they were") {
  Trainer trainer(test::rng()(), 2, DType::f32, false, {});
  TrainStep step(trainer.model, trainer.optimizer);
  step.run(trainer.pieces({kBatch}), 1e-3f);
  float& t = *trainer.model.parameters().get("visual.ln_pre.weight").value.data<float>();
  const float before = t;
  const std::vector<float> moments = trainer.optimizer.exp_avg().to_floats(), weights = trainer.weights();

  t = std::numeric_limits<float>::infinity();
  const StepResult result = step.run(trainer.pieces({7, 5}), 1e-3f);
  t = before;
  CHECK(result.skipped);
  CHECK(trainer.optimizer.steps() == 1);
  CHECK(trainer.weights() == weights);
  CHECK(trainer.optimizer.exp_avg().to_floats() == moments);
  const std::vector<float> gradients = trainer.model.parameters().gradients().to_floats();
  CHECK(std::all_of(gradients.begin(), gradients.end(), [](float g) { return g == 0.0f; }));
  CHECK(!step.run(trainer.pieces({kBatch}), 1e-3f).skipped);
}

TEST_CASE("a ResNet's running statistics count each piece of a batch once, recomputed or not") {
  const uint64_t seed = test::rng()();
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const std::vector<int64_t> sizes = GENERATE(std::vector<int64_t>{12}, std::vector<int64_t>{8, 4});
  Trainer once = resnet_trainer(seed, dtype);
  const std::vector<float> fresh = test::statistics(once.model);
  for (const MicroBatch& piece : once.pieces(sizes)) {
    Tape tape(once.context, Tape::Mode::inference);
    once.model.encode_image(tape, piece.images, Tensor(), BatchStatistics::of_batch);
  }
  const std::vector<float> expected = test::statistics(once.model);
  CHECK(expected != fresh);
  std::vector<float> gradients[2];
  for (const bool recomputation : {false, true}) {
    CAPTURE(name_of(dtype), sizes.size(), recomputation);
    Trainer trainer = resnet_trainer(seed, dtype, recomputation);
    TrainStep step(trainer.model, trainer.optimizer);
    CHECK_FALSE(step.run(trainer.pieces(sizes), 1e-3f).skipped);
    CHECK(test::statistics(trainer.model) == expected);
    gradients[recomputation] = trainer.optimizer.exp_avg().to_floats();
  }
  CHECK(gradients[1] == gradients[0]);
}

TEST_CASE("a skipped step of a ResNet has counted its pictures, and changed nothing else") {
  const uint64_t seed = test::rng()();
  Trainer once = resnet_trainer(seed), trainer = resnet_trainer(seed);
  Tape tape(once.context, Tape::Mode::inference);
  once.model.encode_image(tape, once.batch.images, Tensor(), BatchStatistics::of_batch);
  *trainer.model.parameters().get("ln_final.bias").value.data<float>() =
      std::numeric_limits<float>::infinity();  // in the text encoder: every channel of the pictures is finite
  trainer.model.clamp_logit_scale();
  std::vector<std::vector<float>> before;
  for (const Parameter& p : trainer.model.parameters().parameters()) before.push_back(p.value.to_floats());
  TrainStep step(trainer.model, trainer.optimizer);
  CHECK(step.run(trainer.pieces({kBatch}), 1e-3f).skipped);
  size_t i = 0;
  for (const Parameter& p : trainer.model.parameters().parameters()) {
    INFO(p.name);
    CHECK((p.value.to_floats() == before[i++]) == (p.role != ParameterRole::statistic));
  }
  CHECK(test::statistics(trainer.model) == test::statistics(once.model));
}

TEST_CASE("a locked image encoder is left as it is while the text learns") {
  Trainer trainer(test::rng()(), 2, DType::f32, false, {}, /*lock_image=*/true);
  const ParameterStore& store = trainer.model.parameters();
  std::vector<std::vector<float>> before;
  for (const Parameter& p : store.parameters()) before.push_back(p.value.to_floats());
  TrainStep step(trainer.model, trainer.optimizer);
  CHECK(!step.run(trainer.pieces({8, 4}), 1e-3f).skipped);
  size_t i = 0;
  for (const Parameter& p : store.parameters()) {
    INFO(p.name);
    const bool locked = p.name.starts_with("visual.");
    CHECK((p.value.to_floats() == before[i++]) == locked);
    // Nothing flowed back into it: the optimiser does not zero what it does not train.
    if (locked) CHECK(p.gradient.to_floats() == std::vector<float>(before[i - 1].size(), 0.0f));
  }
}
