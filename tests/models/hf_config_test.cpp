#include "models/clip/hf_config.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/clip/hf_preprocessor.h"
#include "tests/support/fnv.h"
#include "tests/support/generated_picture.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;

// The recorded lines (tests/tools/record_hf_config.py) that have this key.
std::vector<json> recorded(const char* key) {
  std::istringstream file(read_file(test_data() + "/hf_config.txt"));
  std::vector<json> lines;
  for (std::string line; std::getline(file, line);) {
    json parsed = json::parse(line);
    if (parsed.contains(key)) lines.push_back(std::move(parsed));
  }
  REQUIRE(lines.size() >= 9);
  return lines;
}

ClipConfig with_preprocessor(const std::string& preprocessor, int image_size) {
  const json config = {{"model_type", "clip"},
                       {"vision_config", {{"image_size", image_size}, {"patch_size", image_size}}}};
  return parse_hf_config(config.dump(), preprocessor, "models/a/config.json");
}

TEST_CASE("a configuration that was written for transformers reads back the same") {
  for (const bool quick_gelu : {false, true}) {
    ClipConfig config = tiny_config();
    config.quick_gelu = quick_gelu;
    config.text.mlp_ratio = 3;
    CHECK(parse_hf_config(hf_config_json(config), "", "config.json") == config);
  }
}

// Some pairs of sizes have a ratio whose product with the width is rounded to below the size.
TEST_CASE("the width of the MLP is intermediate_size, whatever their ratio") {
  for (const auto& [width, size] :
       {std::pair{301, 218}, {1152, 4304}, {333, 1000}, {768, 3072}, {999, 997}, {101, 29}, {7, 61}}) {
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

TEST_CASE(
    "a configuration is what transformers resolves it to, text_config_dict and vision_config_dict too") {
  for (const json& line : recorded("config")) {
    INFO(line.dump());
    json config = line["config"];
    config["model_type"] = "clip";
    const json& expected = line["resolved"];
    const json &text = expected["text"], &vision = expected["vision"];
    if (text["quick_gelu"] != vision["quick_gelu"]) {
      CHECK_THROWS_WITH(parse_hf_config(config.dump(), "", "config.json"), Contains("hidden_act differs"));
      continue;
    }
    const ClipConfig c = parse_hf_config(config.dump(), "", "config.json");
    CHECK(c.embed_dim == expected["embed_dim"]);
    CHECK(c.quick_gelu == text["quick_gelu"]);
    CHECK(json{{"width", c.text.width},
               {"layers", c.text.layers},
               {"heads", c.text.heads},
               {"context_length", c.text.context_length},
               {"vocab_size", c.text.vocab_size},
               {"mlp_width", c.text.mlp_width()},
               {"quick_gelu", c.quick_gelu}} == text);
    CHECK(json{{"width", c.vision.width},
               {"layers", c.vision.layers},
               {"heads", c.vision.heads()},
               {"image_size", c.vision.image_size},
               {"patch_size", c.vision.patch_size},
               {"mlp_width", c.vision.mlp_width()},
               {"quick_gelu", c.quick_gelu}} == vision);
  }
}

TEST_CASE("pictures become what transformers' image processor makes of them, under either configuration") {
  for (const json& line : recorded("preprocessor")) {
    INFO(line["preprocessor"].dump());
    const int size = line["image_size"];
    const ClipConfig config = with_preprocessor(line["preprocessor"].dump(), size);
    for (const char* color : {"black", "white"}) {
      const std::array<float, 3> expected = line[color].get<std::array<float, 3>>();
      for (size_t c = 0; c < 3; ++c) {
        const float value = std::string(color) == "white" ? 1.0f : 0.0f;
        // Two roundings of values up to 4 here, three there.
        CHECK((value - config.mean[c]) / config.stddev[c] == Approx(expected[c]).margin(2e-6));
      }
    }
    const ClipConfig same = parse_clip_config(clip_config_json(config), "open_clip_config.json");
    CHECK(same == config);
    CHECK(with_preprocessor(hf_preprocessor_json(config), size) == config);
    for (const json& recorded_picture : line["pictures"]) {
      INFO(recorded_picture.dump());
      const auto [style, seed, width, height, hash] =
          recorded_picture.get<std::tuple<int, uint32_t, int, int, std::string>>();
      std::vector<uint8_t> pixels(static_cast<size_t>(size) * static_cast<size_t>(size) * 3);
      evaluation_pixels(generated_picture(width, height, style, seed), same.evaluation_transform(), pixels);
      CHECK(fnv1a(pixels) == std::stoull(hash, nullptr, 16));
    }
  }
}

TEST_CASE("preprocessing that is not built in is refused with file, key, value and what is") {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"resample": 0})", "resample = 0 is not built in; it must be 3 (bicubic) or 2 (bilinear)"},
      {R"({"resample": 1})", "resample = 1"},
      {R"({"resample": "bicubic"})", "resample = \"bicubic\""},
      {R"({"do_resize": false})", "do_resize = false is not built in; it must be true"},
      {R"({"do_resize": null})", "do_resize = null"},
      {R"({"size": 256})", R"(size = 256 is not built in; it must be {"shortest_edge": 224})"},
      {R"({"size": "224"})", "size = \"224\""},
      {R"({"size": {"longest_edge": 224}})", R"(size = {"longest_edge":224})"},
      {R"({"size": {"shortest_edge": 224, "longest_edge": 300}})", "size = "},
      {R"({"size": {"height": 224, "width": 448}, "do_center_crop": false})", "size = "},
      {R"({"size": {"height": 224, "width": 224, "shortest_edge": 224}})", "size = "},
      {R"({"size": [224, 224, 224]})", "size = [224,224,224]"},
      {R"({"size": -224})", "size = -224"},
      {R"({"do_center_crop": false})",
       "do_center_crop = false is not built in; it must be true where size is"},
      {R"({"crop_size": 336})",
       R"(crop_size = 336 is not built in; it must be {"height": 224, "width": 224})"},
      {R"({"crop_size": {"height": 224, "width": 100}})", "crop_size = "},
      {R"({"crop_size": {"shortest_edge": 224}})", "crop_size = "},
      {R"({"do_rescale": false})", "do_rescale = false"},
      {R"({"rescale_factor": 0.00784313725490196})", "rescale_factor = 0.00784313725490196 is not built in"},
      {R"({"do_pad": true})", "do_pad = true"},
      {R"({"use_square_size": true})", "use_square_size = true"},
      {R"({"do_normalize": 1})", "do_normalize = 1"},
      {R"({"do_convert_rgb": "yes"})", "do_convert_rgb = \"yes\""},
      {R"({"image_mean": [1, 2]})", "image_mean = [1,2] is not built in; it must be three numbers"},
      {R"({"image_std": [1, "a", 2]})", "image_std = "},
      {R"({"image_std": [1, 0, 2]})", "std must be at least 1e-6"},
      {R"({"image_processor_type": "ViTImageProcessor"})", "image_processor_type = \"ViTImageProcessor\""},
      {R"({"image_processor_type": 3})", "image_processor_type = 3"},
      {R"({"feature_extractor_type": "ViTFeatureExtractor"})", "feature_extractor_type = "},
      {R"([])", "expected a JSON object"},
  };
  for (const auto& [text, mention] : wrong) {
    INFO(text);
    CHECK_THROWS_AS(with_preprocessor(text, 224), InputError);
    CHECK_THROWS_WITH(with_preprocessor(text, 224),
                      Contains("models/a/preprocessor_config.json: ") && Contains(mention));
  }
  // What the file leaves out is 224 pixels for transformers, whatever the model takes.
  CHECK_THROWS_WITH(with_preprocessor("{}", 64),
                    Contains("size is absent, and transformers' default is not built in; it must be "
                             R"({"shortest_edge": 64})"));
  CHECK_THROWS_WITH(with_preprocessor(R"({"size": 64})", 64), Contains("crop_size is absent"));
  CHECK_NOTHROW(with_preprocessor(R"({"size": {"height": 64, "width": 64}, "do_center_crop": false})", 64));
}

