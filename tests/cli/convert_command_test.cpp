// cuclip convert to a folder: a whole model, for cuclip, open_clip and transformers. That these load it is
// checked by hand (tests/tools/check_converted.py).
#include <algorithm>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file_io.h"
#include "core/file_lock.h"
#include "models/clip/clip_config.h"
#include "models/files/safetensors.h"
#include "tests/support/buffer.h"
#include "tests/support/clip_merges.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;
namespace fs = std::filesystem;
using Names = std::set<std::string>;

const Names kForTransformers = {"open_clip_config.json",
                                "config.json",
                                "preprocessor_config.json",
                                "vocab.json",
                                "merges.txt",
                                "tokenizer_config.json",
                                "special_tokens_map.json",
                                "model.safetensors"};
const Names kForOpenClip = {
    "open_clip_config.json",   "vocab.json",       "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json", "model.safetensors"};

Names names_in(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

struct Convert : ModelOnDisk {
  // Converts `model` to the folder of this name.
  CommandResult to(const std::string& names, const std::string& out,
                   const std::vector<std::string>& more = {}, const std::string& model = "") const {
    std::vector<std::string> arguments = {
        "convert", "--to", names, "--out", folder / out, "--model", model.empty() ? run : model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cuclip(arguments);
  }
  void check_done(const CommandResult& result) const {
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(result.err.empty());
  }
  void check_refused(const CommandResult& result, const std::vector<std::string>& mentions) const {
    INFO(result.err);
    CHECK(result.exit_code == 2);
    for (const std::string& mention : mentions) CHECK_THAT(result.err, Contains(mention));
  }
  json read_json(const std::string& name) const { return json::parse(read_file(folder / name)); }
  // The bytes of the features of pictures and of texts.
  std::string features(const std::string& model) const {
    std::string bytes;
    for (const std::vector<std::string>& what : {std::vector<std::string>{"image", pictures},
                                                 {"text", "a bad cab!", "", "naïve <|endoftext|> 한국"}}) {
      std::vector<std::string> arguments = {"encode"};
      for (const std::string& word : what) {
        if (!word.empty()) arguments.push_back(word);
      }
      const std::string out = folder / "features.npy";
      arguments.insert(arguments.end(), {"--out", out, "--model", model});
      const CommandResult result = run_cuclip(arguments);
      INFO(result.err);
      REQUIRE(result.exit_code == 0);
      bytes += read_file(out);
    }
    return bytes;
  }
};

TEST_CASE_METHOD(Convert,
                 "a converted folder is whole: pictures and texts have the run's features, bit for bit") {
  const std::string expected = features(run);
  for (const auto& [names, files] : {std::pair{"hf", kForTransformers},
                                     {"open_clip", kForOpenClip},
                                     {"openai", kForOpenClip},
                                     {"cuclip", kForOpenClip}}) {
    INFO(names);
    check_done(to(names, names));
    CHECK(names_in(folder / names) == files);
    CHECK(features(folder / names) == expected);
  }
  fs::remove(folder / "hf/open_clip_config.json");  // as if somebody else had made it
  CHECK(features(folder / "hf") == expected);
  check_done(to("open_clip", "back", {}, folder / "hf"));
  CHECK(read_file(folder / "back/model.safetensors") == read_file(folder / "open_clip/model.safetensors"));
  CHECK(features(folder / "back") == expected);
}

TEST_CASE_METHOD(Convert, "the configurations say what open_clip and transformers need for the texts") {
  check_done(to("hf", "hf"));
  check_done(to("open_clip", "oc"));
  for (const char* name : {"hf", "oc"}) {
    const json config = read_json(std::string(name) + "/open_clip_config.json");
    CHECK(config.at("model_cfg").at("text_cfg").at("hf_tokenizer_name") == ".");
    CHECK(parse_clip_config(config.dump(), name) == tiny_config());
    const json tokenizer = read_json(std::string(name) + "/tokenizer_config.json");
    CHECK(tokenizer.at("model_max_length") == tiny_config().text.context_length);
  }
  // transformers takes the features at the first token with eos_token_id, or, for 2, at the largest id.
  const json text = read_json("hf/config.json").at("text_config"), ids = read_json("hf/vocab.json");
  CHECK(text.at("eos_token_id") == ids.at("<|endoftext|>"));
  CHECK(text.at("bos_token_id") == ids.at("<|startoftext|>"));
  CHECK(text.at("pad_token_id") == ids.at("<|endoftext|>"));
  CHECK(text.at("vocab_size") == ids.size());
}

TEST_CASE_METHOD(Convert, "open_clip's own tokeniser is left to it for CLIP's vocabulary") {
  CUCLIP_NEEDS_CLIP_MERGES(path);
  ClipConfig config = tiny_config();
  config.text.vocab_size = 49408;
  const std::string model = folder.write("c.json", clip_config_json(config));
  const CommandResult result = to("open_clip", "oc", {"--tokenizer", path}, model);
  REQUIRE(result.exit_code == 0);
  CHECK(names_in(folder / "oc") == Names{"open_clip_config.json", "model.safetensors", "tokenizer.txt.gz"});
  CHECK_FALSE(read_json("oc/open_clip_config.json")["model_cfg"]["text_cfg"].contains("hf_tokenizer_name"));
  REQUIRE(to("hf", "hf", {}, folder / "oc").exit_code == 0);
  CHECK(names_in(folder / "hf") == kForTransformers);
  CHECK(features(folder / "hf") == features(folder / "oc"));
}

TEST_CASE_METHOD(Convert,
                 "without a tokeniser that makes the model's vocabulary, none is written, and that is said") {
  const std::string weights = folder / "w.safetensors", config = folder / "c.json";
  fs::copy_file(run + "/checkpoints/step-3/model.safetensors", weights);
  fs::copy_file(run + "/checkpoints/step-3/open_clip_config.json", config);
  const CommandResult without = to("hf", "without", {"--config-name", config}, weights);
  CHECK(without.exit_code == 0);
  CHECK_THAT(without.err, Contains("without has no tokeniser, and texts cannot be used there") &&
                              Contains("--tokenizer not given"));
  CHECK(names_in(folder / "without") ==
        Names{"open_clip_config.json", "config.json", "preprocessor_config.json", "model.safetensors"});
  const CommandResult untrained = to("open_clip", "untrained", {}, "cuclip-tiny");
  CHECK(untrained.exit_code == 0);
  CHECK_THAT(untrained.err, Contains("makes 514 tokens, and the model's vocabulary has 1024"));
  CHECK(names_in(folder / "untrained") == Names{"open_clip_config.json", "model.safetensors"});
  CHECK_FALSE(
      read_json("untrained/open_clip_config.json")["model_cfg"]["text_cfg"].contains("hf_tokenizer_name"));
}

TEST_CASE_METHOD(Convert, "shards are what their size says, and the index has every tensor") {
  check_done(to("hf", "whole"));
  const Safetensors whole = Safetensors::open(folder / "whole/model.safetensors");
  const CommandResult result = to("hf", "shards", {"--shard-size", "5KB", "--json"});
  REQUIRE(result.exit_code == 0);
  const json printed = json::parse(result.out), index = read_json("shards/model.safetensors.index.json");
  CHECK(printed.at("out") == (folder / "shards/model.safetensors.index.json").string());
  CHECK_FALSE(fs::exists(folder / "shards/model.safetensors"));
  Names shards;
  for (const auto& [tensor, file] : index.at("weight_map").items()) {
    const Safetensors shard = Safetensors::open(folder / ("shards/" + file.get<std::string>()));
    REQUIRE(shard.find(tensor));
    REQUIRE(whole.find(tensor));
    CHECK(std::equal(shard.find(tensor)->data.begin(), shard.find(tensor)->data.end(),
                     whole.find(tensor)->data.begin(), whole.find(tensor)->data.end()));
    shards.insert(file);
  }
  CHECK(index.at("weight_map").size() == whole.tensors().size());
  CHECK(printed.at("files") == shards.size());
  CHECK(shards.size() > 3);
  CHECK(names_in(folder / "shards").size() == kForTransformers.size() + shards.size());
  const auto oversized = std::count_if(whole.tensors().begin(), whole.tensors().end(),
                                       [](const auto& tensor) { return tensor.second.data.size() > 5000; });
  REQUIRE(oversized > 0);
  CHECK_THAT(result.err, Contains(fmt::format("larger than --shard-size 5KB, each in a file of its own: {}\n",
                                              oversized)));
}

TEST_CASE_METHOD(Convert, "a shard size that is smaller than any tensor gives each a file, and says so") {
  const CommandResult result = to("hf", "shards", {"--shard-size", "1"});
  REQUIRE(result.exit_code == 0);
  const size_t tensors = read_json("shards/model.safetensors.index.json").at("weight_map").size();
  CHECK_THAT(result.out, Contains(fmt::format(" in {} files: ", tensors)));
  CHECK_THAT(result.err, Contains(fmt::format("each in a file of its own: {}\n", tensors)));
}

TEST_CASE_METHOD(Convert, "a shard size that is none is refused, and one that nothing reads") {
  for (const char* size :
       {"0", "-1", "1.5GB", "GB", "2TB", "2 GB", "99999999999999999999", "9999999999GB", "x"}) {
    INFO(size);
    check_refused(to("hf", "shards", {"--shard-size", size}), {"--shard-size", size});
    CHECK_FALSE(fs::exists(folder / "shards"));
  }
  check_refused(to("open_clip", "oc", {"--shard-size", "1GB"}), {"--shard-size", "--to hf"});
  check_refused(to("hf", "hf.safetensors", {"--shard-size", "1GB"}), {"--shard-size", "give a folder"});
}

TEST_CASE_METHOD(Convert, "a folder that is filled again has only what belongs to the new model") {
  folder.write("out/README.md", "mine");
  REQUIRE(to("hf", "out", {"--shard-size", "5KB"}).exit_code == 0);
  const auto with_readme = [](Names names) { return names.insert("README.md"), names; };
  check_done(to("open_clip", "out"));
  CHECK(names_in(folder / "out") == with_readme(kForOpenClip));
  check_done(to("hf", "out"));
  CHECK(names_in(folder / "out") == with_readme(kForTransformers));
  REQUIRE(to("cuclip", "out", {}, "cuclip-tiny").exit_code == 0);
  CHECK(names_in(folder / "out") == with_readme({"open_clip_config.json", "model.safetensors"}));
  CHECK(read_file(folder / "out/README.md") == "mine");
}

TEST_CASE_METHOD(Convert, "what a killed convert left is removed, and what another is writing is not") {
  const fs::path out = folder / "model";
  fs::create_directory(out);
  for (const char* name : {"model.safetensors.tmp-abcdef", "model-00001-of-00002.safetensors.tmp-ghijkl",
                           "open_clip_config.json.tmp-mnopqr", "notes.txt.tmp-stuvwx"})
    write_file_atomic(out / name, "half");
  const Names before = names_in(out);
  {
    const FileLock other(out, "the test's");
    check_refused(to("hf", "model"), {"the folder " + out.string() + " is in use by another process"});
    CHECK(names_in(out) == before);
  }
  check_done(to("hf", "model"));
  Names expected = kForTransformers;
  expected.insert("notes.txt.tmp-stuvwx");
  CHECK(names_in(out) == expected);
}

TEST_CASE_METHOD(Convert, "weights that were moved elsewhere and linked are replaced where they are") {
  check_done(to("hf", "out"));
  fs::rename(folder / "out/model.safetensors", folder / "elsewhere");
  fs::create_symlink(folder / "elsewhere", folder / "out/model.safetensors");
  check_done(to("open_clip", "out"));
  CHECK(fs::is_symlink(folder / "out/model.safetensors"));
  CHECK(Safetensors::open(folder / "elsewhere").find("visual.proj"));
}

TEST_CASE_METHOD(Convert, "files that convert did not write are neither replaced nor joined") {
  check_done(to("hf", "good"));
  for (const std::string& name : names_in(folder / "good")) {
    INFO(name);
    fs::create_directories(folder / "other");
    const fs::path file = folder.write("other/" + name, name == "model.safetensors" ? "12345678{" : "{}");
    check_refused(to("hf", "other"), {file.string() + " exists and was not written by convert"});
    CHECK(names_in(folder / "other") == Names{name});
    fs::remove_all(folder / "other");
  }
  // A downloaded model's, with the same configuration as ours but for the mark.
  json config = read_json("good/open_clip_config.json");
  config.erase("written_by");
  folder.write("good/open_clip_config.json", config.dump());
  check_refused(to("hf", "good"), {"was not written by convert"});
  CHECK(names_in(folder / "good") == kForTransformers);
  check_done(to("hf", "joined"));
  // cuclip itself would take tokenizer.txt for its merges.
  for (const char* name : {"tokenizer.json", "open_clip_model.safetensors", "tokenizer.txt"}) {
    const fs::path file = folder.write(std::string("joined/") + name, "{}");
    check_refused(to("hf", "joined"), {file, "would be read together"});
    fs::remove(file);
  }
}

TEST_CASE_METHOD(Convert, "a checkpoint is not written to through a link either") {
  const std::string weights = run + "/checkpoints/step-3/model.safetensors", before = read_file(weights);
  check_done(to("cuclip", "other"));
  fs::remove(folder / "other/model.safetensors");
  for (const char* link : {"other/model.safetensors", "link.safetensors"}) {
    fs::create_symlink(weights, folder / link);
    const std::string out = std::string(link).starts_with("other") ? "other" : link;
    check_refused(to("hf", out, {}, "cuclip-tiny"), {"belongs to a checkpoint of a training run"});
    CHECK(read_file(weights) == before);
  }
}

TEST_CASE_METHOD(Convert, "a run's folders and another model's weights are not written to") {
  for (const char* out :
       {"run", "run/checkpoints", "run/checkpoints/step-7", "run/checkpoints/step-3/w.safetensors"})
    check_refused(to("cuclip", out, {}, "cuclip-tiny"), {"neither over a training run"});
  check_done(to("hf", "hf"));
  const std::string weights = folder / "hf/model.safetensors", before = read_file(weights);
  check_refused(to("cuclip", "hf/model.safetensors", {}, "cuclip-tiny"), {weights, "part of the model"});
  check_refused(cuclip({"encode", "image", picture(0), "--out", weights}), {weights, "part of the model"});
  CHECK(read_file(weights) == before);
}

TEST_CASE_METHOD(Convert, "what would be read instead of a part of a model is not written beside it") {
  REQUIRE(to("hf", "hf", {"--shard-size", "5KB"}).exit_code == 0);
  const std::string expected = features(folder / "hf"), captions = folder.write("captions.txt", "ab ab\n");
  const Names before = names_in(folder / "hf");
  fs::create_symlink(folder / "hf/model.safetensors.index.json", folder / "link.safetensors");
  for (const char* name : {"hf/model.safetensors", "hf/open_clip_model.safetensors", "link.safetensors",
                           "hf/merges.txt", "hf/tokenizer.txt.gz", "hf/bpe_simple_vocab_16e6.txt.gz"}) {
    INFO(name);
    const std::string file = folder / name;
    if (file.ends_with(".safetensors")) {
      check_refused(to("hf", name, {}, "cuclip-tiny"), {file});
      check_refused(cuclip({"encode", "text", "a cat", "--out", file}), {file});
      check_refused(cuclip({"index", pictures, "--out", file}), {file});
    } else {
      check_refused(run_cuclip({"tokenizer", "train", "--captions", captions, "--out", file}),
                    {file, "part of the model"});
    }
    CHECK(names_in(folder / "hf") == before);
  }
  CHECK(features(folder / "hf") == expected);
  // Weights or merges alone are no model: they may be written again.
  for (int i = 0; i < 2; ++i) check_done(to("cuclip", "model.safetensors"));
  const std::vector<std::string> train = {"tokenizer", "train", "--captions", captions, "--out"};
  fs::create_directory(folder / "merges");
  for (int i = 0; i < 2; ++i) {
    std::vector<std::string> arguments = train;
    arguments.push_back(folder / "merges/tokenizer.txt.gz");
    CHECK(run_cuclip(arguments).exit_code == 0);
  }
}

TEST_CASE_METHOD(Convert, "what links in its folder lead to is neither removed nor another model's") {
  REQUIRE(to("hf", "first", {"--shard-size", "5KB"}).exit_code == 0);
  const std::string expected = features(folder / "first");
  const Names before = names_in(folder / "first");
  fs::create_directory(folder / "linked");
  for (const std::string& name : before)
    fs::create_symlink(folder / ("first/" + name), folder / ("linked/" + name));
  check_refused(to("open_clip", "linked", {}, "cuclip-tiny"), {"is a link to", "another model"});
  CHECK(names_in(folder / "first") == before);
  CHECK(features(folder / "first") == expected);
  // Files that were moved to where no model is.
  check_done(to("hf", "moved"));
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::create_directories(folder / "elsewhere");
    fs::rename(folder / "moved" / name, folder / "elsewhere" / (std::string("my-") + name));
    fs::create_symlink(folder / "elsewhere" / (std::string("my-") + name), folder / "moved" / name);
  }
  check_done(to("open_clip", "moved"));
  CHECK(names_in(folder / "moved") == kForOpenClip);  // config.json goes
  CHECK(fs::exists(folder / "elsewhere/my-config.json"));
  CHECK(fs::is_symlink(folder / "moved/model.safetensors"));
  CHECK(features(folder / "moved") == expected);
}

TEST_CASE_METHOD(Convert, "a folder that cannot be made is told with the reason") {
  fs::create_symlink("gone", folder / "link");
  for (const auto& [name, reason] :
       {std::pair{std::string("link"), "is a link to gone, which is not a folder"},
        {std::string(300, 'x'), "File name too long"},
        {std::string(300, 'x') + ".safetensors", "File name too long"}}) {
    const CommandResult result = to("hf", name);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.err, Contains(reason) && Contains("cannot ") && !Contains("filesystem error"));
  }
}

