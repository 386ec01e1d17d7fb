#include "models/hf_config.h"

#include <catch2/catch.hpp>

#include "kernels/common/check.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("a configuration that was written for transformers reads back the same") {
  for (const bool quick_gelu : {false, true}) {
    ClipConfig config = tiny_config();
    config.quick_gelu = quick_gelu;
    config.text.mlp_ratio = 3;
    CHECK(parse_hf_config(hf_config_json(config), "", "config.json") == config);
  }
}

// 3.7 % of all pairs of sizes have a ratio in f32 whose product with the width lies below the size.
TEST_CASE("the width of the MLP is intermediate_size, whatever their ratio") {
  for (const auto& [width, size] :
       {std::pair{301, 218}, {1152, 4304}, {333, 1000}, {768, 3072}, {999, 997}}) {
    const std::string text = fmt::format(
        R"({{"model_type": "clip", "text_config": {{"hidden_size": {}, "num_attention_heads": 1, )"
        R"("intermediate_size": {}}}}})",
        width, size);
    CHECK(parse_hf_config(text, "", "config.json").text.mlp_width() == size);
  }
}

TEST_CASE("what a configuration leaves out has transformers' defaults, those of ViT-B/32") {
  const ClipConfig config = parse_hf_config(R"({"model_type": "clip"})", "", "config.json");
  CHECK(config == load_clip_config("ViT-B-32-quickgelu"));
}

TEST_CASE("mean and standard deviation come from the preprocessor's file") {
  const ClipConfig config = parse_hf_config(R"({"model_type": "clip"})",
                                            R"({"image_mean": [0.5, 0.25, 1], "size": 224})", "config.json");
  CHECK(config.mean == std::array<float, 3>{0.5f, 0.25f, 1.0f});
  CHECK(config.stddev == ClipConfig().stddev);
}

TEST_CASE("configurations of other models, and what is not built in, are refused") {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"model_type": "siglip"})", "siglip"},
      {R"({})", "model_type"},
      {R"([])", "config.json"},
      {R"({"model_type": "clip")", "config.json"},
      {R"({"model_type": 3})", "config.json"},
      {R"({"model_type": "clip", "text_config": 3})", "text_config"},
      {R"({"model_type": "clip", "text_config": {"hidden_act": "relu"}})", "relu"},
      {R"({"model_type": "clip", "text_config": {"hidden_act": "gelu"}})", "hidden_act"},
      {R"({"model_type": "clip", "text_config": {"layer_norm_eps": 1e-6}})", "layer_norm_eps"},
      {R"({"model_type": "clip", "text_config": {"hidden_size": 0}})", "hidden_size"},
      {R"({"model_type": "clip", "text_config": {"hidden_size": "x"}})", "hidden_size"},
      {R"({"model_type": "clip", "vision_config": {"num_attention_heads": 7}})", "heads"},
      {R"({"model_type": "clip", "projection_dim": 1e300})", "projection_dim"},
      {R"({"model_type": "clip", "projection_dim": 512.5})", "projection_dim"},
      {R"({"model_type": "clip", "vision_config": {"patch_size": 33}})", "patch_size"},
  };
  for (const auto& [text, mention] : wrong) {
    INFO(text);
    CHECK_THROWS_AS(parse_hf_config(text, "", "config.json"), InputError);
    CHECK_THROWS_WITH(parse_hf_config(text, "", "config.json"), Contains(mention));
  }
  for (const char* preprocessor : {R"({"image_mean": [1]})", R"({"image_mean": [1e300, 0, 0]})"}) {
    CHECK_THROWS_AS(parse_hf_config(R"({"model_type": "clip"})", preprocessor, "x"), InputError);
  }
}

}  // namespace
}  // namespace cuclip::test
