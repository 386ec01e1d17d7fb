#include "models/clip/clip_config.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/files/strict_json.h"

namespace cuclip {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kResnetStride = 32;

// Reads the members of one JSON object and remembers which were asked for, so that the others can be refused.
class Reader {
 public:
  Reader(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    CUCLIP_CHECK(object.is_object(), "{}: expected a JSON object, got {}", where_, object.type_name());
  }

  const json* find(const char* key) {
    known_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  void read(const char* key, int& value) {
    const json* found = find(key);
    if (found) value = positive_whole_number(*found, where_, key, 1 << 30);
  }

  void read(const char* key, std::array<int, 4>& value) {
    const json* found = find(key);
    if (!found) return;
    CUCLIP_CHECK(found->is_array() && found->size() == 4,
                 "{}: {} must be a whole number, or four of them for a modified ResNet, got {}", where_, key,
                 excerpt(*found));
    for (size_t i = 0; i < 4; ++i) value[i] = positive_whole_number((*found)[i], where_, key, 1 << 30);
  }

  void read(const char* key, double& value) {
    const json* found = find(key);
    if (!found) return;
    CUCLIP_CHECK(is_moderate(*found), "{}: {} must be a number of moderate size, got {}", where_, key,
                 excerpt(*found));
    value = found->get<double>();
  }

  void read(const char* key, bool& value) {
    const json* found = find(key);
    if (!found) return;
    CUCLIP_CHECK(found->is_boolean(), "{}: {} must be true or false, got {}", where_, key, excerpt(*found));
    value = found->get<bool>();
  }

  void read(const char* key, std::array<float, 3>& value) {
    const json* found = find(key);
    if (!found) return;
    CUCLIP_CHECK(
        found->is_array() && found->size() == 3 && std::all_of(found->begin(), found->end(), is_moderate),
        "{}: {} must be three numbers, got {}", where_, key, excerpt(*found));
    for (size_t i = 0; i < 3; ++i) value[i] = (*found)[i].get<float>();
  }

  // The first of `built_in` if there is no such key.
  std::string choose(const char* key, const std::vector<std::string>& built_in) {
    const json* found = find(key);
    if (!found) return built_in.front();
    CUCLIP_CHECK(std::find(built_in.begin(), built_in.end(), *found) != built_in.end(),
                 "{}: {} = {} is not built in; it must be absent or one of {}", where_, key, excerpt(*found),
                 fmt::join(built_in, ", "));
    return found->get<std::string>();
  }

  // Keys that other open_clip models have. One that is set to what is built in anyway changes nothing.
  void accept_only(const char* key, const std::vector<json>& harmless) {
    const json* found = find(key);
    CUCLIP_CHECK(!found || std::find(harmless.begin(), harmless.end(), *found) != harmless.end(),
                 "{}: {} = {} is not built in; it must be absent or {}", where_, key, excerpt(*found),
                 excerpt(harmless.front()));
  }

  void refuse_unknown() const {
    for (const auto& [key, value] : object_.items()) {
      if (value.is_null()) continue;  // as if it weren't there
      CUCLIP_CHECK(known_.contains(key), "{}: unknown key \"{}\"; known are {}", where_, shortened_name(key),
                   fmt::format("{}", fmt::join(known_, ", ")));
    }
  }

 private:
  const json& object_;
  std::string where_;
  std::set<std::string> known_;
};

void read_vision(const json& object, const std::string& name, ClipConfig::Vision& vision) {
  Reader reader(object, name + ": vision_cfg");
  reader.read("image_size", vision.image_size);
  reader.read("width", vision.width);
  reader.read("head_width", vision.head_width);
  const auto layers = object.find("layers");
  if (layers != object.end() && layers->is_array()) {
    reader.read("layers", vision.stages);
    reader.accept_only("patch_size", {nullptr});  // a modified ResNet has none
    reader.accept_only("mlp_ratio", {vision.mlp_ratio});
    vision.patch_size = kResnetStride;
    vision.layers = 0;
  } else {
    reader.read("layers", vision.layers);
    reader.read("patch_size", vision.patch_size);
    reader.read("mlp_ratio", vision.mlp_ratio);
  }
  reader.accept_only("ls_init_value", {nullptr});
  reader.accept_only("patch_dropout", {0, 0.0});
  reader.accept_only("attentional_pool", {false});
  reader.accept_only("no_ln_pre", {false});
  reader.accept_only("pos_embed_type", {"learnable"});
  reader.accept_only("final_ln_after_pool", {false});
  reader.accept_only("pool_type", {"tok"});
  reader.accept_only("output_tokens", {false});
  reader.refuse_unknown();
}

void read_text(const json& object, const std::string& name, ClipConfig::Text& text) {
  Reader reader(object, name + ": text_cfg");
  reader.read("context_length", text.context_length);
  reader.read("vocab_size", text.vocab_size);
  reader.read("width", text.width);
  reader.read("heads", text.heads);
  reader.read("layers", text.layers);
  reader.read("mlp_ratio", text.mlp_ratio);
  reader.accept_only("ls_init_value", {nullptr});
  reader.accept_only("hf_tokenizer_name", {kTokenizerBeside});
  reader.accept_only("embed_cls", {false});
  reader.accept_only("pad_id", {0});
  reader.accept_only("no_causal_mask", {false});
  reader.accept_only("pool_type", {"argmax"});
  reader.accept_only("proj_bias", {false});
  reader.accept_only("output_tokens", {false});
  reader.refuse_unknown();
}

void read_preprocessing(const json& object, const std::string& name, ClipConfig& config) {
  Reader reader(object, name + ": preprocess_cfg");
  reader.read("mean", config.mean);
  reader.read("std", config.stddev);
  reader.accept_only("mode", {"RGB"});
  if (reader.choose("interpolation", {"bicubic", "bilinear"}) == "bilinear") {
    config.interpolation = ResampleFilter::bilinear;
  }
  if (reader.choose("resize_mode", {"shortest", "squash"}) == "squash") {
    config.resize_mode = ResizeMode::squash;
  }
  reader.find("fill_color");  // of the borders that only the mode "longest" has
  reader.find("size");        // open_clip too takes the model's image_size instead
  reader.refuse_unknown();
}

ClipConfig make(int embed, int image, int patch, ClipConfig::Vision vision, ClipConfig::Text text) {
  vision.image_size = image;
  vision.patch_size = patch;
  ClipConfig config;
  config.embed_dim = embed;
  config.vision = vision;
  config.text = text;
  return config;
}

ClipConfig::Text clip_text(int width, int layers = 12) {
  return {.width = width, .heads = width / 64, .layers = layers};
}

ClipConfig resnet(int embed, int image, int width, const std::array<int, 4>& stages, ClipConfig::Text text) {
  return make(embed, image, kResnetStride, {.width = width, .layers = 0, .stages = stages}, text);
}

}  // namespace

std::vector<NamedClipConfig> builtin_clip_configs() {
  const ClipConfig::Vision base{.width = 768, .layers = 12}, large{.width = 1024, .layers = 24},
      huge{.width = 1280, .layers = 32, .head_width = 80},
      giant{.width = 1408, .layers = 40, .head_width = 88, .mlp_ratio = 4.3637},
      big_giant{.width = 1664, .layers = 48, .head_width = 104, .mlp_ratio = 4.9231};
  // For training on a CPU: patch, widths and depth were chosen by the quality reached in a given time
  // (docs/performance.md).
  const ClipConfig::Text tiny_text{
      .context_length = 32, .vocab_size = 1024, .width = 64, .heads = 2, .layers = 2};
  const ClipConfig::Text small_text{
      .context_length = 32, .vocab_size = 4096, .width = 256, .heads = 4, .layers = 2};
  std::vector<NamedClipConfig> configs = {
      {"cuclip-tiny", make(64, 32, 8, {.width = 64, .layers = 2, .head_width = 32}, tiny_text)},
      {"cuclip-small", make(256, 64, 8, {.width = 256, .layers = 4}, small_text)},
      {"cuclip-resnet", resnet(256, 64, 32, {1, 1, 1, 1}, small_text)},
      {"ViT-B-32", make(512, 224, 32, base, clip_text(512))},
      {"ViT-B-16", make(512, 224, 16, base, clip_text(512))},
      {"ViT-L-14", make(768, 224, 14, large, clip_text(768))},
      {"ViT-L-14-336", make(768, 336, 14, large, clip_text(768))},
      {"ViT-H-14", make(1024, 224, 14, huge, clip_text(1024, 24))},
      {"ViT-g-14", make(1024, 224, 14, giant, clip_text(1024, 24))},
      {"ViT-bigG-14", make(1280, 224, 14, big_giant, clip_text(1280, 32))},
      {"RN50", resnet(1024, 224, 64, {3, 4, 6, 3}, clip_text(512))},
      {"RN101", resnet(512, 224, 64, {3, 4, 23, 3}, clip_text(512))},
      {"RN50x4", resnet(640, 288, 80, {4, 6, 10, 6}, clip_text(640))},
      {"RN50x16", resnet(768, 384, 96, {6, 8, 18, 8}, clip_text(768))},
      {"RN50x64", resnet(1024, 448, 128, {3, 15, 36, 10}, clip_text(1024))},
  };
  const size_t plain = configs.size();
  for (size_t i = 0; i < plain; ++i) {
    if (configs[i].name.starts_with("cuclip-")) continue;
    configs.push_back({configs[i].name + "-quickgelu", configs[i].config});
    configs.back().config.quick_gelu = true;
  }
  return configs;
}

void validate(const ClipConfig& c) {
  const auto in_range = [](const char* what, int64_t value, int64_t least, int64_t most) {
    CUCLIP_CHECK(value >= least && value <= most, "{} must be {} to {}, got {}", what, least, most, value);
  };
  // Far beyond any model; within these limits no size computed from them overflows.
  constexpr int64_t kMaxWidth = 1 << 15, kMaxLayers = 1 << 10, kMaxLength = 1 << 16, kMaxVocabulary = 1 << 24;
  in_range("embed_dim", c.embed_dim, 1, kMaxWidth);
  in_range("vision image_size", c.vision.image_size, 1, 1 << 13);
  if (c.vision.is_resnet()) {
    in_range("vision image_size of a ResNet", c.vision.image_size, c.vision.patch_size, 1 << 13);
  } else {
    in_range("vision patch_size", c.vision.patch_size, 1, c.vision.image_size);
  }
  in_range("vision width", c.vision.width, 1, kMaxWidth);
  if (c.vision.is_resnet()) {
    for (const int blocks : c.vision.stages) in_range("vision layers", blocks, 1, kMaxLayers);
    CUCLIP_CHECK(c.vision.width % 2 == 0, "vision width of a ResNet must be even, got {}", c.vision.width);
  } else {
    in_range("vision layers", c.vision.layers, 1, kMaxLayers);
  }
  in_range("vision head_width", c.vision.head_width, 1, c.vision.attention_width());
  in_range("text context_length", c.text.context_length, 2, kMaxLength);  // start and end
  in_range("text vocab_size", c.text.vocab_size, 3, kMaxVocabulary);
  in_range("text width", c.text.width, 1, kMaxWidth);
  in_range("text layers", c.text.layers, 1, kMaxLayers);
  in_range("text heads", c.text.heads, 1, c.text.width);
  for (const double ratio : {c.vision.mlp_ratio, c.text.mlp_ratio}) {
    CUCLIP_CHECK(ratio > 0 && ratio <= 64, "mlp_ratio must be above 0 and at most 64, got {}", ratio);
  }
  for (const float deviation : c.stddev) {
    CUCLIP_CHECK(deviation >= 1e-6f, "the preprocessing's std must be at least 1e-6, got {}", deviation);
  }
  in_range("vision width times mlp_ratio", c.vision.mlp_width(), 1, 64 * kMaxWidth);
  in_range("text width times mlp_ratio", c.text.mlp_width(), 1, 64 * kMaxWidth);
  CUCLIP_CHECK(c.vision.image_size % c.vision.patch_size == 0, "image_size {} is not a multiple of {} {}",
               c.vision.image_size, c.vision.is_resnet() ? "a ResNet's stride" : "patch_size",
               c.vision.patch_size);
  CUCLIP_CHECK(c.vision.attention_width() % c.vision.head_width == 0,
               "vision width {}{} is not a multiple of head_width {}", c.vision.width,
               c.vision.is_resnet() ? fmt::format(", times 32 = {},", c.vision.attention_width()) : "",
               c.vision.head_width);
  CUCLIP_CHECK(c.text.width % c.text.heads == 0, "text width {} is not a multiple of its {} heads",
               c.text.width, c.text.heads);
}

void validate(const ClipConfig& config, std::string_view name) {
  try {
    validate(config);
  } catch (const InputError& error) {
    fail_input("{}: {}", name, error.what());
  }
}

ClipConfig parse_clip_config(std::string_view text, std::string_view name_view) {
  const std::string name(name_view);
  json root = parse_strict_json(text, name);
  ClipConfig config;
  config.vision.patch_size = 16;  // open_clip's default; the others are ours too
  if (root.contains("model_cfg")) {
    Reader outer(root, name);
    outer.find("model_cfg");
    if (const json* preprocessing = outer.find("preprocess_cfg"))
      read_preprocessing(*preprocessing, name, config);
    outer.find("written_by");
    outer.refuse_unknown();
    root = json(root["model_cfg"]);
  }
  Reader reader(root, name);
  const json *vision = reader.find("vision_cfg"), *text_cfg = reader.find("text_cfg");
  CUCLIP_CHECK(reader.find("embed_dim") && vision && text_cfg,
               "{}: expected open_clip's configuration with embed_dim, vision_cfg and text_cfg", name);
  reader.read("embed_dim", config.embed_dim);
  reader.read("quick_gelu", config.quick_gelu);
  reader.accept_only("init_logit_bias", {nullptr});
  reader.accept_only("custom_text", {false, true});  // the same model, its text tower's names after "text."
  reader.refuse_unknown();
  read_vision(*vision, name, config.vision);
  read_text(*text_cfg, name, config.text);
  validate(config, name);
  return config;
}

std::string clip_config_json(const ClipConfig& c) {
  ordered_json vision = {{"image_size", c.vision.image_size},
                         {"layers", c.vision.layers},
                         {"width", c.vision.width},
                         {"head_width", c.vision.head_width}};
  if (c.vision.is_resnet()) {
    vision["layers"] = c.vision.stages;
  } else {
    vision["patch_size"] = c.vision.patch_size;
    vision["mlp_ratio"] = c.vision.mlp_ratio;
  }
  const ordered_json model = {{"embed_dim", c.embed_dim},
                              {"quick_gelu", c.quick_gelu},
                              {"vision_cfg", vision},
                              {"text_cfg",
                               {{"context_length", c.text.context_length},
                                {"vocab_size", c.text.vocab_size},
                                {"width", c.text.width},
                                {"heads", c.text.heads},
                                {"layers", c.text.layers},
                                {"mlp_ratio", c.text.mlp_ratio}}}};
  ordered_json preprocessing = {{"mean", c.mean}, {"std", c.stddev}};
  // Only where they differ from open_clip's defaults: the text is part of an index's fingerprint of its
  // model.
  if (c.interpolation == ResampleFilter::bilinear) preprocessing["interpolation"] = "bilinear";
  if (c.resize_mode == ResizeMode::squash) preprocessing["resize_mode"] = "squash";
  const ordered_json root = {{"model_cfg", model}, {"preprocess_cfg", preprocessing}};
  return root.dump(2) + "\n";
}

ClipConfig load_clip_config(const std::string& name_or_path) {
  std::string name = name_or_path;
  std::replace(name.begin(), name.end(), '/', '-');
  std::replace(name.begin(), name.end(), '@', '-');
  std::vector<std::string> names;
  for (const auto& [builtin, config] : builtin_clip_configs()) {
    if (builtin == name) return config;
    names.push_back(builtin);
  }
  CUCLIP_CHECK(path_exists(name_or_path), "unknown model '{}': not a file and not one of {}", name_or_path,
               fmt::format("{}", fmt::join(names, ", ")));
  return parse_clip_config(read_file(name_or_path), name_or_path);
}

}  // namespace cuclip
