// cuclip eval search, and what cuclip report says of searches.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"
#include "train/data/threshold_eval.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

struct CaptionedFolder : ModelOnDisk {
  CaptionedFolder() {
    const std::vector<std::string> captions = {"a bird",  "two birds", "an apple", "a red apple",
                                               "a house", "a bird",    "\u9CE5"};
    for (size_t i = 0; i < captions.size(); ++i)
      folder.write("pictures/" + std::to_string(i) + ".txt", captions[i]);
    folder.write("pictures/below/7.txt", "another");
  }

  CommandResult search(std::vector<std::string> more) const {
    more.insert(more.begin(), {"eval", "search", "--data", pictures});
    return cuclip(more);
  }
  nlohmann::json search_json(std::vector<std::string> more) const {
    more.insert(more.begin(), {"eval", "search", "--data", pictures});
    return cuclip_json(more);
  }
  void check_refused(const std::vector<std::string>& more, const std::string& mention) const {
    const CommandResult result = search(more);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains(mention));
  }
};

TEST_CASE_METHOD(CaptionedFolder, "eval search counts the pictures of every built-in word") {
  const auto json = search_json({});
  CHECK(json["pictures"] == 8);
  CHECK(json["top"] == 12);
  CHECK(json["words_found"] == 3);
  CHECK(json["missing"].size() == 22);
  REQUIRE(json["words"].size() == 3);
  CHECK(json["words"][0]["word"] == "bird");
  CHECK(json["words"][0]["pictures"] == 3);
  for (const auto& word : json["words"]) {
    for (const char* form : {"bare", "with_article"}) {
      CHECK(word[form]["precision"].get<double>() <= 1);
      CHECK(word[form]["average_precision"].get<double>() > 0);
    }
    CHECK_FALSE(word.contains("templates"));
  }
  CHECK(json["mean"]["chance"]["precision"].get<double>() == Approx((3.0 + 1.0 + 2.0) / 8 / 3));
  CHECK(search_json({"--limit", "2"})["words_found"] == 1);
  const CommandResult table = search({});
  CHECK(table.exit_code == 0);
  CHECK_THAT(table.out, Contains("8 pictures") && Contains("a/an") && Contains("\nmean") &&
                            Contains("not counted: flower, car"));
}

TEST_CASE_METHOD(CaptionedFolder, "eval search takes words and templates from files") {
  const std::string words = folder.write("words.txt", "Birds\n\n  red apple\n\u9CE5\nboat\n"),
                    templates = folder.write("templates.txt", "one {}\n");
  const auto json = search_json({"--words", words, "--templates", templates, "--top", "1"});
  REQUIRE(json["words"].size() == 3);
  CHECK(json["words"][0]["word"] == "Birds");
  CHECK(json["words"][1]["word"] == "red apple");
  CHECK(json["words"][1]["pictures"] == 1);
  CHECK(json["words"][2]["word"] == "\u9CE5");
  CHECK(json["missing"] == nlohmann::json({"boat"}));
  CHECK(json["mean"].contains("templates"));
  CHECK_THAT(search({"--words", words, "--templates", "none"}).out, Contains("templates"));
}

TEST_CASE_METHOD(CaptionedFolder, "a word that the list repeats is asked once") {
  const std::string words = folder.write("words.txt", "bird\nBIRD\napple\n bird \n");
  const CommandResult result = search({"--words", words, "--json"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("2 repeated words are asked once") && Contains("\"BIRD\""));
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json["words"].size() == 2);
  CHECK_THAT(search({}).err, !Contains("repeated"));
}

TEST_CASE_METHOD(CaptionedFolder, "eval search refuses words that it cannot ask for") {
  check_refused({"--words", folder.write("none.txt", "")}, "expected one entry per line, found none");
  check_refused({"--words", folder.write("blank.txt", " \n\u00A0\n")}, "found none");
  check_refused({"--words", folder.write("mark.txt", "bird\n\u00AD\n")},
                "word 2: expected text, found only blanks");
  check_refused({"--words", folder.write("html.txt", "bird\n&nbsp;\n")}, "\"&nbsp;\"");
  check_refused({"--words", folder.write("boat.txt", "boat\nship\n")},
                "no caption of " + pictures + " has any of the words (2 words, the first: \"boat\")");
  check_refused({"--words", ""}, "--words must not be empty");
  check_refused({"--top", "0"}, "--top");
  check_refused({"--templates", folder.write("t.txt", "no place\n")}, "{}");
  // Only pictures that cannot be read have the word.
  folder.write("pictures/4.png", "<html>");
  check_refused({"--words", folder.write("house.txt", "house\n"), "--max-bad-fraction", "0.5"},
                "(1 word, the first: \"house\")");
}

