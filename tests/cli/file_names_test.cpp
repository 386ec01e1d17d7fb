// Names of files that a command reads, prints and writes: odd ones, and ones that it must not write over.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "models/files/names.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

// Folders and pictures with names that only tests and attackers give them.
struct OddNames : ModelOnDisk {
  OddNames() {
    for (const std::string name : {"new\nline.png", "\x1b[31mred.png", "caf\xE9.png", "plain.png"})
      folder.write(odd_folder() + "/" + name, bmp_bytes(random_image(20, 17)));
  }
  static std::string odd_folder() { return "fold\xE9r"; }
  std::string odd() const { return (folder / odd_folder()).string(); }
  std::string index() const { return folder / "odd.cuclip-index"; }

  CommandResult done(const Arguments& arguments) const {
    const CommandResult result = cuclip(arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(escaped_text(result.err) == result.err);
    return result;
  }
};

void check_table(const std::string& table, int lines) {
  CHECK(std::count(table.begin(), table.end(), '\n') == lines);
  CHECK(escaped_text(table) == table);
  CHECK_THAT(table, Contains("new\\nline.png") && Contains("\\x1b[31mred.png") && Contains("caf\\xe9.png"));
}

TEST_CASE_METHOD(OddNames, "tables have one line for each name, and no escape sequences") {
  done({"index", odd(), "--out", index()});
  check_table(done({"search", index(), "a", "--contact-sheet", folder / "s.svg"}).out, 4);
  CHECK_THAT(read_file(folder / "s.svg"), !Contains("(missing)") && Contains("caf\\xe9.png"));
  check_table(done({"encode", "image", odd(), "--out", folder / "f.npy"}).out, 4);
  check_table(done({"matrix", "--texts", "a\nb", "--images", odd() + "/new\nline.png",
                    odd() + "/\x1b[31mred.png", odd() + "/caf\xE9.png"})
                  .out,
              5);
}

TEST_CASE_METHOD(OddNames, "errors and warnings have no escape sequences either") {
  folder.write(odd_folder() + "/bad\x1b[2J.png", "no picture");
  CHECK_THAT(done({"index", odd(), "--out", index()}).err, Contains("bad\\x1b[2J.png"));
  const std::string steering = "pairs\x1b[2J";
  for (const char* name : {"/a.png", "/b.png"}) folder.write(steering + name, bmp_bytes(random_image(9, 9)));
  folder.write(steering + "/a.txt", "a");
  const CommandResult stats = run_cuclip({"data", "stats", folder / steering});
  CHECK(stats.exit_code == 0);
  CHECK_THAT(stats.out + stats.err, Contains("pairs\\x1b[2J") && !Contains("\x1b"));
  const CommandResult refused = cuclip({"classify", odd() + "/bad\x1b[2J.png", "--labels", "a,b"});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("bad\\x1b[2J.png") && !Contains("\x1b"));
}

TEST_CASE_METHOD(OddNames, "JSON has the bytes of names that are not UTF-8") {
  cuclip_json({"index", odd(), "--out", index()});
  const Json found = cuclip_json({"search", index(), "a"});
  REQUIRE(found["hits"].size() == 4);
  for (const Json& hit : found["hits"])  // the folder's name makes all of them no UTF-8
    CHECK(path_exists(percent_decoded(hit.at("path_bytes").get<std::string>())));

  const Json encoded = cuclip_json({"encode", "image", odd(), picture(0), "--out", folder / "f\xE9.npy"});
  CHECK(percent_decoded(encoded["out_bytes"].get<std::string>()) == folder / "f\xE9.npy");
  CHECK(encoded["rows"][4] == picture(0));
  CHECK(encoded["rows_bytes"].size() == 4);
  for (const auto& [place, name] : encoded["rows_bytes"].items())
    CHECK(path_exists(percent_decoded(name.get<std::string>())));
  CHECK_FALSE(cuclip_json({"encode", "image", picture(0), "--out", folder / "f.npy"}).contains("rows_bytes"));

  const std::string cafe = odd() + "/caf\xE9.png";
  const Json classified = cuclip_json({"classify", cafe, "--labels", "a,b"});
  CHECK(percent_decoded(classified["image_bytes"].get<std::string>()) == cafe);
  const Json matrix = cuclip_json({"matrix", "--images", picture(0), cafe, "--texts", "a"});
  CHECK(percent_decoded(matrix["images_bytes"]["1"].get<std::string>()) == cafe);

  folder.write(odd_folder() + "/b\xE9.png", "no picture");
  const Json unreadable = cuclip_json({"index", odd(), "--out", index()})["unreadable"];
  REQUIRE(unreadable.size() == 1);
  CHECK(percent_decoded(unreadable[0]["path_bytes"].get<std::string>()) == odd() + "/b\xE9.png");
}

