// cuclip search: what it is asked for, what it answers, and what it refuses.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "models/inference/relevance.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

struct Indexed : ModelOnDisk {
  Indexed() { REQUIRE(cuclip({"index", pictures, "--out", index}).exit_code == 0); }

  Arguments with_index(Arguments more) const {
    more.insert(more.begin(), {"search", index});
    return more;
  }
  CommandResult search(const Arguments& more) const { return cuclip(with_index(more)); }
  Json search_json(const Arguments& more) const { return cuclip_json(with_index(more)); }
  static void check_same_hits(const Json& found, const Json& expected) {
    CHECK(found["words"] == expected["words"]);
    REQUIRE(found["hits"].size() == expected["hits"].size());
    for (size_t i = 0; i < expected["hits"].size(); ++i) {
      CHECK(found["hits"][i]["path"] == expected["hits"][i]["path"]);
      CHECK(found["hits"][i]["similarity"].get<double>() ==
            Approx(expected["hits"][i]["similarity"].get<double>()).margin(1e-5));
    }
  }
  void check_refused(const Arguments& more, const std::string& mention) const {
    const CommandResult result = search(more);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains(mention));
  }
  // `cuclip search INDEX ARGUMENTS < input`
  CommandResult search_input(const std::string& arguments, const std::string& text) const {
    const std::string input = folder.write("input", text);
    return run_program("/bin/bash", {"-c", "exec '" + cuclip_executable() + "' search '" + index + "' " +
                                               arguments + " < '" + input + "'"});
  }

  std::string index = folder / "p.cuclip-index";
};

TEST_CASE_METHOD(Indexed, "several queries are answered in turn, each as it is alone") {
  const Json one = search_json({"a b"}), two = search_json({"c"});
  CHECK(one.is_object());
  CHECK(one["words"] == "a b");
  // Beside others a query is rounded differently, on some processors.
  const Json both = search_json({"a b", "c"});
  REQUIRE(both.size() == 2);
  check_same_hits(both[0], one);
  check_same_hits(both[1], two);
  const std::string first = search({"a b"}).out, second = search({"c"}).out;
  CHECK(first != second);
  CHECK(search({"a b", "c"}).out == "\"a b\"\n" + first + "\n\"c\"\n" + second);
}

TEST_CASE_METHOD(Indexed, "queries of standard input are one per line, and always a list") {
  const CommandResult both = search_input("- --json", "a b\r\n\n  \nc\n");
  REQUIRE(both.exit_code == 0);
  CHECK(Json::parse(both.out) == search_json({"a b", "c"}));
  const CommandResult one = search_input("- --json", "a b\n");
  CHECK(Json::parse(one.out) == Json::array({search_json({"a b"})}));
  CHECK_THAT(search_input("-", "a b\n").out, Catch::StartsWith("\"a b\"\n"));
  CHECK(search_input("-", "\n").exit_code == 2);
  CHECK_THAT(search_input("- --templates -", "a\n").err, Contains("read only once"));
  const CommandResult among_others = search_input("- red", "a\n");
  CHECK(among_others.exit_code == 2);
  CHECK_THAT(among_others.err, Contains("must be the only one, found 2") && Contains("\"bicycle -sign\""));
}

TEST_CASE_METHOD(Indexed, "terms are added and subtracted, and a quoted sign is a character") {
  const auto hits = [&](const std::string& words) { return search_json({words})["hits"]; };
  CHECK(hits("a b -c") != hits("a b"));
  CHECK(hits("a b +c") != hits("a b -c"));
  CHECK(hits("\"a b\"") == hits("a b"));
  CHECK(hits("a \"-c\"") != hits("a -c"));
  CHECK(search_json({"a b -c"})["words"] == "a b -c");
}

TEST_CASE_METHOD(Indexed, "pictures mix with one another and with words") {
  const auto first_of = [](const Json& answer) { return answer["hits"][0]["path"]; };
  const Json one = search_json({"--image", picture(2)});
  CHECK(first_of(one) == picture(2));  // itself
  CHECK(one["image"] == picture(2));
  CHECK_FALSE(one.contains("words"));
  const Json two = search_json({"--image", picture(2), "--image", picture(5)});
  CHECK(two["images"] == Json({picture(2), picture(5)}));
  CHECK(two["hits"] != one["hits"]);
  CHECK(search_json({"--image", picture(2), "--image", picture(2)})["hits"][0]["path"] == picture(2));
  // --image takes one file: what follows is words.
  const Json mixed = search_json({"--image", picture(2), "a b"});
  CHECK(mixed["words"] == "a b");
  CHECK(mixed["hits"] != one["hits"]);
  // The index knows its model; what comes after -- is words.
  const CommandResult less = run_cuclip({"search", index, "--json", "--image", picture(2), "--", "-a"});
  CHECK(Json::parse(less.out)["words"] == "-a");
  const CommandResult table = search({"a", "b", "--image", picture(2)});
  CHECK_THAT(table.out, Contains("\"a\", " + picture(2) + "\n") && Contains("\"b\", " + picture(2) + "\n"));
}

TEST_CASE_METHOD(Indexed, "templates are filled with every term, and none is the words as they are") {
  const std::string templates = folder.write("t.txt", "x {}\n{} y\n");
  const Json plain = search_json({"a"});
  CHECK(search_json({"a", "--templates", "none"}) == plain);
  CHECK(search_json({"a", "--templates", templates})["hits"] != plain["hits"]);
  const std::string one = folder.write("one.txt", "x {}\n");
  CHECK(search_json({"a -b", "--templates", one})["hits"] == search_json({"\"x a\" -\"x b\""})["hits"]);
  check_refused({"a", "--templates", folder.write("none.txt", "no place\n")}, "{}");
}

