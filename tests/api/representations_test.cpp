// cuclip/cuclip.h: representations are what features are made of, and hidden states those of the library
// below.
#include <cuclip/cuclip.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "models/clip/clip.h"
#include "models/inference/encode.h"
#include "models/inference/model_source.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

struct Fixture : ModelOnDisk {
  Clip clip = Clip::load(run, {.threads = 2, .device = "cpu"});
  Context context{2};
  LoadedModel below = load_model(context, run);
};

// Rows [N, width] times weight [width, E].
std::vector<float> projected(const Representations& rows, const Parameter& weight) {
  const auto outputs = static_cast<size_t>(weight.shape[1]);
  const float* w = weight.value.data<float>();
  std::vector<float> result;
  for (size_t i = 0; i < rows.count; ++i) {
    for (size_t c = 0; c < outputs; ++c) {
      double sum = 0;
      for (size_t k = 0; k < rows.width; ++k)
        sum += double{rows.values[i * rows.width + k]} * double{w[k * outputs + c]};
      result.push_back(static_cast<float>(sum));
    }
  }
  return result;
}

void check_close(const std::vector<float>& actual, const std::vector<float>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(1e-5));
}

// The pooled rows projected are the projected ones, which with unit length are the features.
void check_chain(const Representations& pooled, const Representations& made, const Features& unit,
                 const Parameter& projection) {
  CHECK(pooled.positions == 1);
  CHECK(made.width == unit.dimensions());
  check_close(made.values, projected(pooled, projection));
  std::vector<float> normalised = made.values;
  double farthest = 0;
  for (size_t i = 0; i < made.count; ++i) {
    double sum = 0;
    for (size_t c = 0; c < made.width; ++c) sum += std::pow(double{made.values[i * made.width + c]}, 2);
    for (size_t c = 0; c < made.width; ++c)
      normalised[i * made.width + c] = static_cast<float>(made.values[i * made.width + c] / std::sqrt(sum));
    farthest = std::max(farthest, std::abs(std::sqrt(sum) - 1));
  }
  CHECK(farthest > 0.01);  // or they would be the features themselves
  check_close(normalised, {unit.values().begin(), unit.values().end()});
}

TEST_CASE_METHOD(Fixture, "pooled rows are projected, and projected ones have their length taken away") {
  ParameterStore& parameters = below.model->parameters();
  const std::vector<std::filesystem::path> files = {picture(1), picture(4)};
  const Representations images = clip.represent_images(files, "pooled");
  CHECK(images.count == 2);
  CHECK(images.width == clip.image_width());
  CHECK(clip.image_width() == 16);
  check_chain(images, clip.represent_images(files, "projected"), clip.encode_images(files),
              parameters.get("visual.proj"));
  const Representations texts = clip.represent_texts({"a", "b c", "d"}, "pooled");
  CHECK(texts.count == 3);
  CHECK(texts.width == clip.text_width());
  CHECK(clip.text_width() == 24);
  check_chain(texts, clip.represent_texts({"a", "b c", "d"}, "projected"),
              clip.encode_texts({"a", "b c", "d"}), parameters.get("text_projection"));
}

TEST_CASE_METHOD(Fixture, "hidden states are those of the layer and with the padding that were asked for") {
  const std::vector<std::string> texts = {"a", "b c"};
  CHECK(clip.context_length() == 7);
  std::vector<std::vector<float>> all;
  for (const TextLayer layer : {TextLayer::last, TextLayer::penultimate}) {
    for (const TextPadding padding : {TextPadding::zero, TextPadding::end}) {
      for (const bool final_norm : {true, false}) {
        const Representations states = clip.hidden_states(texts, {.layer = std::string(word(layer)),
                                                                  .final_norm = final_norm,
                                                                  .padding = std::string(word(padding))});
        CHECK(states.count == 2);
        CHECK(states.positions == 7);
        CHECK(states.width == 24);
        CHECK(states.values == encode_hidden_states(*below.model, below.tokenizer(), texts,
                                                    {.layer = layer, .final_norm = final_norm}, padding)
                                   .to_floats());
        CHECK(std::find(all.begin(), all.end(), states.values) == all.end());
        all.push_back(states.values);
      }
    }
  }
  CHECK(clip.hidden_states(texts).values == all[0]);
}

TEST_CASE_METHOD(Fixture,
                 "words that mean nothing are refused with those that do; of nothing there is nothing") {
  CHECK_THROWS_WITH(clip.represent_texts({"a"}, "hidden"),
                    "kind must be one of unit, projected, pooled, got \"hidden\"");
  CHECK_THROWS_WITH(clip.represent_images({picture(0)}, ""), Contains("kind must be one of"));
  CHECK_THROWS_WITH(clip.hidden_states({"a"}, {.layer = "first"}), Contains("last, penultimate"));
  CHECK_THROWS_WITH(clip.hidden_states({"a"}, {.padding = "one"}), Contains("zero, end"));
  CHECK_THROWS_WITH(clip.represent_texts({"a", ""}, "pooled"), Contains("text 1"));
  CHECK_THROWS_WITH(clip.represent_images({folder / "missing.png"}, "pooled"), Contains("missing.png"));
  CHECK(clip.represent_texts(ListOf<std::string>(), "pooled").values.empty());
  CHECK(clip.hidden_states(ListOf<std::string>()).count == 0);
}

}  // namespace
}  // namespace cuclip::test
