#include "train/data/collections.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "tests/support/command.h"
#include "train/data/picture_names.h"
#include "train/data/word_pictures.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;

namespace {

std::map<std::string, std::string> captions_of(const RawPairs& found) {
  std::map<std::string, std::string> captions;
  for (const RawPair& pair : found.pairs) captions[pair.key] = pair.captions.at(0);
  return captions;
}

std::string emoji(const std::string& key, const std::string& unicode, const std::string& name,
                  const std::string& category, const std::string& keywords) {
  return "\"" + key + "\": {\"unicode\": \"" + unicode + "\", \"name\": \"" + name + "\", \"category\": \"" +
         category + "\", \"keywords\": " + keywords + "}";
}

}  // namespace

TEST_CASE("pictures named after what they show get their captions from file and folder") {
  const TemporaryFolder folder;
  for (const char* name :
       {"Animals/dog2-b.png", "Animals/polar_bear.JPG", "Animals/12.png", "Animals/cat.gif",
        "Animals/walking-c.jpeg", "Animals/below/owl.png", "Places/beach-malibu.jpg"})
    folder.write(name, "x");
  const RawPairs found = list_word_pictures(
      folder.path(), "words", {{"Animals", "animal,pet"}, {"Places", "", false}, {"Gone", "gone"}});
  CHECK(captions_of(found) ==
        std::map<std::string, std::string>{{"words/Animals/dog2-b", "dog, animal, pet"},
                                           {"words/Animals/polar_bear", "polar bear, animal, pet"},
                                           {"words/Animals/walking-c", "walking, animal, pet"},
                                           {"words/Places/beach-malibu", "beach malibu"}});
  CHECK(found.pairs[0].drawing);
  CHECK_FALSE(found.pairs.back().drawing);
  CHECK(found.bad.by_reason == std::map<std::string, int64_t>{{"no caption", 1}});
  REQUIRE(found.notes.size() == 1);
  CHECK_THAT(found.notes[0], Contains("words: there is no ") && Contains("Gone"));
  CHECK_THROWS_WITH(list_word_pictures(folder.path(), "words", {{"Gone", ""}}),
                    Contains("words: expected folders"));
}

TEST_CASE("EmojiOne's names leave out skin tones, letters and digits") {
  const std::string json =
      "{" + emoji("bike", "1F6B2", "bicycle", "travel", "[\"bicycle\", \"hipster\", \"bike\", 7]") + "," +
      emoji("boy_tone3", "1F466-1F3FD", "boy tone 3", "people", "[]") + "," +
      emoji("tone1", "1F3FB", "emoji modifier", "modifier", "[]") + "," +
      emoji("one", "0031-20E3", "keycap digit one", "symbols", "[]") + "," +
      emoji("gem", "1F48E", "gem stone", "objects", "[]") + "," +
      emoji("heart", "2764", "heavy black heart", "symbols", "[]") + "," +
      emoji("flag_us", "1F1FA-1F1F8", "united states", "flags", "[\"usa\"]") + "}";
  const TemporaryFolder folder;
  folder.write("config/index.json", json);
  for (const char* name : {"1F6B2", "1F48E", "1F1FA-1F1F8"})
    folder.write(std::string("assets/png/") + name + ".png", "x");
  const RawPairs found = list_gemojione(folder.path());
  CHECK(captions_of(found) ==
        std::map<std::string, std::string>{{"gemojione/1F6B2", "bicycle, bike"},
                                           {"gemojione/1F48E", "gem stone"},
                                           {"gemojione/1F1FA-1F1F8", "flag of united states, usa"}});
  CHECK(found.bad.by_reason == std::map<std::string, int64_t>{{"no picture", 1}});
  CHECK(names_from_gemojione(json, "index.json").back().name == "heart");
}

TEST_CASE("lists of emoji that are damaged or something else are refused") {
  CHECK_THROWS_WITH(names_from_gemojione("{\"bike\": {", "i.json"),
                    Contains("i.json") && Contains("not JSON"));
  CHECK_THROWS_WITH(names_from_gemojione("[1]", "i.json"), Contains("found array"));
  CHECK_THROWS_WITH(names_from_gemojione("{}", "i.json"), Contains("found none"));
  CHECK_THROWS_WITH(names_from_gemojione("{\"bike\": 3}", "i.json"),
                    Contains("string \"category\" of \"bike\""));
  CHECK_THROWS_WITH(
      names_from_gemojione("{\"a\": {\"category\": \"x\", \"unicode\": 5, \"name\": \"n\"}}", "i.json"),
      Contains("string \"unicode\" of \"a\""));
}

TEST_CASE("all collections below a folder are taken, and those that are missing are named") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(
      list_pairs("collections:" + folder.path().string(), {}, 1),
      Contains("found none of openclipart, tuxpaint, noto-emoji") && Contains("fetch_pictures.sh"));
  folder.write("usr/share/tuxpaint/stamps/animals/owl.png", "x");
  folder.write("usr/share/tuxpaint/stamps/animals/owl.txt", "A snowy owl.\n");
  folder.write("usr/share/qabcs/abcs/all/pics/toys/bicycle.png", "x");
  folder.write("usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", "names are missing");
  folder.write("usr/share/fonts-font-awesome/css/font-awesome.css", "font is missing");
  const RawPairs found = list_pairs("collections:" + folder.path().string(), {}, 1);
  CHECK(captions_of(found) ==
        std::map<std::string, std::string>{{"tuxpaint/animals/owl", "A snowy owl, animal"},
                                           {"qabcs/toys/bicycle", "bicycle, toy"}});
  const auto noted = [&](const std::string& start, const std::string& part) {
    return std::any_of(found.notes.begin(), found.notes.end(), [&](const std::string& note) {
      return note.compare(0, start.size(), start) == 0 && note.find(part) != std::string::npos;
    });
  };
  CHECK(noted("left out: noto-emoji: expected ",
              "annotations/en.xml, of the Debian package unicode-cldr-core"));
  CHECK(noted("left out: font-awesome: expected ",
              "fontawesome-webfont.ttf, of the Debian package fonts-font-awesome"));
  CHECK(noted("left out: openclipart: expected ", "packages openclipart-svg and openclipart-png"));
  CHECK_FALSE(noted("left out: tuxpaint", ""));
  CHECK_FALSE(noted("left out: qabcs", ""));
}

TEST_CASE("a collection that is named must be there") {
  const TemporaryFolder folder;
  for (const std::string& name : collection_names()) {
    CHECK(names_collection(name));
    CHECK(names_collection(name + ":folder"));
    CHECK_THROWS_WITH(list_pairs(name + ":" + (folder.path() / "none").string(), {}, 1),
                      Contains(name + ": expected ") && Contains("say " + name + ":FOLDER"));
  }
  CHECK(names_collection("collections"));
  CHECK(names_collection("collections:folder"));
  CHECK_FALSE(names_collection("collections.csv"));
  CHECK_FALSE(names_collection("folder"));
  folder.write("config/index.json", "{damaged");
  folder.write("assets/png/a.png", "x");
  CHECK_THROWS_WITH(list_pairs("gemojione:" + folder.path().string(), {}, 1), Contains("not JSON"));
}