TEST_CASE_METHOD(Indexed, "a similarity as threshold leaves out what is below it") {
  const Json all = search_json({"a"});
  CHECK_FALSE(all.contains("relevant"));
  const double third = all["hits"][2]["similarity"];
  const Json some = search_json({"a", "--threshold", fmt::format("{:.9f}", third - 1e-6)});
  REQUIRE(some["hits"].size() >= 3);
  CHECK(some["hits"].size() < 8);
  CHECK(some["relevant"] == true);
  for (const auto& hit : some["hits"]) CHECK(hit["similarity"].get<double>() >= third - 1e-6);
  const Json none = search_json({"a", "--threshold", "1"});
  CHECK(none["relevant"] == false);
  CHECK(none["hits"].empty());
  CHECK(search({"a", "--threshold", "1"}).out == "nothing relevant (no similarity of at least 1)\n");
  CHECK(search_json({"a", "--threshold", "-1"})["hits"] == all["hits"]);
}

TEST_CASE_METHOD(Indexed, "an automatic threshold says of each query whether anything is relevant") {
  // Nine tenths of what the scale is made with are not relevant; those at the edge may fall to either side
  // by a rounding, since they are encoded in batches of another size.
  std::string lines;
  for (const std::string& prompt : words_without_pictures()) lines += prompt + "\n";
  const Json answers = Json::parse(search_input("- --json --threshold auto", lines).out);
  REQUIRE(answers.size() == words_without_pictures().size());
  double relevant = 0;
  for (const Json& answer : answers) {
    CHECK(answer["threshold"] == answers[0]["threshold"]);
    CHECK(answer["relevant"] == (answer["score"] > answer["threshold"]));
    CHECK(answer["relevant"] == !answer["hits"].empty());
    relevant += answer["relevant"] == true;
  }
  CHECK(relevant == Approx(0.1 * static_cast<double>(answers.size())).margin(2));
  for (const Json& answer : {answers[0], answers[1], answers[2], answers[3]}) {
    const std::string words = answer["words"];
    const CommandResult table = search({words, "--threshold", "auto"});
    CHECK(table.exit_code == 0);
    if (answer["relevant"] == true)
      CHECK(table.out == search({words}).out);
    else
      CHECK_THAT(table.out, Catch::StartsWith("nothing relevant (scores "));
  }
  const Json with_templates = search_json({"a", "--threshold", "auto", "--templates", "simple"});
  CHECK(with_templates["threshold"] != answers[0]["threshold"]);
}

TEST_CASE_METHOD(Indexed, "nothing relevant draws no contact sheet and says so") {
  const std::string sheet = folder / "s.svg";
  const CommandResult none = search({"a", "--threshold", "1", "--contact-sheet", sheet});
  CHECK(none.exit_code == 0);
  CHECK_THAT(none.err, Contains("so nothing is drawn"));
  CHECK_FALSE(path_exists(sheet));
  CHECK(search({"a", "--threshold", "-1", "--contact-sheet", sheet}).exit_code == 0);
  CHECK(path_exists(sheet));
}

TEST_CASE_METHOD(Indexed, "queries that cannot be answered are refused") {
  check_refused({}, "found neither");
  check_refused({" \t"}, "found only blanks");
  check_refused({"&nbsp;"}, "of which cleaning leaves nothing");
  check_refused({"a", ""}, "query 2 must not be empty");
  check_refused({"a", "\u200B"}, "query 2: expected text, found only blanks");
  check_refused({"a -\u00AD"}, "a term: expected text, found only blanks");
  check_refused({"\xFF"}, "expected UTF-8");
  check_refused({"a - b"}, "a term without text");
  check_refused({"cat -cat"}, "both looked for and subtracted");
  const CommandResult only_less = run_cuclip({"search", index, "--", "-a"});
  CHECK(only_less.exit_code == 2);
  CHECK_THAT(only_less.err, Contains("only what is subtracted"));
  check_refused({"a", "--image", folder.write("page.jpg", "<html>")}, "page.jpg");
  check_refused({"--image", picture(0), "--image", folder / "page.jpg"}, "page.jpg");
  check_refused({"--image", folder / "gone.png"}, "gone.png");
  for (const char* wrong : {"automatic", "AUTO", "nan", "inf", "0x1", "1.5", "0.2a"})
    check_refused({"a", "--threshold", wrong}, "--threshold must be");
  check_refused({"a", "--threshold", ""}, "--threshold must not be empty");
  const std::string twice = folder / "twice.svg";
  check_refused({"a", "--contact-sheet", twice, "--html", twice}, "name the same file");
  check_refused({"a", "--threshold", "auto", "--image", picture(0)}, "words alone");
  check_refused({"a", "b", "--contact-sheet", folder / "s.png"}, "one query, found 2");
}

TEST_CASE_METHOD(Indexed, "control characters of a query do not reach the terminal") {
  const std::string query = "a\x1b[31m\nb";
  const CommandResult table = search({query, "c"});
  REQUIRE(table.exit_code == 0);
  CHECK_THAT(table.out, Contains("\"a\\x1b[31m\\nb\"\n") && !Contains("\x1b"));
  CHECK(search_json({query})["words"] == query);
}

}  // namespace
}  // namespace cuclip::test
