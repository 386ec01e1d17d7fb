// cuclip eval probe and eval zero-shot on folders of labelled pictures.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

// Pictures of one colour, a little different each, in a folder for each class.
struct ColouredFolders : ModelOnDisk {
  ColouredFolders() {
    for (int i = 0; i < 12; ++i) {
      write_picture("set/bright_red/" + std::to_string(i) + ".png", 220, 20);
      write_picture("set/blue/" + std::to_string(i) + ".png", 20, 220);
      if (i < 4) write_picture("test/blue/" + std::to_string(i) + ".png", 20, 220);
      if (i < 3) write_picture("test/bright_red/" + std::to_string(i) + ".png", 220, 20);
    }
  }

  void write_picture(const std::string& name, int red, int blue) const {
    Image image = random_image(14, 13);
    for (size_t p = 0; p < image.rgb.size(); ++p) {
      const int base = p % 3 == 0 ? red : p % 3 == 2 ? blue : 90;
      image.rgb[p] = static_cast<uint8_t>(base + image.rgb[p] % 16);
    }
    folder.write(name, bmp_bytes(image));
  }
  CommandResult probe(std::vector<std::string> more) const {
    more.insert(more.begin(), {"eval", "probe"});
    return cuclip(more);
  }
  void check_refused(const std::vector<std::string>& more, const std::string& mention) const {
    const CommandResult result = probe(more);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains(mention));
  }

  const std::string set = folder / "set", test_set = folder / "test";
};

TEST_CASE_METHOD(ColouredFolders, "eval probe learns to tell colours apart") {
  const auto json = cuclip_json({"eval", "probe", "--data", set, "--test-data", test_set});
  CHECK(json["training_pictures"] == 24);
  CHECK(json["validation_pictures"] == 4);
  CHECK(json["pictures"] == 7);
  CHECK(json["top1"] == 1);
  CHECK(json["classes"][1]["class"] == "bright red");
  CHECK(json["classes"][1]["pictures"] == 3);
  CHECK(json["unreadable"] == 0);
  CHECK(json["converged"].is_boolean());
  CHECK_FALSE(json.contains("few_shot"));

  const auto part =
      cuclip_json({"eval", "probe", "--data", set, "--test-fraction", "0.25", "--lambda", "0.5"});
  CHECK(part["training_pictures"] == 18);
  CHECK(part["pictures"] == 6);
  CHECK(part["lambda"] == 0.5);
  CHECK(part["validation_accuracy"].is_null());

  const CommandResult table = probe({"--data", set, "--shots", "1,3", "--draws", "2"});
  INFO(table.err);
  CHECK(table.exit_code == 0);
  CHECK_THAT(table.out, Contains("shots") && Contains("spread") && Contains("\n    all") &&
                            Contains("lambda") && Contains("95 % interval") && Contains("bright red"));
  const auto few = cuclip_json({"eval", "probe", "--data", set, "--shots", "1,3"})["few_shot"];
  REQUIRE(few.size() == 2);
  CHECK(few[1]["shots"] == 3);
  CHECK(few[1]["draws"].size() == 3);
}

TEST_CASE_METHOD(ColouredFolders, "eval probe gives the same for any number of threads") {
  const auto one = cuclip_json({"eval", "probe", "--data", set, "--threads", "1"});
  CHECK(cuclip_json({"eval", "probe", "--data", set, "--threads", "3"}) == one);
}

TEST_CASE_METHOD(ColouredFolders, "eval probe takes a table, and synthetic:shapes") {
  std::string rows = "filepath,label\n";
  for (int i = 0; i < 12; ++i) {
    rows += "set/blue/" + std::to_string(i) + ".png,B\n";
    rows += "set/bright_red/" + std::to_string(i) + ".png,R\n";
  }
  const auto table = cuclip_json({"eval", "probe", "--data", folder.write("labels.csv", rows)});
  CHECK(table["pictures"] == 4);
  CHECK(table["classes"][0]["class"] == "B");
  const auto shapes =
      cuclip_json({"eval", "probe", "--data", "synthetic:shapes", "--count", "600", "--lambda", "1"});
  CHECK(shapes["classes"].size() == 84);
  CHECK(shapes["pictures"].get<int>() + shapes["training_pictures"].get<int>() == 600);
}

TEST_CASE_METHOD(ColouredFolders, "eval probe leaves out what cannot be read, and says so") {
  folder.write("set/blue/12.png", "<html>");
  const CommandResult result = probe({"--data", set, "--test-data", test_set, "--json"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("1 picture could not be read"));
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json["unreadable"] == 1);
  CHECK(json["training_pictures"] == 24);
}