TEST_CASE_METHOD(OddNames, "data, model and run may lie in folders whose names are not UTF-8") {
  for (int i = 0; i < 8; ++i) {
    folder.write(odd_folder() + "/pairs/" + std::to_string(i) + ".png", bmp_bytes(random_image(15, 15)));
    folder.write(odd_folder() + "/pairs/" + std::to_string(i) + ".txt", "picture " + std::to_string(i));
  }
  const std::string out = odd() + "/run";
  const auto train = [&](const char* steps, const Arguments& more) {
    Arguments arguments = {"train",
                           "--model",
                           "cuclip-tiny",
                           "--train-data",
                           odd() + "/pairs",
                           "--out",
                           out,
                           "--batch-size",
                           "8",
                           "--threads",
                           "1",
                           "--max-steps",
                           steps};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_cuclip(arguments);
  };
  const CommandResult first = train("1", {});
  INFO(first.err);
  REQUIRE(first.exit_code == 0);
  const CommandResult second = train("2", {"--resume", "latest"});
  INFO(second.err);
  REQUIRE(second.exit_code == 0);
  const CommandResult indexed = run_cuclip({"index", pictures, "--out", index(), "--model", out, "--json"});
  CHECK(indexed.exit_code == 0);
  CHECK(run_cuclip({"search", index(), "a"}).exit_code == 0);  // with the model that the index names
}

TEST_CASE_METHOD(OddNames, "the tokeniser's JSON is JSON, whatever its file is called") {
  const std::string captions = folder.write("c.txt", "ab ab\n");
  const CommandResult learned =
      run_cuclip({"tokenizer", "train", "--captions", captions, "--out", folder / "m\xE9.txt", "--json"});
  CHECK(learned.exit_code == 0);
  CHECK(percent_decoded(Json::parse(learned.out)["out_bytes"].get<std::string>()) == folder / "m\xE9.txt");
}

TEST_CASE_METHOD(ModelOnDisk, "what is read is not written over") {
  const std::string weights = run + "/checkpoints/step-3/model.safetensors";
  const std::string captions = folder.write("captions.txt", "ab ab\n"), shard = folder.write("s.tar", "x");
  REQUIRE(cuclip({"index", pictures, "--out", folder / "p.cuclip-index"}).exit_code == 0);
  const std::pair<Arguments, std::string> commands[] = {
      {{"matrix", "--images", picture(1), picture(0), "--texts", "a", "--out", picture(0)}, picture(0)},
      {{"search", folder / "p.cuclip-index", "--image", picture(0), "--contact-sheet", picture(0)},
       picture(0)},
      {{"index", pictures, "--out", picture(0)}, picture(0)},
      {{"index", pictures, "--out", shard}, shard},
      {{"index", pictures, "--out", weights}, weights},
      {{"convert", "--to", "hf", "--out", weights}, weights},
      {{"convert", "--to", "hf", "--out", fs::path(weights).parent_path()}, weights},
  };
  for (const auto& [arguments, file] : commands) {
    INFO(arguments[0] << " ... " << arguments.back());
    const std::string before = read_file(file);
    const CommandResult result = cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(file) && Contains("over"));
    CHECK(read_file(file) == before);
  }
  const CommandResult learned = run_cuclip({"tokenizer", "train", "--captions", captions, "--out", captions});
  CHECK(learned.exit_code == 2);
  CHECK(read_file(captions) == "ab ab\n");
  // An index is replaced by a new one, and an empty file (mktemp makes one) by a first.
  CHECK(cuclip({"index", pictures, "--out", folder / "p.cuclip-index"}).exit_code == 0);
  CHECK(cuclip({"index", pictures, "--out", folder.write("empty", "")}).exit_code == 0);
}

