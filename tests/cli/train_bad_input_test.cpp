// What `cuclip train` does with bad data, damaged checkpoints and places it cannot write to: exit code 2 (1
// where the machine is to blame) and one clear message, or a counted skip; what was there before stays.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "models/clip/clip_config.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"
#include "tests/train/data_fixtures.h"
#include "train/data/synthetic.h"
#include "train/draw/png.h"
#include "train/loop/run_folder.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

struct TrainOnDisk {
  TrainOnDisk() {
    const auto dataset = make_synthetic_dataset({.image_size = 32, .count = 24});
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const Sample sample = dataset->load(i);
      pictures.push_back(encode_png(std::get<Image>(sample.picture)));
      captions.push_back(sample.captions[0]);
    }
  }

  // A shard of the first `good` pairs and of `bad` ones whose picture is an HTML page.
  std::string shard(const std::string& name, int64_t good, int64_t bad) const {
    TarBytes tar;
    for (int64_t i = 0; i < good; ++i) {
      tar.file(fmt::format("good{}.png", i), pictures[static_cast<size_t>(i)]);
      tar.file(fmt::format("good{}.txt", i), captions[static_cast<size_t>(i)]);
    }
    for (int64_t i = 0; i < bad; ++i) {
      tar.file(fmt::format("bad{}.jpg", i), "<!DOCTYPE html><html>404</html>");
      tar.file(fmt::format("bad{}.txt", i), "a page");
    }
    return folder.write(name, tar.finish());
  }

  // 12 steps in 4 epochs of the first 24 pairs; checkpoints only where a test asks for them, and at the end.
  Arguments arguments(const std::string& data, const Arguments& more = {}) const {
    Arguments all = {"train", "--model", model, "--train-data", data, "--out", run};
    for (const char* argument :
         {"--batch-size", "8", "--epochs", "4", "--workers", "1", "--save-frequency", "0"})
      all.push_back(argument);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  CommandResult train(const std::string& data, const Arguments& more = {}) const {
    return run_cuclip(arguments(data, more));
  }

  void check_refused(const CommandResult& result, const Arguments& mentions) const {
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    for (const std::string& mention : mentions) CHECK_THAT(result.err, Contains(mention));
  }

  TemporaryFolder folder;
  std::string run = folder / "run", model = "cuclip-tiny";
  std::vector<std::string> pictures, captions;
};

TEST_CASE_METHOD(TrainOnDisk, "training data that cannot be used is refused with the reasons") {
  check_refused(train(shard("few.tar", 5, 0)), {"few.tar has 5 usable pairs", "--batch-size 8"});
  check_refused(train(shard("bad.tar", 0, 24)), {"--max-bad-fraction", "unreadable picture", "HTML"});
  check_refused(train(shard("mixed.tar", 20, 6)), {"--max-bad-fraction", "unreadable picture"});
  const std::string whole = read_file(shard("whole.tar", 12, 0));
  check_refused(train(folder.write("cut.tar", whole.substr(0, whole.size() / 2))), {"cut.tar: truncated"});
  std::string damaged = whole;
  const size_t blocks = (pictures.front().size() + 511) / 512;
  damaged[512 * (1 + blocks) + 3] ^= 1;  // in the second member's header
  check_refused(train(folder.write("damaged.tar", damaged)), {"damaged.tar"});
  check_refused(train(folder.write("page.tar", "<html>" + std::string(600, ' '))),
                {"page.tar: expected a tar file"});
  check_refused(train(folder / "missing.tar"), {"missing.tar"});
  CHECK_FALSE(fs::exists(run + "/latest"));
}

