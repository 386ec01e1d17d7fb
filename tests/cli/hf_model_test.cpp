// Models in transformers' form on the command line: what config.json and preprocessor_config.json say is
// done, or refused by name.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "models/files/safetensors.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

struct HfModel : ModelOnDisk {
  HfModel() {
    REQUIRE(cuclip({"convert", "--to", "hf", "--out", folder / "plain"}).exit_code == 0);
    fs::remove(folder / "plain/open_clip_config.json");
  }
  // A copy of the converted model in which a JSON file is replaced.
  std::string copy(const std::string& name, const std::string& file, const json& contents) const {
    fs::copy(folder / "plain", folder / name);
    folder.write(name + "/" + file, contents.dump());
    return folder / name;
  }
  json read(const std::string& file) const { return json::parse(read_file(folder / ("plain/" + file))); }
  // The bytes of a picture's features.
  std::string features(const std::string& model) const {
    const CommandResult result =
        run_cuclip({"encode", "image", picture(3), "--out", folder / "f.npy", "--model", model});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return read_file(folder / "f.npy");
  }
  void check_refused(const std::string& model, const std::vector<std::string>& mentions) const {
    const CommandResult result =
        run_cuclip({"encode", "image", picture(3), "--out", folder / "no.npy", "--model", model});
    INFO(result.err);
    CHECK(result.exit_code == 2);
    for (const std::string& mention : mentions) CHECK_THAT(result.err, Contains(mention));
    CHECK_FALSE(fs::exists(folder / "no.npy"));
  }
};

TEST_CASE_METHOD(HfModel, "a converted model is complete: its features are those of the run") {
  CHECK(features(folder / "plain") == features(run));
}

TEST_CASE_METHOD(HfModel, "activations that stand in text_config_dict and vision_config_dict are used") {
  json config = read("config.json");
  const std::string act = config["text_config"]["hidden_act"] == "gelu" ? "quick_gelu" : "gelu";
  json direct = config;
  for (const char* key : {"text_config", "vision_config"}) {
    direct[key]["hidden_act"] = act;
    config[std::string(key) + "_dict"] = direct[key];
  }
  const std::string expected = features(copy("direct", "config.json", direct));
  CHECK(features(copy("dict", "config.json", config)) == expected);
  CHECK(expected != features(folder / "plain"));
}

TEST_CASE_METHOD(HfModel,
                 "the preprocessor's file gives the same features as open_clip's for the same transform") {
  json preprocessor = read("preprocessor_config.json");
  const int size = preprocessor["crop_size"]["height"];
  preprocessor["resample"] = 2;
  preprocessor["do_center_crop"] = false;
  preprocessor["size"] = {{"height", size}, {"width", size}};
  const std::string found = features(copy("squash", "preprocessor_config.json", preprocessor));
  CHECK(found != features(folder / "plain"));
  json ours = json::parse(read_file(run + "/checkpoints/step-3/open_clip_config.json"));
  ours["preprocess_cfg"]["interpolation"] = "bilinear";
  ours["preprocess_cfg"]["resize_mode"] = "squash";
  CHECK(found == features(copy("ours", "open_clip_config.json", ours)));
}

TEST_CASE_METHOD(HfModel,
                 "a model or preprocessing that is not built in is refused with file, key and value") {
  json preprocessor = read("preprocessor_config.json");
  preprocessor["resample"] = 1;
  check_refused(
      copy("lanczos", "preprocessor_config.json", preprocessor),
      {"lanczos/preprocessor_config.json: resample = 1 is not built in", "3 (bicubic) or 2 (bilinear)"});
  fs::copy(folder / "plain", folder / "blank");
  folder.write("blank/preprocessor_config.json", "");
  check_refused(folder / "blank", {"blank/preprocessor_config.json: the file is empty, expected JSON"});
  json config = read("config.json");
  config["model_type"] = "siglip";
  check_refused(copy("siglip", "config.json", config), {"siglip/config.json", "\"siglip\""});
  config = read("config.json");
  config["vision_config"]["num_channels"] = 1;
  check_refused(copy("grey", "config.json", config), {"grey/config.json", "num_channels 1"});
  json ours = json::parse(read_file(run + "/checkpoints/step-3/open_clip_config.json"));
  ours["preprocess_cfg"]["resize_mode"] = "longest";
  check_refused(copy("longest", "open_clip_config.json", ours),
                {"longest/open_clip_config.json: preprocess_cfg: resize_mode = \"longest\" is not built in"});
}

// The converted model with its weights in two files, as transformers keeps large ones.
struct ShardedModel : HfModel {
  ShardedModel() {
    fs::copy(folder / "plain", sharded);
    const Safetensors whole = Safetensors::open(sharded / "model.safetensors");
    std::map<std::string, std::vector<float>> values;
    std::vector<std::pair<std::string, TensorView>> tensors[2];
    json listed;
    for (const auto& [name, entry] : whole.tensors()) {
      std::vector<float>& copy = values[name];
      copy.resize(static_cast<size_t>(entry.elements()));
      copy_to_f32(entry, name, copy);
      const size_t shard = values.size() % 2;
      tensors[shard].emplace_back(name, make_view(copy.data(), Shape(std::span<const int64_t>(entry.shape))));
      listed["weight_map"][name] = shards[shard];
    }
    for (size_t i = 0; i < 2; ++i) write_safetensors(sharded / shards[i], tensors[i]);
    write_file_atomic(index, listed.dump());
    fs::remove(sharded / "model.safetensors");
  }
  const fs::path sharded = folder / "sharded";
  const std::string shards[2] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  const std::string index = sharded / "model.safetensors.index.json";
};

TEST_CASE_METHOD(ShardedModel, "weights in several files give the features of those in one") {
  const std::string expected = features(folder / "plain");
  CHECK(features(sharded) == expected);
  CHECK(features(index) == expected);
}

TEST_CASE_METHOD(ShardedModel, "one of several files of weights is refused with what to give instead") {
  check_refused(sharded / shards[1], {shards[1], "one of several files", index});
  fs::remove(sharded / shards[1]);
  check_refused(sharded, {index, shards[1], "No such file"});
  fs::remove(index);
  check_refused(index, {index, "no such file"});
}

TEST_CASE_METHOD(ShardedModel, "no output is written over one of the weights' files") {
  for (const std::string& model : {sharded.string(), index}) {
    const std::string out = sharded / shards[0], before = read_file(out);
    const CommandResult result = run_cuclip({"encode", "image", picture(3), "--out", out, "--model", model});
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(shards[0]));
    CHECK(read_file(out) == before);
  }
}

TEST_CASE_METHOD(HfModel, "pickled weights are refused by the file's name") {
  fs::create_directory(folder / "pickled");
  folder.write("pickled/pytorch_model.bin", "PK\x03\x04");
  check_refused(folder / "pickled", {"pickled/pytorch_model.bin", "not read", "model.safetensors"});
}

}  // namespace
}  // namespace cuclip::test
