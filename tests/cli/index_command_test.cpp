// cuclip index, run again: what it says it has done, and why it begins anew.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "models/inference/feature_index.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

struct Indexed : ModelOnDisk {
  Indexed() {
    for (const auto& file : fs::recursive_directory_iterator(pictures))
      if (file.is_regular_file()) fs::last_write_time(file, hour_ago -= std::chrono::seconds(1));
    REQUIRE(again().out == summary("8 encoded, 0 unchanged, 0 moved or copied, 0 removed, 0 passed over"));
  }

  CommandResult again(const Arguments& more = {}) const {
    Arguments arguments = {"index", pictures, "--out", index};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = cuclip(arguments);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    return result;
  }
  std::string summary(const std::string& counts, int count = 8) const {
    return fmt::format("{}: {} pictures: {}\n", index, count, counts);
  }
  // Requires that it begins anew, and says why in one line.
  void check_anew(const CommandResult& result, const std::string& why) const {
    CHECK(result.out == summary("8 encoded, 0 unchanged, 0 moved or copied, 0 removed, 0 passed over"));
    CHECK_THAT(result.err, Contains(index) && Contains(why) && Contains("all pictures are encoded anew\n"));
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  }
  void change_index(const std::string& from, const std::string& to) const {
    std::string bytes = read_file(index);
    const size_t at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    REQUIRE(from.size() == to.size());
    folder.write("p.cuclip-index", bytes.replace(at, from.size(), to));
  }

  fs::file_time_type hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  std::string index = folder / "p.cuclip-index";
};

TEST_CASE_METHOD(Indexed, "indexing again says what was encoded, unchanged, moved, removed and passed over") {
  const std::string first = read_file(index);
  const CommandResult same = again();
  CHECK(same.out == summary("0 encoded, 8 unchanged, 0 moved or copied, 0 removed, 0 passed over"));
  CHECK(same.err.empty());
  CHECK(read_file(index) == first);
  fs::remove(picture(0));
  fs::rename(picture(1), pictures + "/below/one.png");
  folder.write("pictures/2.png", bmp_bytes(random_image(5, 5)));
  folder.write("pictures/new.png", bmp_bytes(random_image(6, 5)));
  folder.write("pictures/bad.png", "x");
  const CommandResult changed = again();
  CHECK_THAT(
      changed.out,
      Catch::StartsWith(index +
                        ": 8 pictures: 2 encoded, 5 unchanged, 1 moved or copied, 1 removed, 1 passed over "
                        "(first: " +
                        pictures + "/bad.png: this is a file of an unknown format"));
  const auto json = cuclip_json({"index", pictures, "--out", index});
  CHECK(json["pictures"] == 8);
  CHECK(json["encoded"] == 0);
  CHECK(json["unchanged"] == 8);
  CHECK(json["moved"] == 0);
  CHECK(json["removed"] == 0);
  CHECK(json["unreadable"].size() == 1);
  const auto found = cuclip_json({"search", index, "--image", pictures + "/below/one.png", "--top", "1"});
  CHECK(found["hits"][0]["path"] == pictures + "/below/one.png");
}

TEST_CASE_METHOD(Indexed,
                 "a folder by another name, or another folder with the same pictures, is not encoded again") {
  fs::rename(pictures, folder / "renamed");
  const auto json = cuclip_json({"index", folder / "renamed", "--out", index});
  CHECK(json["unchanged"] == 8);
  const auto found = cuclip_json({"search", index, "a", "--top", "1"});
  CHECK(path_exists(found["hits"][0]["path"].get<std::string>()));
}

TEST_CASE_METHOD(Indexed, "features of another model, precision or type are not reused, and that is said") {
  check_anew(again({"--precision", "tf32"}), "was made with precision fp32, not tf32");
  check_anew(again({"--precision", "tf32", "--store", "bf16"}), "stores fp32, not bf16");
  CHECK(again({"--precision", "tf32", "--store", "bf16"}).err.empty());
  check_anew(again({"--precision", "tf32"}), "stores bf16, not fp32");
  check_anew(again(), "precision");
  const size_t at = read_file(index).find("fingerprint\":\"") + 14;
  const std::string digits = read_file(index).substr(at, 16);
  change_index(digits, std::string(16, digits == std::string(16, '0') ? '1' : '0'));
  check_anew(again(), "was made with other weights (" + run + ")");
}

TEST_CASE_METHOD(Indexed, "an index of another format, a damaged one and one of a data set are made anew") {
  change_index("cuclip-index 2", "cuclip-index 3");
  check_anew(again(), "another version");
  // As format 1 was: without files.
  change_index("cuclip-index 2", "cuclip-index 1");
  CHECK(cuclip({"search", index, "a"}).exit_code == 0);
  check_anew(again(), "an earlier cuclip made it");
  std::string bytes = read_file(index);
  const size_t features = 8 + static_cast<uint8_t>(bytes[0]) + size_t{256} * static_cast<uint8_t>(bytes[1]);
  folder.write("p.cuclip-index", bytes.replace(features, 4, "\xFF\xFF\xFF\xFF"));
  check_anew(again(), "not finite");
  const std::string table = folder.write("t.csv", "filepath,title\npictures/0.png,a\npictures/1.png,b\n");
  const CommandResult set = cuclip({"index", table, "--out", index});
  CHECK(set.out == summary("2 encoded, 0 unchanged, 0 moved or copied, 0 removed, 0 passed over", 2));
  CHECK_THAT(set.err, Contains("encoded anew"));
  check_anew(again(), "is the index of a data set");
}

TEST_CASE_METHOD(Indexed, "an unfinished index can be searched, and says that it is unfinished") {
  Context context(1);
  FeatureIndex part = load_index(context, index);
  CHECK(cuclip({"search", index, "a"}).err.empty());
  part.missing = 3;
  part.names.resize(5);
  part.rows.resize(5);
  part.files.resize(5);
  part.features = part.features.rows(0, 5);
  save_index(part, index);
  const CommandResult found = cuclip({"search", index, "a"});
  CHECK(found.exit_code == 0);
  CHECK(std::count(found.out.begin(), found.out.end(), '\n') == 5);
  CHECK(found.err == "cuclip: " + index + " is unfinished, without 3 pictures of " + pictures +
                         "; the same cuclip index command continues it\n");
  CHECK(again().out == summary("3 encoded, 5 unchanged, 0 moved or copied, 0 removed, 0 passed over"));
  CHECK(cuclip({"search", index, "a"}).err.empty());
}

TEST_CASE_METHOD(Indexed, "a terminal is shown how far indexing is, how fast, and how long it takes") {
  for (int i = 0; i < 70; ++i)
    folder.write(fmt::format("pictures/{}.png", 100 + i), bmp_bytes(random_image(5, 5)));
  const CommandResult result = run_program(
      "/usr/bin/script",
      {"-qec",
       "'" + cuclip_executable() + "' index '" + pictures + "' --out '" + index + "' --model '" + run + "'",
       "/dev/null"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out, Catch::Matches("(?:.|[\r\n])*indexed 64 of 70, [0-9.]+/s, ETA 0 s(?:.|[\r\n])*") &&
                             Catch::Matches("(?:.|[\r\n])*indexed 70 of 70, [0-9.]+/s[\r\n]+(?:.|[\r\n])*"));
}

}  // namespace
}  // namespace cuclip::test
