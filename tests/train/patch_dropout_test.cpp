// Patch dropout: which tokens are kept, and that the model sees those and no others.
#include "train/loop/patch_dropout.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"
#include "train/loop/train_step.h"

using namespace cuclip;

TEST_CASE("patch dropout keeps the class token and ascending patches, as many for every picture") {
  CHECK(kept_tokens(64, 0.5) == 33);
  CHECK(kept_tokens(49, 0.75) == 13);  // open_clip rounds down
  CHECK(kept_tokens(4, 0.99) == 2);    // at least one patch
  const std::vector<int32_t> tokens = choose_tokens(50, 49, 0.75, 7, 0);
  REQUIRE(tokens.size() == 50 * 13);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i % 13 == 0) CHECK(tokens[i] == 0);
    if (i % 13 != 0) CHECK(tokens[i] > tokens[i - 1]);
    CHECK(tokens[i] <= 49);
  }
}

TEST_CASE("a picture's patches depend only on the seed and its place in the run") {
  const std::vector<int32_t> all = choose_tokens(6, 16, 0.5, 3, 10), tail = choose_tokens(2, 16, 0.5, 3, 14);
  CHECK(std::vector<int32_t>(all.begin() + 4 * 9, all.end()) == tail);
  CHECK(choose_tokens(6, 16, 0.5, 4, 10) != all);
}

TEST_CASE("every patch is kept equally often") {
  constexpr int64_t kPictures = 20'000, kPatches = 9;
  const std::vector<int32_t> tokens = choose_tokens(kPictures, kPatches, 2.0 / 3.0, 11, 0);
  std::vector<double> count(kPatches + 1);
  for (const int32_t token : tokens) count[static_cast<size_t>(token)]++;
  // Binomial with p = 1/3: six standard deviations.
  const double expected = kPictures / 3.0, slack = 6 * std::sqrt(kPictures * (1.0 / 3.0) * (2.0 / 3.0));
  for (size_t patch = 1; patch <= kPatches; ++patch) CHECK(std::abs(count[patch] - expected) < slack);
}

TEST_CASE("the model sees the kept patches and no others") {
  Context context;
  ClipModel model(context, test::tiny_config(), {});
  test::randomise(model);
  const ClipConfig::Vision& v = model.config().vision;
  const int64_t side = v.image_size, columns = side / v.patch_size;
  const Tensor image = test::random_images(context, model.config(), 1);
  const std::vector<int32_t> index = {0, 2};  // the class token and the second patch
  const Tensor kept = Tensor::from<int32_t>(context, {1, 2}, index);
  const auto features = [&](const Tensor& picture, const Tensor& tokens) {
    Tape tape(context, Tape::Mode::inference);
    return model.encode_image(tape, picture, tokens).to_floats();
  };
  const std::vector<float> before = features(image, kept);
  CHECK(before != features(image, Tensor()));
  const auto change = [&](int64_t patch) {
    const int64_t row = patch / columns * v.patch_size, column = patch % columns * v.patch_size;
    image.data<uint8_t>()[(row * side + column) * 3] ^= 0xff;
  };
  change(0);
  CHECK(features(image, kept) == before);
  change(1);
  CHECK(features(image, kept) != before);
}

TEST_CASE("a step that keeps every patch has the bits of one without patch dropout") {
  const auto weights = [](bool all) {
    Context context;
    ClipModel model(context, test::tiny_config(), {.training = true});
    model.initialise(5);
    Optimizer optimizer(context, model.parameters(), {});
    std::vector<uint8_t> pixels(4 * static_cast<size_t>(model.config().vision.image_size) *
                                static_cast<size_t>(model.config().vision.image_size) * 3);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251);
    const int64_t side = model.config().vision.image_size, length = model.config().text.context_length;
    std::vector<int32_t> tokens(static_cast<size_t>(4 * length));
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 13 % 500);
    MicroBatch batch{Tensor::from<uint8_t>(context, {4, side, side, 3}, pixels),
                     Tensor::from<int32_t>(context, {4, length}, tokens)};
    const std::vector<int32_t> kept = choose_tokens(4, model.config().vision.patches(), 0.0, 0, 0);
    if (all) batch.kept = Tensor::from<int32_t>(context, {4, std::ssize(kept) / 4}, kept);
    TrainStep(model, optimizer).run(std::span(&batch, 1), 1e-3f);
    return model.parameters().values().to_floats();
  };
  CHECK(weights(true) == weights(false));
}
