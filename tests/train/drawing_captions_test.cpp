#include "train/data/drawing_captions.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "models/text/english.h"
#include "train/data/caption_words.h"

using namespace cuclip;
using Strings = std::vector<std::string>;

namespace {

DrawingMetadata drawing(std::string path, std::string title, Strings keywords = {},
                        std::string creator = "") {
  return {.path = std::move(path),
          .title = std::move(title),
          .creator = std::move(creator),
          .keywords = std::move(keywords)};
}

std::string subject(const DrawingMetadata& one) { return DrawingCaptioner({one}).subject(one); }

}  // namespace

TEST_CASE("words: split, fold and compare") {
  CHECK(caption_words("Bob's 12cats, (grün) & 'quoted'") == Strings{"Bob's", "12", "cats", "grün", "quoted"});
  CHECK(caption_words("").empty());
  CHECK(split_camel_case("FatherChristmas USA") == "Father Christmas USA");
  CHECK(fold_word("Berries") == "berry");
  CHECK(fold_word("Cars") == "car");
  CHECK(fold_word("Glass") == "glass");
  CHECK(fold_word("bus") == "bus");
  CHECK(fold_word("ÉTÉ") == "été");
  CHECK(without_accents("Frédéric Ångström") == "frederic angstrom");
  CHECK(lower_utf8("\xff"
                   "A") ==
        "\xff"
        "a");
  CHECK(caption_key("Two  Red-Cars!") == caption_key("two red car"));
  CHECK(caption_key("card 7") != caption_key("card 8"));
  CHECK(caption_key("card 7", Numbers::leave_out) == caption_key("card 8", Numbers::leave_out));
  CHECK(is_digits("007"));
  CHECK_FALSE(is_digits(""));
}

TEST_CASE("file names lose their numbers and their author, however cut") {
  CHECK(file_name_words("animals/cavallo_architetto_franc_02", "Architetto Francesco Rollandin") ==
        Strings{"cavallo"});
  CHECK(file_name_words("sand_glass_frederic_mose_01", "Frédéric Moser") == Strings{"sand", "glass"});
  CHECK(file_name_words("jigsaw_red_10", "Nicu Buculei") == Strings{"jigsaw", "red"});
  CHECK(file_name_words("computer/gnome-dev-harddisk", "") == Strings{"harddisk"});
  CHECK(file_name_words("FatherChristmas2", "") == Strings{"father", "christmas"});
  CHECK(file_name_words("hot_dog_bw", "") == Strings{"hot", "dog", "black", "and", "white"});
  CHECK(file_name_words("clipart_by_nicu_buculei_-_baloon1_04_01", "Nicu Buculei").empty());
  CHECK(file_name_words("07", "").empty());
}

TEST_CASE("titles lose addresses, authors and numbers") {
  CHECK(subject(drawing("x_01", "penguin ralf@example.org")) == "penguin");
  CHECK(subject(drawing("x_01", "House by Jane Doe, 2004", {}, "Jane Doe")) == "House");
  CHECK(subject(drawing("x_01", "Stand by me", {}, "Jane Doe")) == "Stand by me");
  CHECK(subject(drawing("x_01", "clip_of_new_file")) == "clip of new file");
  CHECK(subject(drawing("x_01", "Baseball (B and W)")) == "Baseball black and white");
  CHECK(subject(drawing("x_01", "Croissant (B & W)")) == "Croissant black and white");
  CHECK(subject(drawing("x_01", "boat1")) == "boat");
  CHECK(subject(drawing("boats/boat_01", "")) == "boat");
  CHECK(subject(drawing("boats/anchor", "Clipart by Nicu Buculei - nosmoke", {}, "Nicu Buculei")) ==
        "anchor");
}

TEST_CASE("a title that many drawings share gives way to the file name, unless that says less") {
  std::vector<DrawingMetadata> icons, hummers, men;
  for (const char* name : {"border_left", "undo", "volume", "zip_mount"}) {
    icons.push_back(
        drawing(std::string("icons/") + name, "Part of the Flat Icon Collection (Wed Aug 25 23:29:46 2004)"));
  }
  for (const char* name : {"hummer_01", "hummer_02", "hummer_03", "hummer_07"})
    hummers.push_back(drawing(name, "Hummer"));
  for (const char* name : {"sm_001", "sm_002", "sm_003", "sm_004"}) men.push_back(drawing(name, "stick man"));
  CHECK(DrawingCaptioner(icons).subject(icons[0]) == "border left");
  CHECK(DrawingCaptioner(hummers).subject(hummers[1]) == "Hummer");
  CHECK(DrawingCaptioner(men).subject(men[1]) == "stick man");
  CHECK(subject(icons[0]).substr(0, 4) == "Part");  // alone, it is a title like another
}

TEST_CASE("keywords: noise and what the subject says already are dropped, folders stand in") {
  const DrawingMetadata one = drawing("food/fruit/apple_01", "Red Apple",
                                      {"hash(0x8a3cd28)", "", "Apples", "food", "0x861c9f4", "Jane Doe", "11",
                                       "icons", "united_nations_member", "fruit", "foods"},
                                      "Jane Doe");
  const DrawingCaptioner captioner({one});
  CHECK(captioner.keywords(one, "Red Apple") == Strings{"food", "icon", "fruit"});
  CHECK(captioner.caption(one) == "Red Apple, food, icon, fruit");
  CHECK(captioner.keywords(drawing("buildings/furniture/table", "Table"), "Table") == Strings{"furniture"});
  CHECK(captioner.keywords(drawing("unsorted/table", "Table"), "Table").empty());
  Strings many;
  for (char c = 'a'; c < 'k'; ++c) many.push_back(std::string("word") + c);
  CHECK(captioner.keywords(drawing("x", "X", many), "X").size() == 5);
}

TEST_CASE("a drawing's caption is its subject with its keywords") {
  const DrawingMetadata one = drawing("a/b", "Treble Staff", {"music", "notes", "clef"});
  CHECK(DrawingCaptioner({one}).caption(one) == "Treble Staff, music, notes, clef");
  CHECK(DrawingCaptioner({one}).caption(drawing("unsorted/01", "")) == "");
}
