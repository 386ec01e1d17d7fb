// What the commands that use a model do with wrong arguments and damaged files: exit code 2 and one clear
// message, or a counted skip; nothing is lost.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

void check_refused(const CommandResult& result, const std::string& mention) {
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  CHECK_THAT(result.err, Contains(mention));
}

TEST_CASE_METHOD(ModelOnDisk, "a model that cannot be loaded is refused") {
  folder.write("model.pt", "PK\x03\x04 and more of a zip");
  folder.write("page.safetensors", "<!DOCTYPE html><html></html>");
  folder.write("open_clip_config.json", "{}");
  fs::create_directories(folder / "empty");
  const auto refused = [&](const std::string& model, const std::string& mention) {
    check_refused(run_cuclip({"classify", picture(0), "--labels", "a,b", "--model", model}), mention);
  };
  refused(folder / "model.pt", "model.pt");
  refused(folder / "page.safetensors", "page.safetensors");
  refused(folder / "empty", "model.safetensors");
  refused("no-such-model", "cuclip-small");
  refused("", "--model");
  check_refused(run_cuclip({"classify", picture(0), "--labels", "a,b"}), "--model");
}

TEST_CASE_METHOD(ModelOnDisk, "a pickled file is refused with how to convert it") {
  folder.write("m/model.pt", "PK\x03\x04 and more of a zip");
  check_refused(run_cuclip({"convert", "--model", folder / "m/model.pt", "--config-name", "cuclip-tiny",
                            "--to", "hf", "--out", folder / "o.safetensors"}),
                "save_file");
  CHECK_FALSE(fs::exists(folder / "o.safetensors"));
}