TEST_CASE_METHOD(TrainOnDisk, "bad samples below the limit are counted, and the run continues") {
  TarBytes tar;
  for (size_t i = 0; i < pictures.size(); ++i) {
    tar.file(fmt::format("{}.png", i), pictures[i]).file(fmt::format("{}.txt", i), captions[i]);
  }
  const std::string good = pictures[0];
  tar.file("cut.png", good.substr(0, good.size() / 2)).file("cut.txt", "half a picture");
  tar.file("empty.png", "").file("empty.txt", "no bytes");
  tar.file("blank.png", good).file("blank.txt", " \n");
  tar.file("latin.png", good).file("latin.txt", "caf\xe9");
  tar.file("alone.png", good).file("lonely.txt", "no picture");
  tar.file("huge.png", good).file("huge.txt", std::string(100'000, 'x'));  // cut, and used
  const CommandResult result = train(folder.write("s.tar", tar.finish()), {"--max-bad-fraction", "0.5"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  for (const char* reason :
       {"unreadable picture", "empty caption", "caption not UTF-8", "no caption", "no picture"})
    CHECK_THAT(result.err, Contains(reason));
  CHECK(fs::exists(run + "/latest"));
}

TEST_CASE_METHOD(TrainOnDisk, "weights that do not fit or are not finite are refused before training") {
  const std::string data = shard("s.tar", 24, 0);
  REQUIRE(train(data, {"--max-steps", "1"}).exit_code == 0);
  const std::string weights = run + "/checkpoints/step-1/model.safetensors";
  std::string bytes = read_file(weights);
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\xC0\x7F", 4));  // the last value: NaN
  const std::string nan = folder.write("nan.safetensors", bytes);
  const std::string pickle = folder.write("model.pt", "PK\x03\x04 and more of a zip");
  const std::string merges = run + "/checkpoints/step-1/tokenizer.txt.gz";
  run = folder / "other";
  check_refused(train(data, {"--pretrained", nan, "--tokenizer", merges}), {"nan.safetensors", "finite"});
  check_refused(train(data, {"--pretrained", nan}),
                {"nan.safetensors", "no merges beside it", "--tokenizer"});
  check_refused(train(data, {"--pretrained", pickle}), {"model.pt", "pickled", "save_file"});
  model = "cuclip-small";
  check_refused(train(data, {"--pretrained", weights}), {"expected [", "found F32 ["});
  CHECK_FALSE(fs::exists(run + "/latest"));
}

TEST_CASE_METHOD(TrainOnDisk, "training goes on from pretrained weights with their own vocabulary") {
  REQUIRE(train(shard("s.tar", 24, 0), {"--max-steps", "1"}).exit_code == 0);
  const std::string first = run, before = run + "/checkpoints/step-1/";
  for (const std::string& pretrained : {before + "model.safetensors", before, first}) {
    run += "+";
    const CommandResult result =
        train(shard("t.tar", 16, 0), {"--max-steps", "1", "--pretrained", pretrained});
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.err, Contains("vocabulary of the pretrained weights: " + before + "tokenizer.txt.gz"));
    CHECK(read_file(run + "/checkpoints/step-1/tokenizer.txt.gz") == read_file(before + "tokenizer.txt.gz"));
  }
  run += "+";
  check_refused(train(shard("t.tar", 16, 0), {"--pretrained", folder.path()}), {"found neither"});
  ClipConfig larger = load_clip_config("cuclip-tiny");
  larger.vision.image_size *= 2;
  model = folder.write("larger.json", clip_config_json(larger));
  const CommandResult result = train(shard("t.tar", 16, 0), {"--max-steps", "1", "--pretrained", first});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("position embeddings resampled from 4 x 4 to 8 x 8"));
}

TEST_CASE_METHOD(TrainOnDisk,
                 "weights that are not finite are not saved, and moments that are not are no moments") {
  const std::string data = shard("s.tar", 24, 0);
  const CommandResult burst =
      train(data, {"--max-steps", "1", "--lr", "1e38", "--wd", "1000", "--warmup", "0"});
  INFO(burst.err);
  CHECK(burst.exit_code == 1);
  CHECK_THAT(burst.err, Contains("step 1 left weights that are not finite"));
  CHECK_FALSE(fs::exists(run + "/latest"));
  run = folder / "other";
  REQUIRE(train(data, {"--max-steps", "1"}).exit_code == 0);
  const std::string moments = run + "/checkpoints/step-1/optimizer.safetensors";
  const std::string good = read_file(moments);
  // A checkpoint of a version that saved no hashes.
  const std::string state = run + "/checkpoints/step-1/state.json";
  auto json = nlohmann::json::parse(read_file(state));
  REQUIRE(json.erase("xxh3") == 1);
  write_file_atomic(state, json.dump());
  for (const char* value : {"\xC0\x7F", "\x80\xBF"}) {  // NaN; -1, of the last parameter's squares
    write_file_atomic(moments, std::string(good).replace(good.size() - 2, 2, value, 2));
    check_refused(train(data, {"--max-steps", "2", "--resume", "latest"}),
                  {"optimizer.safetensors", "not finite, or below 0", "--resume FOLDER"});
  }
}

TEST_CASE_METHOD(TrainOnDisk, "a configuration that has changed since is no setting of the run") {
  const std::string data = shard("s.tar", 24, 0);
  ClipConfig config = load_clip_config("cuclip-tiny");
  model = folder.write("m.json", clip_config_json(config));
  REQUIRE(train(data, {"--max-steps", "1"}).exit_code == 0);
  CHECK(train(data, {"--max-steps", "2", "--resume", "latest"}).exit_code == 0);
  config.vision.layers = 1;
  folder.write("m.json", clip_config_json(config));
  check_refused(train(data, {"--max-steps", "3", "--resume", "latest"}), {"m.json has changed since"});
}

TEST_CASE_METHOD(TrainOnDisk, "what cannot be resumed from is reported, and the checkpoints stay") {
  const std::string data = shard("s.tar", 24, 0);
  REQUIRE(train(data, {"--save-every-steps", "2", "--max-steps", "4"}).exit_code == 0);
  const std::string kept = read_file(run + "/checkpoints/step-4/model.safetensors");

  check_refused(train(data), {"--resume latest"});
  check_refused(train(data, {"--resume", "latest", "--save-every-steps", "2", "--lr", "0.5", "--seed", "9"}),
                {"--lr: was '0.0005', is '0.5'", "--seed: was '0', is '9'"});
  {
    const RunFolder other_run(run);
    check_refused(train(data, {"--resume", "latest"}), {"in use by another process"});
  }
  CHECK(read_file(run + "/checkpoints/step-4/model.safetensors") == kept);

  const fs::path newest = run + "/checkpoints/step-4/optimizer.safetensors";
  fs::resize_file(newest, fs::file_size(newest) / 2);
  const CommandResult resumed =
      train(data, {"--resume", "latest", "--save-every-steps", "2", "--max-steps", "4"});
  INFO(resumed.err);
  CHECK(resumed.exit_code == 0);
  CHECK_THAT(resumed.err, Contains("step-4 is damaged") && Contains("step-2"));
  CHECK(read_file(run + "/checkpoints/step-4/model.safetensors") ==
        kept);  // computed again, to the same bits
}

TEST_CASE_METHOD(TrainOnDisk,
                 "a bit that has changed in a checkpoint's values is noticed, and the one before is used") {
  const std::string data = shard("s.tar", 24, 0);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    INFO(name);
    fs::remove_all(run);
    REQUIRE(train(data, {"--save-every-steps", "2", "--max-steps", "4"}).exit_code == 0);
    const std::string file = run + "/checkpoints/step-4/" + name;
    std::string contents = read_file(file);
    contents[contents.size() - 2] ^= 1;  // still a number, and a finite one
    write_file_atomic(file, contents);
    check_refused(train(data, {"--resume", run + "/checkpoints/step-4", "--save-every-steps", "2"}),
                  {name, "its contents are not what was saved"});
    const CommandResult resumed =
        train(data, {"--resume", "latest", "--save-every-steps", "2", "--max-steps", "4"});
    INFO(resumed.err);
    CHECK(resumed.exit_code == 0);
    CHECK_THAT(resumed.err, Contains("step-4 is damaged") && Contains(name) && Contains("step-2"));
  }
}

TEST_CASE_METHOD(TrainOnDisk, "a disk that fills up stops the run, and the last checkpoint stays") {
  const std::string data = shard("s.tar", 24, 0);
  REQUIRE(train(data, {"--save-every-steps", "2", "--max-steps", "2"}).exit_code == 0);
  const std::string kept = read_file(run + "/checkpoints/step-2/model.safetensors");
  // A limit on the size of files stands for the full disk: writing beyond it fails half-way.
  std::string command = "ulimit -f 256; exec '" + cuclip_executable() + "'";
  for (const std::string& argument : arguments(data, {"--resume", "latest", "--save-every-steps", "2"}))
    command += " '" + argument + "'";
  const CommandResult result = run_program("/bin/bash", {"-c", command});
  INFO(result.err);
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("cannot write") && Contains("step-4"));
  CHECK(read_file(run + "/checkpoints/step-2/model.safetensors") == kept);
  CHECK(read_file(run + "/latest") == "step-2\n");
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
    CHECK(entry.path().filename() == "step-2");  // nothing half-written
}

TEST_CASE_METHOD(TrainOnDisk, "a run folder that cannot be written is a failure before training") {
  const std::string data = shard("s.tar", 24, 0);
  run = "/proc/run";
  const CommandResult result = train(data);
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("cannot create the run folder /proc/run"));
}

}  // namespace
}  // namespace cuclip::test