TEST_CASE("settings irrelevant to inference are ignored") {
  const ClipConfig plain = parse_hf_config(R"({"model_type": "clip"})", "", "config.json");
  for (
      const char* text :
      {R"({"model_type": "clip", "text_config": {"attention_dropout": 0.5, "eos_token_id": 2, "projection_dim": 7}})",
       R"({"model_type": "clip", "vision_config": {"num_channels": 3, "attention_dropout": 0.1, "dropout": 0.3}})",
       R"({"model_type": "clip", "text_config": {"eos_token_id": 49407}, "logit_scale_init_value": 1, "x": [1]})",
       R"({"model_type": "clip", "text_config": {"vocab_size": 49408}})"}) {
    INFO(text);
    CHECK(parse_hf_config(text, "", "config.json") == plain);
  }
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
      {R"({"model_type": "clip", "vision_config": {"num_channels": 4}})", "vision_config: num_channels 4"},
      {R"({"model_type": "clip", "text_config": {"eos_token_id": 5}})", "eos_token_id 5"},
      // Absent, it is 49407 to transformers, which no text of this vocabulary has.
      {R"({"model_type": "clip", "text_config": {"vocab_size": 1000}})",
       "eos_token_id 49407 (transformers' default) is not built in; it must be 999"},
      {R"({"model_type": "clip", "text_config": {"hidden_act": 5}})", "text_config: hidden_act 5"},
      {R"({"model_type": "clip", "vision_config": {"layer_norm_eps": "x"}})", "layer_norm_eps \"x\""},
      {R"({"model_type": "clip", "text_config_dict": {"hidden_act": "relu"}})",
       "text_config_dict: hidden_act"},
      {R"({"model_type": "clip", "vision_config_dict": [], "vision_config": {}})",
       "vision_config_dict must be"},
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