TEST_CASE_METHOD(ColouredFolders, "eval probe refuses what it cannot learn") {
  write_picture("one/cat/0.png", 3, 3);
  write_picture("one/cat/1.png", 4, 3);
  check_refused({"--data", folder / "one"},
                "--test-fraction 0.2 of 2 pictures of 1 class leaves none to test");
  check_refused({"--data", folder / "one", "--test-data", folder / "one"},
                "at least two classes, found 1 class");
  check_refused({"--data", set, "--val-fraction", "0.01"}, "to choose lambda on, found 0");
  check_refused({"--data", set, "--shots", "1,100"}, "100 shots were asked for");
  write_picture("test/wolf/0.png", 100, 100);
  check_refused({"--data", set, "--test-data", test_set}, "the class \"wolf\" of the test pictures");
  folder.write("set/wolf/0.png", "<html>");  // no picture of it can be read
  check_refused({"--data", set, "--test-data", test_set}, "the class \"wolf\" has no training picture");
}

TEST_CASE_METHOD(ColouredFolders,
                 "eval probe refuses flags that contradict one another or are out of range") {
  for (const auto& [more, mention] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--shots", "0"}, "--shots"},
           {{"--shots", "1,x"}, "--shots"},
           {{"--draws", "0"}, "--draws"},
           {{"--lambda", "0"}, "--lambda"},
           {{"--lambda", "nan"}, "--lambda"},
           {{"--val-fraction", "1"}, "--val-fraction"},
           {{"--test-fraction", "0"}, "--test-fraction"},
           {{"--test-data", test_set, "--test-fraction", "0.5"}, "--test-fraction"},
           {{"--lambda", "1", "--val-fraction", "0.5"}, "--val-fraction"},
           {{"--confusion", folder / "c.gif"}, ".svg or .png"},
           {{"--test-data", folder / "missing"}, "missing"}}) {
    std::vector<std::string> arguments = {"--data", set};
    arguments.insert(arguments.end(), more.begin(), more.end());
    check_refused(arguments, mention);
  }
  check_refused({"--data", set, "--test-data", "synthetic:shapes"}, "--test-data synthetic:shapes");
  check_refused({"--data", set, "--corrupt", "blur:1"}, "give them with --test-data");
  check_refused({"--data", set, "--test-data", test_set, "--corrupt", "blur:6"}, "--corrupt must be");
  check_refused({"--data", "synthetic:cubes"}, "synthetic:shapes");
  check_refused({"--data", "synthetic:shapes", "--test-data", test_set}, "--test-data");
}

TEST_CASE_METHOD(ColouredFolders, "the confusion of classes is drawn as SVG and PNG") {
  const std::string svg = folder / "c.svg", png = folder / "c.png";
  const auto json =
      cuclip_json({"eval", "probe", "--data", set, "--test-data", test_set, "--confusion", svg});
  CHECK(json["confusion"] == svg);
  CHECK_THAT(read_file(svg), Contains("bright red") && Contains("Confusion"));
  cuclip_json({"eval", "zero-shot", "--data", test_set, "--confusion", png});
  CHECK_THAT(read_file(png), Catch::StartsWith("\x89PNG"));
  const CommandResult refused =
      cuclip({"eval", "zero-shot", "--data", "synthetic:shapes", "--confusion", svg});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("--confusion: ") && Contains("choices of their own"));
}

TEST_CASE_METHOD(ColouredFolders, "what is to be read is read before the model is loaded") {
  const std::string none = folder / "none", model = folder / "no-such-model",
                    bad = folder.write("bad.txt", "no place for the class\n");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"zero-shot", "--data", none},
                                             {"zero-shot", "--data", set, "--classes", none},
                                             {"zero-shot", "--data", set, "--templates", none},
                                             {"zero-shot", "--data", set, "--templates", bad},
                                             {"probe", "--data", none},
                                             {"probe", "--data", set, "--test-data", none},
                                             {"retrieval", "--data", none}}) {
    std::vector<std::string> all = {"eval", "--model", model};
    all.insert(all.begin() + 1, arguments.begin(), arguments.end());
    const CommandResult result = run_cuclip(all);
    INFO(arguments[0] << " … " << arguments.back());
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(arguments.back()) && !Contains("no-such-model"));
  }
}

