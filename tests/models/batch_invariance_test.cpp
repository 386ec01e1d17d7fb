// labels: threads
// A batch-invariant model gives a picture or a text the same bits in any batch, for any number of threads.
#include <catch2/catch.hpp>

#include "models/inference/encode.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

constexpr int64_t kItems = 65;  // one more than a batch of pictures

// Wide enough for oneDNN to multiply one row by other code than many: of a model that is not batch-invariant
// these cases find other bits.
ClipConfig wide_config() {
  ClipConfig config;
  config.embed_dim = 256;
  config.vision = {.image_size = 32, .patch_size = 8, .width = 256, .layers = 1, .head_width = 64};
  config.text = {.context_length = 16, .vocab_size = 519, .width = 256, .heads = 4, .layers = 1};
  return config;
}

ClipConfig wide_resnet_config() {
  ClipConfig config = wide_config();
  config.vision = {
      .image_size = 64, .patch_size = 32, .width = 16, .layers = 0, .head_width = 64, .stages = {1, 1, 1, 1}};
  return config;
}

struct Items {
  explicit Items(const ClipConfig& config) {
    const auto size = static_cast<size_t>(config.vision.image_size);
    bytes = 3 * size * size;
    pixels.resize(static_cast<size_t>(kItems) * bytes);
    for (uint8_t& byte : pixels) byte = static_cast<uint8_t>(rng()());
    for (int64_t i = 0; i < kItems; ++i) {  // of all lengths
      texts.push_back(std::string(static_cast<size_t>(1 + i % 5), static_cast<char>('a' + i % 26)) + " " +
                      static_cast<char>('f' + i % 20));
    }
  }
  std::vector<float> pictures_from(const ClipModel& model, int64_t first, int64_t count) const {
    const auto begin = static_cast<size_t>(first) * bytes;
    return encode_pixels(model, std::span(pixels).subspan(begin, static_cast<size_t>(count) * bytes))
        .to_floats();
  }
  std::vector<float> texts_from(const ClipModel& model, int64_t first, int64_t count) const {
    return encode_texts(model, tiny_tokenizer(),
                        std::span(texts).subspan(static_cast<size_t>(first), static_cast<size_t>(count)))
        .to_floats();
  }
  size_t bytes = 0;
  std::vector<uint8_t> pixels;
  std::vector<std::string> texts;
};

// Weights that are drawn once, for a model in each context.
struct Weights {
  Weights(const ClipConfig& config, DType dtype)
      : model(context, config, {.dtype = dtype, .batch_invariant = true}) {
    randomise(model);
    model.fix_weights();
  }
  Context context{1};
  ClipModel model;
};

void check_invariant(const ClipConfig& config, DType dtype) {
  const Weights weights(config, dtype);
  const Items items(config);
  const std::vector<float> pictures = items.pictures_from(weights.model, 0, kItems);
  const std::vector<float> texts = items.texts_from(weights.model, 0, kItems);
  const auto part = [&](const std::vector<float>& all, int64_t first, int64_t count) {
    const int64_t width = config.embed_dim;
    return std::vector<float>(all.begin() + first * width, all.begin() + (first + count) * width);
  };
  for (const int threads : {1, 2, 3}) {
    Context context(threads);
    const ClipModel model(context, weights.model);
    for (const int64_t batch : {1, 2, 7, 65}) {
      INFO("threads " << threads << ", batch " << batch);
      const int64_t last = kItems - batch;
      for (const int64_t first : {int64_t{0}, last / 2, last}) {
        REQUIRE((items.pictures_from(model, first, batch) == part(pictures, first, batch)));
        REQUIRE((items.texts_from(model, first, batch) == part(texts, first, batch)));
      }
    }
  }
}

TEST_CASE("the bits of pictures and texts depend on nothing but themselves: vision transformer") {
  for (const DType dtype : {DType::f32, DType::bf16}) check_invariant(wide_config(), dtype);
}

TEST_CASE("the bits of pictures and texts depend on nothing but themselves: ResNet") {
  for (const DType dtype : {DType::f32, DType::bf16}) check_invariant(wide_resnet_config(), dtype);
}

TEST_CASE("batch-invariant features are the others, to roundings, and progress is told batch by batch") {
  Context context(2);
  const Weights weights(tiny_config(), DType::f32);
  ClipModel usual(context, tiny_config());
  usual.parameters().values().assign(weights.model.parameters().values().to_floats());
  const Items items(tiny_config());
  const std::vector<float> expected = items.texts_from(usual, 0, kItems);
  const std::vector<float> actual = items.texts_from(weights.model, 0, kItems);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(1e-5));
  std::vector<int64_t> done;
  encode_pixels(weights.model, items.pixels, [&](int64_t now) { done.push_back(now); });
  CHECK(done == std::vector<int64_t>{64, 65});
}

TEST_CASE("several contexts share weights only once they are fixed") {
  Context context(1), other(1);
  ClipModel model(context, tiny_config());
  CHECK_THROWS_WITH(ClipModel(other, model), Catch::Contains("fix_weights"));
  model.fix_weights();
  CHECK_NOTHROW(ClipModel(other, model));
  CHECK_THROWS_AS(ClipModel(other, model).initialise(1), InputError);
}

}  // namespace
}  // namespace cuclip::test