TEST_CASE_METHOD(ModelOnDisk, "no input of a command is written over by it, however it is named") {
  const std::string index = folder / "p.cuclip-index", merges = run + "/checkpoints/step-3/tokenizer.txt.gz";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  const std::string table = folder.write("t.csv", "filepath,title\npictures/0.png,zero\n"),
                    of_table = folder / "t.cuclip-index";
  REQUIRE(cuclip({"index", table, "--out", of_table}).exit_code == 0);
  const std::string list = folder.write("t.npy", "a red cat\n"),
                    drawing = folder.write("t.svg", "a red cat\n");
  const std::string tokenizer = folder / "tk.npy", config = folder / "c/config.json";
  fs::copy_file(merges, tokenizer);
  fs::create_directories(folder / "c");
  fs::copy_file(run + "/checkpoints/step-3/open_clip_config.json", config);
  fs::copy_file(run + "/checkpoints/step-3/model.safetensors", folder / "w.safetensors");
  fs::copy_file(picture(0), folder / "p.npy");
  fs::create_symlink(picture(0), folder / "link.npy");
  const std::string weights = folder / "w.safetensors";
  const std::pair<Arguments, std::string> commands[] = {
      {{"encode", "text", "--texts-file", list, "--out", list, "--model", run}, list},
      {{"matrix", "--images", picture(0), "--texts-file", drawing, "--out", drawing, "--model", run},
       drawing},
      {{"encode", "image", folder / "p.npy", "--out", folder / "p.npy", "--model", run}, folder / "p.npy"},
      {{"encode", "image", pictures, "--out", folder / "link.npy", "--model", run}, picture(0)},
      {{"encode", "text", "a", "--tokenizer", tokenizer, "--out", tokenizer, "--model", run}, tokenizer},
      {{"encode", "text", "a", "--out", weights, "--model", weights, "--config-name", config, "--tokenizer",
        merges},
       weights},
      {{"convert", "--to", "hf", "--out", folder / "c", "--model", weights, "--config-name", config}, config},
      {{"search", index, "a", "--contact-sheet", picture(5)}, picture(5)},
      {{"search", of_table, "a", "--contact-sheet", picture(0)}, picture(0)},
  };
  for (const auto& [arguments, file] : commands) {
    INFO(arguments[0] << " over " << file);
    const std::string before = read_file(file);
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(file) && Contains("would be overwritten"));
    CHECK(result.out.empty());
    CHECK(read_file(file) == before);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "a file of another kind is not written over") {
  const std::string captions = folder.write("captions.txt", "ab ab\n"), step = run + "/checkpoints/step-3";
  const std::string index = folder / "p.cuclip-index";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  const std::string config = folder.write("other/config.json", "{\"mine\": 1}");
  const std::string photo = folder.write("photo.png", "\xFF\xD8\xFF a JPEG"),
                    notes = folder.write("n.svg", "my notes");
  const std::pair<Arguments, std::string> commands[] = {
      {{"tokenizer", "train", "--captions", captions, "--out", photo}, photo},
      {{"tokenizer", "train", "--captions", captions, "--out", notes}, notes},
      {{"matrix", "--images", picture(0), "--texts", "a", "--out", photo, "--model", run}, photo},
      {{"matrix", "--images", picture(0), "--texts", "a", "--out", notes, "--model", run}, notes},
      {{"search", index, "a", "--contact-sheet", photo}, photo},
      {{"convert", "--to", "hf", "--out", step + "/optimizer.safetensors", "--model", run},
       step + "/optimizer.safetensors"},
      {{"encode", "text", "a", "--out", step + "/optimizer.safetensors", "--model", run},
       step + "/optimizer.safetensors"},
      {{"convert", "--to", "hf", "--out", folder / "other", "--model", run}, config},
  };
  for (const auto& [arguments, file] : commands) {
    INFO(arguments[0] << " over " << file);
    const std::string before = read_file(file);
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(file) && Contains("would be overwritten"));
    CHECK(read_file(file) == before);
  }
  CHECK_FALSE(fs::exists(folder / "other/model.safetensors"));
  const CommandResult beside = cuclip({"convert", "--to", "hf", "--out", step + "/hf.safetensors"});
  CHECK(beside.exit_code == 2);
  CHECK_FALSE(fs::exists(step + "/hf.safetensors"));
}

TEST_CASE_METHOD(ModelOnDisk,
                 "what a command wrote it replaces; it makes a folder that it fills, but no file's folder") {
  const std::string captions = folder.write("captions.txt", "ab ab\n");
  const std::string index = folder / "p.cuclip-index";
  REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0);
  const std::string made = folder / "made/";
  const Arguments again[] = {
      {"tokenizer", "train", "--captions", captions, "--out", made + "m.txt"},
      {"tokenizer", "train", "--captions", captions, "--out", made + "m.txt.gz"},
      {"matrix", "--images", picture(0), "--texts", "a", "--out", made + "m.png", "--model", run},
      {"matrix", "--images", picture(0), "--texts", "a", "--out", made + "m.svg", "--model", run},
      {"search", index, "a", "--contact-sheet", made + "s.png"},
      {"encode", "text", "a", "--out", made + "f.npy", "--model", run},
      {"encode", "text", "a", "--out", made + "f.safetensors", "--model", run},
      {"index", pictures, "--out", made + "i.cuclip-index", "--model", run},
      {"convert", "--to", "hf", "--out", made + "5/hf", "--model", run},
      {"convert", "--to", "hf", "--out", made + "hf.safetensors", "--model", run},
  };
  for (const Arguments& arguments : again) {
    const bool fills = arguments[0] == "convert" && !arguments[4].ends_with(".safetensors");
    if (!fills) {
      const CommandResult missing = run_cuclip(arguments);
      INFO(arguments[0]);
      CHECK(missing.exit_code == 2);
      CHECK_THAT(missing.err,
                 Contains("there is no folder " + folder.path().string() + "/made; make it first"));
      CHECK_FALSE(fs::exists(made));
      fs::create_directories(made);
    }
    for (int time = 0; time < 2; ++time) {
      const CommandResult result = run_cuclip(arguments);
      INFO(arguments[0] << " " << result.err);
      CHECK(result.exit_code == 0);
    }
    fs::remove_all(made);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "what is not a file is left alone") {
  fs::create_symlink("/dev/null", folder / "null.cuclip-index");
  const CommandResult refused = cuclip({"index", pictures, "--out", folder / "null.cuclip-index"});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("it exists and is not a regular file"));
}

TEST_CASE_METHOD(ModelOnDisk, "a picture comes from a pipe") {
  const CommandResult result =
      run_program("/bin/bash", {"-c", "cat '" + picture(0) + "' | '" + cuclip_executable() +
                                          "' classify /dev/stdin --labels a,b --model '" + run + "'"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
}

}  // namespace
}  // namespace cuclip::test