TEST_CASE_METHOD(ColouredFolders, "flags that the data have no use for are refused") {
  const auto refused = [&](std::vector<std::string> arguments, const std::string& flag) {
    arguments.insert(arguments.begin(), "eval");
    const CommandResult result = cuclip(arguments);
    INFO(arguments[1] << " … " << arguments.back() << ": " << result.err);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(flag));
  };
  const std::string shapes = "synthetic:shapes";
  for (const std::vector<std::string>& flag :
       std::vector<std::vector<std::string>>{{"--templates", "openai7"},
                                             {"--templates", "/nonexistent"},
                                             {"--classes", "c.txt"},
                                             {"--csv-img-key", "a"},
                                             {"--csv-label-key", "a"},
                                             {"--corrupt", "blur:1"}})
    refused({"zero-shot", "--data", shapes, flag[0], flag[1]}, flag[0] + ": --data synthetic:shapes ");
  for (const std::vector<std::string>& flag :
       std::vector<std::vector<std::string>>{{"--count", "9"}, {"--seed", "2"}})
    refused({"zero-shot", "--data", set, flag[0], flag[1]}, flag[0] + ": only --data synthetic:shapes");
  for (const std::string flag : {"--csv-img-key", "--csv-label-key"}) {
    refused({"zero-shot", "--data", set, flag, "a"}, flag + ": " + set + " is a folder");
    refused({"probe", "--data", set, "--test-data", test_set, flag, "a"},
            flag + ": " + set + " is not a table");
    refused({"probe", "--data", shapes, flag, "a"}, flag + ": synthetic:shapes is not a table");
  }
  refused({"probe", "--data", set, "--count", "9"}, "--count: only --data synthetic:shapes");
  refused({"probe", "--data", set, "--draws", "2"}, "--shots");
}

TEST_CASE_METHOD(ColouredFolders, "classes that are one to the model are refused, and named") {
  const auto refused = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"eval", "zero-shot", "--model", folder / "no-such-model", "--data"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 2);
    return result.err;
  };
  CHECK_THAT(refused({set, "--classes", folder.write("c.txt", "blue\tsky\nbright_red\tSky \n")}),
             Contains("\"blue\" and \"bright_red\" are one class") && Contains("both \"sky\""));
  write_picture("set/bright red/0.png", 220, 20);
  CHECK_THAT(refused({set}), Contains("\"bright red\" and \"bright_red\" are one class"));
}

TEST_CASE_METHOD(ColouredFolders, "pictures beside the class folders are reported") {
  write_picture("set/stray.png", 3, 3);
  const std::string note = "passed over 1 picture beside the class folders: stray.png";
  CHECK_THAT(cuclip({"eval", "zero-shot", "--data", set}).err, Contains(note));
  CHECK_THAT(cuclip({"eval", "probe", "--data", set, "--lambda", "1"}).err, Contains(note));
}

TEST_CASE_METHOD(ColouredFolders, "pictures to test are corrupted, those to learn from are not") {
  const auto clean = cuclip_json({"eval", "probe", "--data", set, "--test-data", test_set}),
             pale = cuclip_json(
                 {"eval", "probe", "--data", set, "--test-data", test_set, "--corrupt", "contrast:5"});
  CHECK(pale["corrupt"] == "contrast:5");
  CHECK_FALSE(clean.contains("corrupt"));
  for (const char* of_training : {"lambda", "iterations", "validation_accuracy", "training_pictures"})
    CHECK(pale[of_training] == clean[of_training]);
  CHECK(cuclip_json({"eval", "zero-shot", "--data", test_set, "--corrupt", "noise:5"})["corrupt"] ==
        "noise:5");
  const std::string svg = folder / "c.svg";
  for (const std::vector<std::string>& of_measure : std::vector<std::vector<std::string>>{
           {"zero-shot", "--data", test_set}, {"probe", "--data", set, "--test-data", test_set}}) {
    std::vector<std::string> arguments = {"eval", "--corrupt", "noise:5", "--confusion", svg};
    arguments.insert(arguments.begin() + 1, of_measure.begin(), of_measure.end());
    CHECK_THAT(cuclip(arguments).out, Contains("pictures corrupted by noise:5\n"));
    CHECK_THAT(read_file(svg), Contains("corrupted by noise:5; rows"));
  }
}

TEST_CASE_METHOD(ColouredFolders, "eval zero-shot gives intervals, and takes OpenAI's 80 templates") {
  const auto json = cuclip_json({"eval", "zero-shot", "--data", test_set, "--templates", "openai80"});
  CHECK(json["pictures"] == 7);
  const double top1 = json["top1"], low = json["top1_interval"][0], high = json["top1_interval"][1];
  CHECK(low <= top1);
  CHECK(high >= top1);
  CHECK(high - low > 0.3);  // of 7 pictures
  CHECK_FALSE(json.contains("top5"));
  const CommandResult text = cuclip({"eval", "zero-shot", "--data", test_set});
  CHECK_THAT(text.out, Contains("7 pictures of 2 classes (chance 0.500)") && Contains("95 % interval") &&
                           !Contains("top-5"));
  const CommandResult twice = cuclip(
      {"eval", "zero-shot", "--data", test_set, "--classes", folder.write("c.txt", "blue\n\nblue\tsky\n")});
  CHECK(twice.exit_code == 2);
  CHECK_THAT(twice.err, Contains("line 3: the class \"blue\" is listed already, in line 1"));
}

}  // namespace
}  // namespace cuclip::test