TEST_CASE_METHOD(ModelOnDisk, "a truncated latest checkpoint falls back to the one before and says so") {
  fs::copy(run + "/checkpoints/step-3", run + "/checkpoints/step-2", fs::copy_options::recursive);
  auto state = nlohmann::json::parse(read_file(run + "/checkpoints/step-2/state.json"));
  state["step"] = 2;
  write_file_atomic(run + "/checkpoints/step-2/state.json", state.dump());
  const fs::path weights = run + "/checkpoints/step-3/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) - 100);
  const CommandResult result = cuclip({"classify", picture(0), "--labels", "a,b", "--json"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("step-3") && Contains("damaged"));
  CHECK_THAT(result.out, Contains("step-2"));
}

TEST_CASE_METHOD(ModelOnDisk, "files that are not pictures are named") {
  folder.write("page.jpg", "<!DOCTYPE html><html><body>404</body></html>");
  folder.write("empty.png", "");
  folder.write("cut.png", read_file(picture(0)).substr(0, 300));
  std::string bomb = read_file(picture(0));
  bomb.replace(16, 8, std::string("\0\0\xFF\xFF\0\0\xFF\xFF", 8));  // width and height in the PNG's header
  folder.write("bomb.png", bomb);
  for (const std::string name : {"page.jpg", "empty.png", "cut.png", "bomb.png", "missing.png"}) {
    check_refused(cuclip({"classify", folder / name, "--labels", "a,b"}), name);
  }
  // In a matrix the others would stand beside the wrong captions.
  check_refused(cuclip({"matrix", "--images", picture(0), folder / "page.jpg", "--texts", "a", "b"}),
                "page.jpg");
  check_refused(cuclip({"classify", pictures, "--labels", "a,b"}), "folder");
}

TEST_CASE_METHOD(ModelOnDisk, "a matrix that is too large to paint is refused before its pictures are read") {
  std::string captions;
  for (int i = 0; i < 20'000; ++i) captions += "a\n";
  const std::string file = folder.write("captions.txt", captions), missing = folder / "missing.png";
  const auto matrix = [&](const char* out) {
    return cuclip({"matrix", "--images", missing, "--texts-file", file, "--out", folder / out});
  };
  const CommandResult painted = matrix("m.png");
  check_refused(painted, "too large to paint");
  CHECK_THAT(painted.err, Contains("draw it as .svg") && Contains("640304 x ") && !Contains("missing"));
  check_refused(matrix("m.svg"), "missing.png");
}

TEST_CASE_METHOD(ModelOnDisk, "unreadable pictures in a folder are counted and skipped") {
  folder.write("pictures/page.jpg", "<!DOCTYPE html><html></html>");
  folder.write("pictures/empty.png", "");
  const auto json = cuclip_json({"index", pictures, "--out", folder / "p.cuclip-index"});
  CHECK(json["pictures"] == 8);
  CHECK(json["unreadable"].size() == 2);
  const CommandResult encoded = cuclip({"encode", "image", pictures, "--out", folder / "f.npy"});
  CHECK(encoded.exit_code == 0);
  CHECK_THAT(encoded.err, Contains("2 pictures") && Contains("page.jpg"));
  CHECK_THAT(encoded.out, !Contains("page.jpg"));
}

TEST_CASE_METHOD(ModelOnDisk, "a folder without a readable picture is refused, and nothing is written") {
  fs::create_directories(folder / "none");
  folder.write("bad/a.png", "not a picture");
  check_refused(cuclip({"index", folder / "none", "--out", folder / "x.cuclip-index"}), "no picture");
  check_refused(cuclip({"index", folder / "bad", "--out", folder / "x.cuclip-index"}), "a.png");
  check_refused(cuclip({"index", folder / "missing", "--out", folder / "x.cuclip-index"}), "missing");
  check_refused(cuclip({"encode", "image", folder / "bad/a.png", "--out", folder / "x.npy"}), "a.png");
  CHECK_FALSE(fs::exists(folder / "x.cuclip-index"));
  CHECK_FALSE(fs::exists(folder / "x.npy"));
}

TEST_CASE_METHOD(ModelOnDisk,
                 "a file that is not an index, is damaged, or belongs to another model is refused") {
  const std::string index = folder / "p.cuclip-index";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  check_refused(cuclip({"search", picture(0), "a"}), "0.png");
  check_refused(cuclip({"search", run + "/checkpoints/step-3/model.safetensors", "a"}), "index");
  check_refused(cuclip({"search", folder / "missing", "a"}), "missing");
  const CommandResult other = run_cuclip({"search", index, "a", "--model", "cuclip-tiny"});
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.err, Contains("built with different weights"));
  fs::resize_file(index, fs::file_size(index) - 3);
  check_refused(cuclip({"search", index, "a"}), "p.cuclip-index");
}

TEST_CASE_METHOD(ModelOnDisk, "pictures that have gone since they were indexed are named, the others shown") {
  const std::string index = folder / "p.cuclip-index", sheet = folder / "s.svg";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  const auto found = [&](const Arguments& more) {
    Arguments arguments = {"search", index, "a"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = cuclip(arguments);
    CHECK(result.exit_code == 0);  // the features are still there
    CHECK(std::count(result.out.begin(), result.out.end(), '\n') == 8);
    return result.err;
  };
  CHECK(found({}).empty());
  fs::remove(picture(3));
  CHECK_THAT(found({}),
             Contains("1 of the 8 pictures found no longer exists, such as ") && Contains("/3.png; rebuild"));
  CHECK_THAT(found({"--contact-sheet", sheet}),
             Contains("1 of the 8 pictures found can no longer be read; its cell is left empty") &&
                 Contains("/3.png"));
  CHECK_THAT(read_file(sheet), Contains("(missing) 3.png") && !Contains("(missing) 2.png"));
  fs::remove_all(pictures);
  CHECK_THAT(found({"--contact-sheet", sheet}),
             Contains("8 of the 8 pictures found can no longer be read; their cells are left empty"));
}

TEST_CASE_METHOD(ModelOnDisk, "a data set that has gone or changed since it was indexed gives empty cells") {
  const std::string index = folder / "p.cuclip-index", sheet = folder / "s.svg", header = "filepath,title\n";
  const std::string table = folder.write("t.csv", header + "pictures/0.png,zero\npictures/1.png,one\n");
  REQUIRE(cuclip({"index", table, "--out", index}).exit_code == 0);
  folder.write("t.csv", header + "pictures/0.png,zero\npictures/2.png,two\n");
  const auto search = [&] { return cuclip({"search", index, "a", "--contact-sheet", sheet}); };
  const CommandResult changed = search();
  CHECK(changed.exit_code == 0);
  CHECK_THAT(changed.err, Contains("1 of the 2 pictures") && Contains("expected pictures/1.png at place 1"));
  CHECK_THAT(read_file(sheet), Contains("(missing) pictures/1.png") && Contains("zero"));
  fs::remove(table);
  const CommandResult gone = search();
  CHECK(gone.exit_code == 0);
  CHECK_THAT(gone.err, Contains("2 of the 2 pictures") && Contains("t.csv"));
  CHECK_THAT(gone.out, Contains("pictures/0.png") && Contains("pictures/1.png"));
}

TEST_CASE_METHOD(ModelOnDisk, "an index whose model has gone says so") {
  const std::string index = folder / "p.cuclip-index";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  fs::rename(run, folder / "moved");
  check_refused(run_cuclip({"search", index, "a"}),
                "no longer at " + run + "; pass its new location with --model");
  CHECK(run_cuclip({"search", index, "a", "--model", folder / "moved"}).exit_code == 0);
}

TEST_CASE_METHOD(ModelOnDisk, "arguments that contradict or lack something are refused") {
  const std::string index = folder / "p.cuclip-index";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  const std::vector<std::pair<Arguments, std::string>> wrong = {
      {{"classify", picture(0)}, "--labels"},
      {{"classify", picture(0), "--labels", "a,,b"}, "empty"},
      {{"classify", picture(0), "--labels", ""}, "empty"},
      {{"classify", picture(0), "--labels", "a,b", "--templates", "no-such-file"}, "no-such-file"},
      {{"classify", picture(0), "--labels", "a,b", "--device", "tpu"}, "--device"},
      {{"classify", picture(0), "--labels", "a,b", "--device", "cuda"}, "device cuda: "},
      {{"classify", picture(0), "--labels", "a,b", "--device", "cuda:77"}, "device cuda:77: "},
      {{"classify", picture(0), "--labels", "a,b", "--device", "cuda:x"},
       "--device: expected a GPU's number"},
      {{"classify", picture(0), "--labels", "a,b", "--precision", "fp8"}, "--precision"},
      {{"classify", picture(0), "--labels", "a,b", "--threads", "-1"}, "--threads"},
      {{"classify", picture(0), "--labels", "a,b", "--tokenizer", picture(0)}, "0.png"},
      {{"matrix", "--images", picture(0)}, "captions"},
      {{"matrix", "--images", picture(0), "--texts", "a", "--out", "m.gif"}, ".svg or .png"},
      {{"encode", "image", picture(0), "--out", "f.txt"}, ".npy"},
      {{"encode", "text", "--out", folder / "f.npy"}, "--texts-file"},
      {{"encode", "audio", "--out", folder / "f.npy"}, "subcommand"},
      {{"search", index}, "neither"},
      {{"search", index, "a", "--top", "0"}, "--top"},
      {{"search", index, "a", "--contact-sheet", "s.gif"}, ".png or .svg"},
      {{"convert", "--to", "onnx", "--out", folder / "x"}, "--to"},
      {{"eval", "retrieval", "--data", folder / "missing.tar"}, "missing.tar"},
      {{"eval", "zero-shot", "--data", folder / "missing"}, "missing"},
      {{"eval", "zero-shot", "--data", "synthetic:cubes"}, "synthetic:shapes"},
      {{"eval"}, "subcommand"},
  };
  for (const auto& [arguments, mention] : wrong) {
    INFO(arguments[0] << " … " << arguments.back());
    check_refused(cuclip(arguments), mention);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "a place that cannot be written to is a failure") {
  const std::vector<Arguments> commands = {
      {"encode", "image", picture(0), "--out", "/proc/f.npy"},
      {"encode", "text", "a", "--out", "/proc/f.safetensors"},
      {"index", pictures, "--out", "/proc/x.cuclip-index"},
      {"matrix", "--images", picture(0), "--texts", "a", "--out", "/proc/m.png"},
      {"convert", "--to", "hf", "--out", "/proc/m.safetensors"},
  };
  for (const Arguments& arguments : commands) {
    INFO(arguments[0]);
    const CommandResult result = cuclip(arguments);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.err, Contains("cannot"));
    if (arguments[0] == "convert")
      continue;  // it computes nothing, and compares the place with the weights' first
    // The place is tried before the model is even looked for.
    Arguments without_model = arguments;
    without_model.insert(without_model.end(), {"--model", folder / "no-such-model"});
    const CommandResult first = run_cuclip(without_model);
    CHECK(first.exit_code == 1);
    CHECK_THAT(first.err, Contains("cannot") && !Contains("no-such-model"));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "every command and subcommand explains itself with an example") {
  const std::vector<Arguments> commands = {{"classify"},
                                           {"matrix"},
                                           {"encode"},
                                           {"encode", "image"},
                                           {"encode", "text"},
                                           {"eval"},
                                           {"index"},
                                           {"eval", "retrieval"},
                                           {"eval", "zero-shot"},
                                           {"eval", "probe"},
                                           {"search"},
                                           {"convert"},
                                           {"info"}};
  for (Arguments arguments : commands) {
    INFO(arguments.back());
    arguments.push_back("--help");
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.out, Contains("Example") && Contains("  cuclip " + arguments[0]));
  }
}

}  // namespace
}  // namespace cuclip::test
