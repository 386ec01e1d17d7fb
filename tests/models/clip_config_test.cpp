#include "models/clip_config.h"

#include <catch2/catch.hpp>

#include "models/clip.h"
#include "models/clip_size.h"

using namespace cuclip;

TEST_CASE("the built-in models have the published numbers of parameters") {
  // Millions, to two digits after the point.
  const std::pair<const char*, double> published[] = {
      {"ViT-B-32", 151.28}, {"ViT-B/16", 149.62}, {"ViT-L-14", 427.62}, {"ViT-L/14@336", 427.94}};
  for (const auto& [name, millions] : published) {
    INFO(name);
    CHECK(static_cast<double>(parameter_count(load_clip_config(name))) / 1e6 ==
          Approx(millions).margin(0.005));
  }
}

TEST_CASE("the parameter count is that of the model that is built") {
  for (const char* name : {"cuclip-tiny", "cuclip-small"}) {
    Context context(1);
    const Clip model(context, load_clip_config(name));
    CHECK(model.parameters().count() == parameter_count(model.config()));
  }
}

TEST_CASE("a configuration survives being written and read") {
  for (const auto& [name, config] : builtin_clip_configs()) {
    CHECK(parse_clip_config(clip_config_json(config), name) == config);
  }
}

TEST_CASE("open_clip's bare model configuration is read, with defaults for what it leaves out") {
  const ClipConfig config = parse_clip_config(
      R"({"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}})",
      "test");
  CHECK(config == load_clip_config("ViT-B-32"));
}

TEST_CASE("configurations that would mean something else are refused by name") {
  const auto parse = [](const char* vision, const char* rest = "") {
    return parse_clip_config(
        fmt::format(R"({{"embed_dim": 8, "vision_cfg": {}, "text_cfg": {{"width": 64, "heads": 2}}{}}})",
                    vision, rest),
        "f.json");
  };
  CHECK_NOTHROW(parse(R"({"width": 64})"));
  CHECK_THROWS_WITH(parse(R"({"layers": [3, 4, 6, 3]})"), Catch::Contains("modified ResNets"));
  CHECK_THROWS_WITH(parse(R"({"timm_model_name": "x"})"), Catch::Contains("unknown key \"timm_model_name\""));
  CHECK_THROWS_WITH(parse(R"({"ls_init_value": 0.1})"), Catch::Contains("ls_init_value"));
  CHECK_THROWS_WITH(parse(R"({"image_size": 30, "patch_size": 8})"),
                    "f.json: image_size 30 is not a multiple of patch_size 8");
  CHECK_THROWS_WITH(parse(R"({"width": "64"})"), Catch::Contains("whole number"));
  CHECK_THROWS_WITH(parse(R"({"width": -64})"), Catch::Contains("whole number"));
  CHECK_THROWS_WITH(parse(R"({"width": 64})", R"(, "custom_text": true)"), Catch::Contains("custom_text"));
  CHECK_THROWS_WITH(parse_clip_config("{", "f.json"), Catch::StartsWith("f.json: not JSON"));
  CHECK_THROWS_WITH(parse_clip_config("[]", "f.json"), "f.json: expected a JSON object, got array");
  CHECK_THROWS_WITH(load_clip_config("ViT-X"), Catch::Contains("ViT-B-32"));
}

TEST_CASE("the work of a forward pass is that of its products") {
  // One block of width 64 over 2 rows: everything after the attention for one row.
  ClipConfig c;
  c.embed_dim = 32;
  c.vision = {.image_size = 8, .patch_size = 8, .width = 64, .layers = 1};
  const double embed = 2 * 64 * 192, qkv = 2 * 2 * 64 * 192, attention = 2 * 2 * 2 * 2 * 64;
  const double out = 2 * 64 * 64, mlp = 2 * 2 * 64 * 256, projection = 2 * 64 * 32;
  CHECK(image_forward_flops(c) == embed + qkv + attention + out + mlp + projection);
}
