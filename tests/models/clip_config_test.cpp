#include "models/clip/clip_config.h"

#include <catch2/catch.hpp>
#include <tuple>

#include "models/clip/clip.h"
#include "models/clip/clip_size.h"

using namespace cuclip;

TEST_CASE("the built-in models have the published numbers of parameters") {
  // Millions, to two digits after the point.
  const std::pair<const char*, double> published[] = {
      {"ViT-B-32", 151.28}, {"ViT-B/16", 149.62}, {"ViT-L-14", 427.62},  {"ViT-L/14@336", 427.94},
      {"RN50", 102.01},     {"RN101", 119.69},    {"RN50x4", 178.30},    {"RN50x16", 290.98},
      {"RN50x64", 623.26},  {"ViT-H-14", 986.11}, {"ViT-g-14", 1366.68}, {"ViT-bigG-14", 2539.57}};
  for (const auto& [name, millions] : published) {
    INFO(name);
    CHECK(static_cast<double>(parameter_count(load_clip_config(name))) / 1e6 ==
          Approx(millions).margin(0.005));
  }
}

TEST_CASE("the parameter count is that of the model that is built") {
  for (const char* name : {"cuclip-tiny", "cuclip-small", "cuclip-resnet"}) {
    Context context(1);
    const ClipModel model(context, load_clip_config(name));
    CHECK(model.parameters().count() == parameter_count(model.config()));
  }
}

TEST_CASE("a configuration survives being written and read") {
  for (const auto& [name, config] : builtin_clip_configs()) {
    CHECK(parse_clip_config(clip_config_json(config), name) == config);
  }
}

// Of ViT-g-14 and ViT-bigG-14, and of ratios whose product lies within a rounding of a whole number.
TEST_CASE("the width of the MLP is the one that Python computes, also after being written and read") {
  for (const auto& [width, ratio, size] : {std::tuple{1408, "4.3637", 6144},
                                           {1664, "4.9231", 8192},
                                           {10, "2.3", 23},
                                           {100, "1.1", 110},
                                           {100, "0.29", 28}}) {
    const std::string text =
        fmt::format(R"({{"embed_dim": 8, "vision_cfg": {{"width": {0}, "head_width": 1, "mlp_ratio": {1}}},
                         "text_cfg": {{"width": {0}, "heads": 1, "mlp_ratio": {1}}}}})",
                    width, ratio);
    INFO(text);
    const ClipConfig config = parse_clip_config(text, "f.json");
    CHECK(config.vision.mlp_width() == size);
    CHECK(config.text.mlp_width() == size);
    const std::string written = clip_config_json(config);
    CHECK_THAT(written, Catch::Contains(fmt::format("\"mlp_ratio\": {}", ratio)));
    CHECK(parse_clip_config(written, "written") == config);
  }
}

TEST_CASE("open_clip's bare model configuration is read, with defaults for what it leaves out") {
  const ClipConfig config = parse_clip_config(
      R"({"embed_dim": 512, "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}})",
      "test");
  CHECK(config == load_clip_config("ViT-B-32"));
  const ClipConfig resnet = parse_clip_config(
      R"({"embed_dim": 1024,
          "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64, "patch_size": null},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}})",
      "test");
  CHECK(resnet == load_clip_config("RN50"));
}

TEST_CASE("configurations that would mean something else are refused by name") {
  const auto parse = [](const char* vision, const char* rest = "") {
    return parse_clip_config(
        fmt::format(R"({{"embed_dim": 8, "vision_cfg": {}, "text_cfg": {{"width": 64, "heads": 2}}{}}})",
                    vision, rest),
        "f.json");
  };
  CHECK_NOTHROW(parse(R"({"width": 64})"));
  CHECK_THROWS_WITH(parse(R"({"layers": [3, 4, 6]})"), Catch::Contains("or four of them"));
  CHECK_THROWS_WITH(parse(R"({"layers": [3, 4, 6, 0]})"), Catch::Contains("layers must be a whole number"));
  CHECK_THROWS_WITH(parse(R"({"layers": [1, 1, 1, 1], "width": 7})"), Catch::Contains("must be even, got 7"));
  CHECK_THROWS_WITH(parse(R"({"layers": [1, 1, 1, 1], "width": 8, "patch_size": 16})"),
                    Catch::Contains("patch_size = 16 is not built in"));
  CHECK_THROWS_WITH(parse(R"({"layers": [1, 1, 1, 1], "width": 8, "image_size": 100})"),
                    "f.json: image_size 100 is not a multiple of a ResNet's stride 32");
  CHECK_THROWS_WITH(parse(R"({"layers": [1, 1, 1, 1], "width": 2, "head_width": 48})"),
                    "f.json: vision width 2, times 32 = 64, is not a multiple of head_width 48");
  CHECK_THROWS_WITH(parse(R"({"timm_model_name": "x"})"), Catch::Contains("unknown key \"timm_model_name\""));
  CHECK_THROWS_WITH(parse(R"({"ls_init_value": 0.1})"), Catch::Contains("ls_init_value"));
  CHECK_THROWS_WITH(parse(R"({"image_size": 30, "patch_size": 8})"),
                    "f.json: image_size 30 is not a multiple of patch_size 8");
  CHECK_THROWS_WITH(parse(R"({"width": "64"})"), Catch::Contains("whole number"));
  CHECK_THROWS_WITH(parse(R"({"width": -64})"), Catch::Contains("whole number"));
  CHECK_NOTHROW(parse(R"({"width": 64})", R"(, "custom_text": true)"));
  CHECK_THROWS_WITH(parse(R"({"width": 64})", R"(, "custom_text": 1)"), Catch::Contains("custom_text"));
  CHECK_THROWS_WITH(parse_clip_config("{", "f.json"), Catch::StartsWith("f.json: not JSON"));
  CHECK_THROWS_WITH(parse_clip_config("[]", "f.json"), "f.json: expected a JSON object, got array");
  CHECK_THROWS_WITH(load_clip_config("ViT-X"), Catch::Contains("ViT-B-32"));
}