TEST_CASE_METHOD(CaptionedFolder, "eval search measures the automatic threshold of searches") {
  CHECK_FALSE(search_json({}).contains("threshold_auto"));
  for (int i = 0; i < 10; ++i) {
    const std::string name = "pictures/more" + std::to_string(i);
    folder.write(name + ".png", bmp_bytes(random_image(13, 13)));
    folder.write(name + ".txt", i < 9 ? "a cat and a volcano" : "two cats");
  }
  const auto json = search_json({"--threshold", "auto", "--templates", "simple"})["threshold_auto"];
  CHECK(json["least_pictures"] == 10);
  CHECK(json["words_present"] == 1);  // cat; bird has 3
  CHECK(json["words_absent"] == words_often_absent().size() - 1);
  for (const char* form : {"plain", "templates"}) {
    CHECK((json[form]["missed"] == 0 || json[form]["missed"] == 1));
    CHECK(json[form]["refused"].get<double>() >= 0);
    CHECK(json[form]["refused"].get<double>() <= 1);
  }
  CHECK(json["plain"]["threshold"] != json["templates"]["threshold"]);
  const std::string bird = folder.write("words.txt", "bird\n");
  const auto none = search_json({"--threshold", "auto", "--words", bird})["threshold_auto"];
  CHECK(none["words_present"] == 0);
  CHECK(none["plain"]["missed"].is_null());
  CHECK_THAT(search({"--threshold", "auto"}).out,
             Contains("1 word with at least 10 pictures") && Contains("rightly refused"));
  check_refused({"--threshold", "0.5"}, "--threshold must be one of auto");
}

TEST_CASE_METHOD(CaptionedFolder, "standard input is read once") {
  const std::string input = folder.write("input", "bird\n");
  const auto from_input = [&](const std::string& more) {
    return run_program("/bin/bash",
                       {"-c", "exec '" + cuclip_executable() + "' eval search --data '" + pictures +
                                  "' --model '" + run + "' " + more + " < '" + input + "'"});
  };
  CHECK(from_input("--words -").exit_code == 0);
  const CommandResult twice = from_input("--words - --templates -");
  CHECK(twice.exit_code == 2);
  CHECK_THAT(twice.err, Contains("standard input") && Contains("read only once"));
}

TEST_CASE_METHOD(CaptionedFolder, "a report has searches among all pictures and among those held out") {
  const std::string run = folder / "trained", out = folder / "report";
  const std::string held_out = folder / "held-out";
  folder.write("held-out/a.png", bmp_bytes(random_image(14, 14)));
  folder.write("held-out/a.txt", "a boat");
  REQUIRE(run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", pictures, "--batch-size", "8",
                      "--max-steps", "1", "--out", run})
              .exit_code == 0);
  const CommandResult result =
      run_cuclip({"report", run, "--train-data", pictures, "--val-data", held_out, "--out", out});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.err, !Contains("--val-data"));
  CHECK_THAT(result.out,
             Contains(" of all 9; 100.0 %, with an article 100.0 % (by chance 100.0 %) of those held out\n"));
  const auto search = nlohmann::json::parse(read_file(out + "/report.json"))["search"];
  CHECK(search["all"]["pictures"] == 9);
  CHECK(search["all"]["words_found"] == 4);
  CHECK(search["held_out"]["pictures"] == 1);
  CHECK(search["held_out"]["words_found"] == 1);
  // The same as eval search's.
  const auto alone =
      run_cuclip({"eval", "search", "--data", pictures + "::" + held_out, "--model", run, "--json"});
  const auto means = nlohmann::json::parse(alone.out)["mean"];
  for (const char* form : {"bare", "with_article", "chance"})
    CHECK(search["all"]["mean"][form] == means[form]);

  folder.write("held-out/a.txt", "nothing");
  const CommandResult none =
      run_cuclip({"report", run, "--train-data", held_out, "--val-data", held_out, "--out", out});
  CHECK(none.exit_code == 0);
  CHECK_THAT(none.err, Contains("1 pair of --val-data is in --train-data too"));
  CHECK_THAT(none.out, Contains("none of the 25 everyday words is in a caption"));
}

}  // namespace
}  // namespace cuclip::test
