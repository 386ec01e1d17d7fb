#include "models/clip/hf_config.h"

#include <cmath>
#include <filesystem>

#include "kernels/common/check.h"
#include "models/clip/hf_preprocessor.h"
#include "models/files/strict_json.h"

namespace cuclip {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

int read_integer(const json& object, const std::string& where, const char* key, int default_value) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return default_value;
  return positive_whole_number(*found, where, key, 1 << 24);
}

// One of the objects of config.json, in which missing keys have defaults.
class Section {
 public:
  // If there is a `key`_dict, transformers makes a whole configuration of it and updates `key` with that:
  // even its defaults replace what `key` says.
  Section(const json& parent, const std::string& key, std::string_view name) {
    const auto is_given = [&](const std::string& k) { return parent.contains(k) && !parent[k].is_null(); };
    const std::string used = is_given(key + "_dict") ? key + "_dict" : key;
    where_ = fmt::format("{}: {}", name, used);
    if (is_given(used)) object_ = parent[used];
    CUCLIP_CHECK(object_.is_object(), "{} must be a JSON object, got {}", where_, object_.type_name());
  }

  int integer(const char* key, int default_value) const {
    return read_integer(object_, where_, key, default_value);
  }

  bool quick_gelu() const {
    const json activation = value("hidden_act", "quick_gelu");
    CUCLIP_CHECK(activation == "quick_gelu" || activation == "gelu",
                 "{}: hidden_act {} is not built in; it must be quick_gelu or gelu", where_,
                 excerpt(activation));
    return activation == "quick_gelu";
  }

  void check_eps() const {
    const json eps = value("layer_norm_eps", 1e-5);
    CUCLIP_CHECK(eps.is_number() && std::abs(eps.get<double>() - 1e-5) < 1e-9,
                 "{}: layer_norm_eps {} is not built in; it must be 1e-5", where_, excerpt(eps));
  }

  void check_channels() const {
    const int channels = integer("num_channels", 3);
    CUCLIP_CHECK(channels == 3, "{}: num_channels {} is not built in; it must be 3", where_, channels);
  }

  // transformers takes the features at the first token of this id; for 2, an old mistake, at the largest id.
  // We take the largest, which is the same where it is the vocabulary's last.
  void check_end_of_text(int vocab_size) const {
    const int id = integer("eos_token_id", 49407);
    CUCLIP_CHECK(id == 2 || id == vocab_size - 1,
                 "{}: eos_token_id {}{} is not built in; it must be {}, the vocabulary's last, or 2", where_,
                 id, object_.contains("eos_token_id") ? "" : " (transformers' default)", vocab_size - 1);
  }

  double mlp_ratio(int width, int default_size) const {
    const double size = integer("intermediate_size", default_size);
    const double ratio = size / width;
    // The width that a ratio gives is rounded down: from a ratio that was itself rounded down it would come
    // out 1 too small.
    return ratio * width < size ? std::nextafter(ratio, HUGE_VAL) : ratio;
  }

 private:
  json value(const char* key, const json& default_value) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? default_value : *found;
  }

  std::string where_;
  json object_ = json::object();
};

ClipConfig read_config(const json& root, std::string_view name) {
  const json type = root.value("model_type", json());
  CUCLIP_CHECK(type == "clip",
               "{}: expected the configuration of a CLIP model (\"model_type\": \"clip\"), found {}", name,
               type.is_null() ? "no model_type" : excerpt(type));
  const Section text(root, "text_config", name), vision(root, "vision_config", name);
  ClipConfig config;
  config.embed_dim = read_integer(root, std::string(name), "projection_dim", 512);
  config.text.width = text.integer("hidden_size", 512);
  config.text.layers = text.integer("num_hidden_layers", 12);
  config.text.heads = text.integer("num_attention_heads", 8);
  config.text.context_length = text.integer("max_position_embeddings", 77);
  config.text.vocab_size = text.integer("vocab_size", 49408);
  config.text.mlp_ratio = text.mlp_ratio(config.text.width, 2048);
  config.vision.width = vision.integer("hidden_size", 768);
  config.vision.layers = vision.integer("num_hidden_layers", 12);
  config.vision.image_size = vision.integer("image_size", 224);
  config.vision.patch_size = vision.integer("patch_size", 32);
  config.vision.mlp_ratio = vision.mlp_ratio(config.vision.width, 3072);
  const int heads = vision.integer("num_attention_heads", 12);
  CUCLIP_CHECK(config.vision.width % heads == 0,
               "{}: vision_config: hidden_size {} is not a multiple of {} heads", name, config.vision.width,
               heads);
  config.vision.head_width = config.vision.width / heads;
  CUCLIP_CHECK(text.quick_gelu() == vision.quick_gelu(),
               "{}: hidden_act differs between text_config and vision_config; they must be the same", name);
  config.quick_gelu = text.quick_gelu();
  text.check_eps();
  vision.check_eps();
  vision.check_channels();
  text.check_end_of_text(config.text.vocab_size);
  return config;
}

}  // namespace

ClipConfig parse_hf_config(std::string_view text, std::string_view preprocessor, std::string_view name) {
  try {
    ClipConfig config = read_config(parse_strict_json(text, name), name);
    validate(config, name);
    if (!preprocessor.empty()) {
      const std::filesystem::path file(name);
      const std::string beside = file.parent_path() / "preprocessor_config.json";
      read_hf_preprocessor(preprocessor, beside, config);
      validate(config, beside);
    }
    return config;
  } catch (const json::exception& error) {  // a value of another type than expected
    fail_input("{}: {}", name, error.what());
  }
}

std::string hf_config_json(const ClipConfig& c) {
  const std::string activation = c.quick_gelu ? "quick_gelu" : "gelu";
  const ordered_json text = {{"model_type", "clip_text_model"},
                             {"hidden_size", c.text.width},
                             {"intermediate_size", c.text.mlp_width()},
                             {"num_hidden_layers", c.text.layers},
                             {"num_attention_heads", c.text.heads},
                             {"max_position_embeddings", c.text.context_length},
                             {"vocab_size", c.text.vocab_size},
                             {"projection_dim", c.embed_dim},
                             {"hidden_act", activation},
                             {"layer_norm_eps", 1e-5},
                             {"bos_token_id", c.text.vocab_size - 2},
                             {"eos_token_id", c.text.vocab_size - 1},
                             {"pad_token_id", c.text.vocab_size - 1}};
  const ordered_json vision = {{"model_type", "clip_vision_model"},
                               {"hidden_size", c.vision.width},
                               {"intermediate_size", c.vision.mlp_width()},
                               {"num_hidden_layers", c.vision.layers},
                               {"num_attention_heads", c.vision.heads()},
                               {"image_size", c.vision.image_size},
                               {"patch_size", c.vision.patch_size},
                               {"projection_dim", c.embed_dim},
                               {"hidden_act", activation},
                               {"layer_norm_eps", 1e-5}};
  const ordered_json root = {{"architectures", {"CLIPModel"}}, {"model_type", "clip"},
                             {"projection_dim", c.embed_dim},  {"text_config", text},
                             {"vision_config", vision},        {"torch_dtype", "float32"}};
  return root.dump(2) + "\n";
}

}  // namespace cuclip