TEST_CASE("the help says which program loads which folder") {
  std::string help = run_cuclip({"convert", "--help"}).out;
  std::replace(help.begin(), help.end(), '\n', ' ');
  CHECK_THAT(help, Contains("made with --to hf is transformers'") &&
                       Contains("made with --to open_clip is open_clip's") && Contains("Neither loads"));
}

TEST_CASE_METHOD(Convert, "a modified ResNet goes to open_clip and back, and transformers has none") {
  const std::string model = folder.write("c.json", clip_config_json(tiny_resnet_config()));
  const std::string merges = run + "/checkpoints/step-3/tokenizer.txt.gz";
  REQUIRE(to("open_clip", "oc", {"--tokenizer", merges}, model).exit_code == 0);
  CHECK(read_json("oc/open_clip_config.json").at("model_cfg").at("vision_cfg").at("layers") ==
        json({1, 2, 1, 1}));
  const Safetensors weights = Safetensors::open(folder / "oc/model.safetensors");
  CHECK(weights.find("visual.layer1.0.bn3.running_var"));
  check_done(to("cuclip", "back", {}, folder / "oc"));
  CHECK(features(folder / "back") == features(folder / "oc"));
  check_refused(to("hf", "hf", {}, folder / "oc"), {"transformers has no modified ResNets"});
  CHECK_FALSE(fs::exists(folder / "hf"));
}

}  // namespace
}  // namespace cuclip::test
