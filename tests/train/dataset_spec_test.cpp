// Names of data sets: a name that exists is meant as it is written, and no name is too long to be refused.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "models/inference/labelled_pictures.h"
#include "tests/train/data_fixtures.h"
#include "train/data/dataset.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using cuclip::test::TarBytes;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;

namespace {

// A shard with one pair, whose caption is the shard's name.
void write_shard(const TemporaryFolder& folder, const std::string& name) {
  folder.write(name, TarBytes().file("a.jpg", "A").file("a.txt", name).finish());
}

Strings captions(const std::string& spec) {
  const auto dataset = open_dataset(spec);
  Strings all;
  for (int64_t i = 0; i < dataset->size(); ++i) all.push_back(dataset->captions(i).at(0));
  return all;
}

}  // namespace

TEST_CASE("folders and files with braces, brackets and colons in their names are found under them") {
  const TemporaryFolder folder;
  const std::string top = folder.path().string() + "/";
  const Strings shards = {
      "[set 1]/s-0.tar", "[set 1]/s-1.tar", "{set}/s-0.tar", "{set}/s-1.tar", "a::b/s.tar",
      "s[1]{x}*.tar",    "set/s-0.tar",     "{a,b}.tar",     "a.tar",         "b.tar"};
  for (const std::string& name : shards) write_shard(folder, name);
  for (const std::string& name : shards) CHECK(captions(top + name) == Strings{name});

  CHECK(captions(top + "[set 1]/s-{0..1}.tar") == Strings{shards[0], shards[1]});
  CHECK(captions(top + "[set 1]/s-*.tar") == Strings{shards[0], shards[1]});
  CHECK(captions(top + "{set}/s-[01].tar") == Strings{shards[2], shards[3]});
  CHECK(captions(top + "a::b/s.tar::" + top + "set/s-0.tar") == Strings{"a::b/s.tar", "set/s-0.tar"});
  CHECK(captions(top + "set/s-0.tar::" + top + "a::b/s.tar") == Strings{"set/s-0.tar", "a::b/s.tar"});
  CHECK(captions(top + "{b,a}.tar") == Strings{"b.tar", "a.tar"});  // what does not exist is expanded
  std::filesystem::remove(folder / "{a,b}.tar");
  CHECK(captions(top + "{a,b}.tar") == Strings{"a.tar", "b.tar"});
  CHECK_THROWS_WITH(open_dataset(top + "[set 2]/s-0.tar"), Contains("no shard at"));
}

TEST_CASE("a pattern that is refused is named whole") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "{set}");
  for (const std::string& start : {std::string("/"), (folder / "{set}").string() + "/"}) {
    for (const auto& [end, reason] : {std::pair{"x/{000..99999999}.tar", "more than 1000000 names"},
                                      {"{a..b}.tar", "expected a range"},
                                      {"{a", "never closed"}})
      CHECK_THROWS_WITH(shard_names(start + end), StartsWith(start + end + ": ") && Contains(reason));
  }
}

TEST_CASE("joined names come apart at the colons that belong to no file") {
  CHECK(joined_specs("a.tar::b.csv::synthetic:shapes") == Strings{"a.tar", "b.csv", "synthetic:shapes"});
  CHECK(joined_specs("a") == Strings{"a"});
  CHECK(joined_specs("a::") == Strings{"a", ""});
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "x::y::z");
  const std::string named = (folder / "x::y::z").string();
  CHECK(joined_specs(named) == Strings{named});
  CHECK(joined_specs("a::" + named + "::b") == Strings{"a", named, "b"});
}

TEST_CASE("what joined names ask of the file system grows with their number only") {
  constexpr int kParts = 1000;
  // Shards in folders need one question each: there is no folder "/data/0.tar::".
  for (const auto& [top, most] : {std::pair{"/nowhere/data/", 2}, {"data/", 2}, {"", 60}}) {
    INFO("'" << top << "'");
    Strings parts;
    std::string joined;
    for (int i = 0; i < kParts; ++i) {
      parts.push_back(fmt::format("{}{:03}.tar", top, i));
      joined += (i > 0 ? "::" : "") + parts.back();
    }
    int questions = 0;
    const auto nothing_is_there = [&](const std::string& name) {
      CHECK(name.size() < 4096);
      return ++questions, false;
    };
    CHECK(joined_specs(joined, nothing_is_there) == parts);
    CHECK(questions <= most * kParts);
  }
}

TEST_CASE("the longest joined name that exists is taken, over names that do not") {
  const auto split = [](const std::string& spec, const std::set<std::string>& there) {
    return joined_specs(spec, [&](const std::string& name) { return there.count(name) > 0; });
  };
  CHECK(split("a::b::c::d", {"a", "a::b::c"}) == Strings{"a::b::c", "d"});
  CHECK(split("x/a::y/b::c", {"x", "x/a::y", "x/a::y/b::c"}) == Strings{"x/a::y/b::c"});
  CHECK(split("x/a::y/b::c", {"x", "x/a::y"}) == Strings{"x/a", "y/b", "c"});
}

TEST_CASE("a name longer than the system's limits is refused or read like any other") {
  const TemporaryFolder folder;
  const std::string top = folder.path().string() + "/";
  write_shard(folder, "c1.tar");
  write_shard(folder, "c2.tar");
  std::string list = "c1";
  for (int i = 1; i < 100; ++i) list += i % 2 == 0 ? ",c1" : ",c2";
  CHECK(captions(top + "{" + list + "}.tar").size() == 100);
  std::string joined = top + "c1.tar";
  for (int i = 1; i < 200; ++i) joined += "::" + top + "c2.tar";
  REQUIRE(joined.size() > 4096);
  CHECK(captions(joined).size() == 200);
  for (const size_t length : {300, 5000}) {
    for (const char* extension : {"", ".tar", ".csv", "/x.tar", "/*.tar", "{1,2}.tar"}) {
      INFO(length << extension);
      CHECK_THROWS_AS(open_dataset(std::string(length, 'n') + extension), InputError);
    }
    CHECK_THROWS_WITH(open_dataset(std::string(length, 'n')), Contains("no such file or folder"));
    CHECK_THROWS_WITH(read_labelled_pictures(std::string(length, 'n')), Contains("no such file or folder"));
  }
}

TEST_CASE("extensions of data sets count in either case") {
  const TemporaryFolder folder;
  write_shard(folder, "S.TAR");
  CHECK(captions((folder / "S.TAR").string()) == Strings{"S.TAR"});
  folder.write("P.CSV", "filepath,title\na.jpg,comma\n");
  folder.write("P.Tsv", "filepath\ttitle\na.jpg\ttab, and comma\n");
  CHECK(captions((folder / "P.CSV").string()) == Strings{"comma"});
  CHECK(captions((folder / "P.Tsv").string()) == Strings{"tab, and comma"});
  folder.write("L.TSV", "filepath\tlabel\na.jpg\tdog\n");
  CHECK(read_labelled_pictures(folder / "L.TSV").classes == Strings{"dog"});
}
