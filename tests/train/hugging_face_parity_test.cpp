// A folder that transformers wrote (tests/tools/record_hugging_face.py) is a model, with the features that
// transformers computes.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "models/files/safetensors.h"
#include "models/inference/model_source.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

const std::string kFolder = test_data() + "/hugging_face";

std::vector<float> recorded(const Safetensors& file, const std::string& name) {
  std::vector<float> values(static_cast<size_t>(file.find(name)->elements()));
  copy_to_f32(*file.find(name), name, values);
  return values;
}

double largest_difference(const Tensor& actual, const std::vector<float>& expected) {
  const std::vector<float> values = actual.to_floats();
  REQUIRE(values.size() == expected.size());
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    REQUIRE(std::isfinite(values[i]));
    largest = std::max(largest, std::abs(static_cast<double>(values[i]) - expected[i]));
  }
  return largest;
}

Tensor recorded_tokens(Context& context, const Safetensors& file, const std::string& name) {
  const SafetensorsEntry& ids = *file.find(name);
  const Tensor tokens = Tensor::empty(context, {ids.shape[0], ids.shape[1]}, DType::i32);
  REQUIRE(ids.data.size() == tokens.bytes());
  std::memcpy(tokens.data<int32_t>(), ids.data.data(), ids.data.size());
  return tokens;
}

TEST_CASE("a model from transformers has the features that transformers computes") {
  Context context(2);
  const LoadedModel loaded = load_model(context, kFolder);
  const Safetensors expected = Safetensors::open(kFolder + "/expected.safetensors");
  const std::vector<float> images = recorded(expected, "input.images");
  const Tensor tokens = recorded_tokens(context, expected, "input.tokens");
  Tape tape(context, Tape::Mode::inference);
  const Tensor image = loaded.model->encode_image(
      tape, Tensor::from<float>(context, {3, 3, 16, 16}, std::span<const float>(images)));
  // Unit-length features, f32 on both sides, a few hundred roundings of 6e-8 in quadrature.
  CHECK(largest_difference(image, recorded(expected, "output.image")) < 2e-6);
  CHECK(largest_difference(loaded.model->encode_text(tape, tokens), recorded(expected, "output.text")) <
        2e-6);
}

TEST_CASE("hidden states and SDXL's pooled prompt are those of transformers, with either padding") {
  Context context(2);
  const LoadedModel loaded = load_model(context, kFolder);
  const Safetensors expected = Safetensors::open(kFolder + "/hidden_states.safetensors");
  for (const std::string padding : {"zero", "end"}) {
    const Tensor tokens = recorded_tokens(context, expected, padding + ".tokens");
    const auto check = [&](const HiddenStateOptions& options, const std::string& name) {
      INFO(padding << "." << name);
      Tape tape(context, Tape::Mode::inference);
      const Tensor actual = loaded.model->text_hidden_states(tape, tokens, options);
      CHECK(actual.shape() == Shape{2, 9, 24});
      // Values of a few units, f32 on both sides.
      CHECK(largest_difference(actual, recorded(expected, padding + "." + name)) < 2e-5);
    };
    check({}, "last");
    check({.layer = TextLayer::penultimate}, "penultimate_norm");
    check({.layer = TextLayer::penultimate, .final_norm = false}, "penultimate");
    Tape tape(context, Tape::Mode::inference);
    const Tensor projected = loaded.model->text_features(tape, tokens, FeatureKind::projected);
    CHECK(projected.shape()[0] == 2);
    CHECK(largest_difference(projected, recorded(expected, padding + ".projected")) < 2e-5);
  }
}

}  // namespace
}  // namespace cuclip::test