TEST_CASE("values that would overflow or divide by zero are refused by name") {
  const auto parse = [](const char* vision, const char* text, const char* embed = "8") {
    return parse_clip_config(
        fmt::format(R"({{"embed_dim": {}, "vision_cfg": {}, "text_cfg": {}}})", embed, vision, text),
        "f.json");
  };
  CHECK_NOTHROW(parse("{}", "{}"));
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {R"({"image_size": 1000000000, "patch_size": 1})", "{}", "f.json: vision image_size must be 1 to 8192"},
      {R"({"image_size": 224, "patch_size": 448})", "{}", "patch_size must be 1 to 224, got 448"},
      {R"({"width": 1000000000})", "{}", "vision width must be 1 to 32768, got 1000000000"},
      {R"({"width": 99999999999999999999})", "{}", "width must be a whole number"},
      {R"({"layers": 5000})", "{}", "vision layers must be 1 to 1024"},
      {R"({"layers": 0})", "{}", "layers must be a whole number from 1 to"},
      {R"({"width": 64, "head_width": 128})", "{}", "head_width must be 1 to 64, got 128"},
      {R"({"mlp_ratio": 0})", "{}", "mlp_ratio must be above 0"},
      {R"({"mlp_ratio": -4})", "{}", "mlp_ratio must be above 0"},
      {R"({"mlp_ratio": 1e300})", "{}", "mlp_ratio must be a number"},
      {R"({"mlp_ratio": 0.001})", "{}", "mlp_ratio must be 1 to"},
      {"{}", R"({"context_length": 1})", "context_length must be 2 to 65536, got 1"},
      {"{}", R"({"vocab_size": 2})", "vocab_size must be 3 to 16777216, got 2"},
      {"{}", R"({"width": 100, "heads": 8})", "text width 100 is not a multiple of its 8 heads"},
      {"{}", R"({"heads": 1e1})", "heads must be a whole number"},
      {"[]", "{}", "vision_cfg: expected a JSON object, got array"},
      {"{}", "7", "text_cfg: expected a JSON object, got number"},
  };
  for (const auto& [vision, text, message] : cases) {
    INFO(message);
    CHECK_THROWS_WITH(parse(vision, text), Catch::Contains(message));
    CHECK_THROWS_AS(parse(vision, text), InputError);
  }
  CHECK_THROWS_WITH(parse("{}", "{}", "null"), Catch::Contains("expected open_clip's configuration"));
  CHECK_THROWS_WITH(parse("{}", "{}", "1.5"), Catch::Contains("embed_dim must be a whole number"));
}

TEST_CASE("open_clip's form with preprocessing is read, and nulls are as good as nothing") {
  const ClipConfig config = parse_clip_config(
      R"({"model_cfg": {"embed_dim": 64, "quick_gelu": true, "custom_text": false, "init_logit_bias": null,
            "vision_cfg": {"width": 80, "head_width": 40, "timm_model_name": null}, "text_cfg": {}},
          "preprocess_cfg": {"mean": [0, 0.5, 0.5], "std": [1, 0.5, 0.5], "interpolation": "bicubic"}})",
      "test");
  CHECK(config.quick_gelu);
  CHECK(config.vision.heads() == 2);
  CHECK(config.vision.patch_size == 16);  // open_clip's default
  CHECK(config.mean == std::array<float, 3>{0.0f, 0.5f, 0.5f});
  CHECK(config.stddev == std::array<float, 3>{1.0f, 0.5f, 0.5f});
  const auto with = [](const char* preprocessing) {
    return fmt::format(
        R"({{"model_cfg": {{"embed_dim": 8, "vision_cfg": {{}}, "text_cfg": {{}}}}, "preprocess_cfg": {}}})",
        preprocessing);
  };
  CHECK_NOTHROW(parse_clip_config(with("{}"), "f"));
  CHECK_THROWS_WITH(parse_clip_config(with(R"({"std": [1, 0, 1]})"), "f"),
                    Catch::Contains("std must be at least 1e-6"));
  CHECK_THROWS_WITH(parse_clip_config(with(R"({"mean": [1, 0]})"), "f"), Catch::Contains("three numbers"));
  const std::pair<const char*, const char*> not_built_in[] = {
      {R"({"interpolation": "nearest"})",
       R"(interpolation = "nearest" is not built in; it must be absent or one of bicubic, bilinear)"},
      {R"({"interpolation": "random"})", R"(interpolation = "random" is not built in)"},
      {R"({"interpolation": 3})", "interpolation = 3 is not built in"},
      {R"({"resize_mode": "longest"})",
       R"(resize_mode = "longest" is not built in; it must be absent or one of shortest, squash)"},
      {R"({"mode": "L"})", R"(mode = "L" is not built in)"},
      {R"({"crop_pct": 0.9})", "unknown key \"crop_pct\""},
  };
  for (const auto& [preprocessing, message] : not_built_in) {
    CHECK_THROWS_WITH(parse_clip_config(with(preprocessing), "f"),
                      Catch::Contains("f: preprocess_cfg: ") && Catch::Contains(message));
  }
  CHECK_THROWS_WITH(parse_clip_config(R"({"embed_dim": 1, "embed_dim": 2})", "f"), Catch::Contains("twice"));
}

TEST_CASE("open_clip's interpolation and resize mode are read, and survive being written") {
  const auto read = [](const char* preprocessing) {
    const ClipConfig config = parse_clip_config(
        fmt::format(
            R"({{"model_cfg": {{"embed_dim": 8, "vision_cfg": {{}}, "text_cfg": {{}}}}, "preprocess_cfg": {}}})",
            preprocessing),
        "f");
    CHECK(parse_clip_config(clip_config_json(config), "written") == config);
    return config;
  };
  const ClipConfig plain =
      read(R"({"interpolation": "bicubic", "resize_mode": "shortest", "size": [224, 224]})");
  CHECK(plain == read("{}"));
  CHECK(plain.evaluation_transform().filter == ResampleFilter::bicubic);
  CHECK(plain.evaluation_transform().mode == ResizeMode::shortest);
  const ClipConfig other = read(R"({"interpolation": "bilinear", "resize_mode": "squash"})");
  CHECK(other.evaluation_transform().filter == ResampleFilter::bilinear);
  CHECK(other.evaluation_transform().mode == ResizeMode::squash);
  CHECK(other.evaluation_transform().size == 224);
}

TEST_CASE("the quickgelu names are the same models with the other activation") {
  for (const char* name : {"ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50", "RN50x64"}) {
    ClipConfig config = load_clip_config(name);
    CHECK_FALSE(config.quick_gelu);
    config.quick_gelu = true;
    CHECK(config == load_clip_config(std::string(name) + "-quickgelu"));
  }
}

TEST_CASE("the work of a forward pass is that of its products") {
  // One block of width 64 over 2 rows: everything after the attention for one row.
  ClipConfig c;
  c.embed_dim = 32;
  c.vision = {.image_size = 8, .patch_size = 8, .width = 64, .layers = 1};
  const double embed = 2 * 64 * 192, qkv = 2 * 2 * 64 * 192, attention = 2 * 2 * 2 * 2 * 64;
  const double out = 2 * 64 * 64, mlp = 2 * 2 * 64 * 256, projection = 2 * 64 * 32;
  CHECK(image_forward_flops(c, c.vision.patches()) == embed + qkv + attention + out + mlp + projection);

  // A ResNet of 32 x 32 pixels and four blocks: stem at 16 x 16, stages at 8 x 8, 4 x 4, 2 x 2 and 1 x 1.
  c.vision = {.image_size = 32, .patch_size = 32, .width = 2, .layers = 0, .stages = {1, 1, 1, 1}};
  const double stem = 2.0 * 16 * 16 * 9 * (3 * 1 + 1 * 1 + 1 * 2);
  // In every stage: in -> n and n -> n before the stride, n -> 4n and the shortcut in -> 4n behind it.
  const double first = 2.0 * 64 * (2 * 2 + 9 * 2 * 2 + 2 * 8 + 2 * 8);
  const double second = 2.0 * (64 * (8 * 4 + 9 * 4 * 4) + 16 * (4 * 16 + 8 * 16));
  const double third = 2.0 * (16 * (16 * 8 + 9 * 8 * 8) + 4 * (8 * 32 + 16 * 32));
  const double fourth = 2.0 * (4 * (32 * 16 + 9 * 16 * 16) + 1 * (16 * 64 + 32 * 64));
  // Two rows, the mean and the one place: keys and values of both, query and output of one.
  const double attended = 2.0 * 64 * (64 * 5 + 32) + 4.0 * 64 * 2;
  CHECK(image_forward_flops(c, 1) == stem + first + second + third + fourth + attended);
}
