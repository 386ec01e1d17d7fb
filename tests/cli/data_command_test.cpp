// cuclip data as a user calls it: what it prints, what it leaves behind, how it refuses.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "core/file_lock.h"
#include "tests/support/command.h"
#include "train/data/synthetic.h"
#include "train/draw/png.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

// Synthetic scenes as files with captions.
void write_pictures(const TemporaryFolder& folder, int64_t count) {
  const auto dataset = make_synthetic_dataset({.image_size = 40, .count = count});
  for (int64_t i = 0; i < count; ++i) {
    const Sample sample = dataset->load(i);
    folder.write(fmt::format("in/{:03}.png", i), encode_png(std::get<Image>(sample.picture)));
    folder.write(fmt::format("in/{:03}.txt", i), fmt::format("{}, number {}", sample.captions[0], i));
  }
}

TEST_CASE("data prepare writes shards that data stats reads, and does nothing the second time") {
  const TemporaryFolder folder;
  write_pictures(folder, 40);
  folder.write("in/broken.png", "<html>");
  folder.write("in/broken.txt", "an error page");
  const std::vector<std::string> arguments = {"data",         "prepare",    "--from", folder / "in",  "--out",
                                              folder / "out", "--held-out", "5",      "--image-size", "32"};
  const CommandResult first = run_cuclip(arguments);
  CHECK(first.exit_code == 0);
  CHECK_THAT(first.out, Contains("unreadable picture") && Contains("held out"));
  const auto written = fs::last_write_time(folder / "out/train-000.tar");

  const CommandResult second = run_cuclip(arguments);
  CHECK(second.exit_code == 0);
  CHECK_THAT(second.err, Contains("already exists") && Contains("--force rebuilds it"));
  CHECK(fs::last_write_time(folder / "out/train-000.tar") == written);

  std::vector<std::string> other = arguments;
  other[7] = std::to_string(6);
  other.push_back("--json");
  const CommandResult refused = run_cuclip(other);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("other options") && Contains("--force"));
  CHECK(fs::last_write_time(folder / "out/train-000.tar") == written);
  other.push_back("--force");
  const CommandResult third = run_cuclip(other);
  CHECK(nlohmann::json::parse(third.out).at("held_out").at("pictures") == 6);

  const CommandResult stats = run_cuclip({"data", "stats", (folder / "out/train-*.tar").string(), "--json"});
  CHECK(stats.exit_code == 0);
  const auto report = nlohmann::json::parse(stats.out);
  CHECK(report.at("bad").at("count") == 0);
  CHECK(report.at("usable").get<int>() <= 34);
  CHECK(report.at("width").at("max") == 32);
}

TEST_CASE("data prepare rebuilds a set of which a shard is damaged, and names a shard of somebody else's") {
  const TemporaryFolder folder;
  write_pictures(folder, 20);
  const fs::path out = folder / "out";
  const std::vector<std::string> arguments = {
      "data", "prepare",      "--from", folder / "in",         "--out", out, "--held-out",
      "5",    "--image-size", "16",     "--samples-per-shard", "5"};
  REQUIRE(run_cuclip(arguments).exit_code == 0);
  for (const char* name : {"train-001.tar", "held-out-000.tar"}) {
    const std::string good = read_file(out / name);
    for (const uintmax_t bytes : {uintmax_t{0}, fs::file_size(out / name) - 1}) {
      fs::resize_file(out / name, bytes);
      const CommandResult result = run_cuclip(arguments);
      INFO(result.err);
      CHECK(result.exit_code == 0);
      CHECK(read_file(out / name) == good);
    }
  }
  // What earlier versions wrote has no sizes, and a damaged file may have anything.
  const fs::path statistics = out / "statistics.json";
  const auto good = nlohmann::json::parse(read_file(statistics));
  for (const nlohmann::json& sizes :
       {nlohmann::json(), nlohmann::json(5), nlohmann::json{{"train-000.tar", "x"}}}) {
    auto other = good;
    other["shard_bytes"] = sizes;
    if (sizes.is_null()) other.erase("shard_bytes");
    write_file_atomic(statistics, other.dump());
    const CommandResult again = run_cuclip(arguments);
    INFO(again.err);
    CHECK(again.exit_code == 0);
    CHECK(nlohmann::json::parse(read_file(statistics)).at("shard_bytes") == good.at("shard_bytes"));
  }
  folder.write("out/train-099.tar", "somebody else's");
  const CommandResult result = run_cuclip(arguments);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("already exists") && Contains("train-099.tar does not belong to this set"));
}

TEST_CASE("data refuses wrong arguments and unusable sources with exit code 2") {
  const TemporaryFolder folder;
  write_pictures(folder, 4);
  folder.write("cut.tar", std::string(700, 'x'));
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& mention) {
    const CommandResult result = run_cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(mention));
  };
  const std::string out = folder / "out";
  // Whether opening the set or reading its pictures finds that nothing of it can be used.
  folder.write("page/1.png", "<html>");
  folder.write("page/1.txt", "an error page");
  folder.write("blank/1.png", "<html>");
  folder.write("blank/1.txt", " ");
  for (const char* name : {"page", "blank"}) refused({"data", "stats", folder / name}, "no usable sample");
  CHECK_THAT(run_cuclip({"train", "--help"}).out, Contains("same size in bytes is not detected"));
  refused({"data"}, "subcommand");
  refused({"data", "prepare", "--out", out}, "--from");
  refused({"data", "prepare", "--from", folder / "in", "--out", out, "--held-out", "500"}, "--held-out");
  refused({"data", "prepare", "--from", folder / "missing", "--out", out}, "no such file or folder");
  refused({"data", "prepare", "--from", folder / "in", "--out", out, "--image-size", "2"}, "--image-size");
  refused({"data", "stats", folder / "cut.tar"}, "expected a tar file");
  refused({"data", "stats", "synthetic:cats"}, "synthetic:shapes");
  CHECK_FALSE(fs::exists(folder / "out/train-000.tar"));
}

TEST_CASE("data prepare leaves shards that it did not write alone") {
  const TemporaryFolder folder;
  write_pictures(folder, 12);
  const std::string out = folder / "out";
  for (const char* name : {"out/train-000.tar", "out/train-007.tar", "out/held-out-000.tar"})
    folder.write(name, "mine");
  std::vector<std::string> arguments = {"data",  "prepare", "--from",     folder / "in",
                                        "--out", out,       "--held-out", "0"};
  const CommandResult refused = run_cuclip(arguments);
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("held-out-000.tar") && Contains("--force"));
  CHECK(read_file(folder / "out/train-000.tar") == "mine");

  arguments.push_back("--force");
  const CommandResult forced = run_cuclip(arguments);
  CHECK(forced.exit_code == 0);
  CHECK_THAT(forced.out, Contains("train-007.tar does not belong to this set"));
  CHECK(read_file(folder / "out/train-000.tar") != "mine");
  CHECK(read_file(folder / "out/train-007.tar") == "mine");
  CHECK(read_file(folder / "out/held-out-000.tar") == "mine");

  folder.write("other/statistics.json", "{\"mine\": 1}");
  const CommandResult other =
      run_cuclip({"data", "prepare", "--from", folder / "in", "--out", folder / "other", "--held-out", "0"});
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.err, Contains("statistics.json") && Contains("--force"));
  CHECK(read_file(folder / "other/statistics.json") == "{\"mine\": 1}");
}

TEST_CASE("data prepare does not write over its source") {
  const TemporaryFolder folder;
  write_pictures(folder, 12);
  const std::string out = folder / "out";
  REQUIRE(run_cuclip({"data", "prepare", "--from", (folder / "in").string(), "--out", out, "--held-out", "0"})
              .exit_code == 0);
  const std::string before = read_file(folder / "out/train-000.tar");
  fs::create_directory_symlink(out, folder / "link");
  for (const char* from : {"out/train-*.tar", "link/train-{000..000}.tar"}) {
    for (const char* flag : {"--json", "--force"}) {
      const CommandResult result =
          run_cuclip({"data", "prepare", "--from", "synthetic:shapes?count=4::" + (folder / from).string(),
                      "--out", out, "--held-out", "0", flag});
      INFO(from << " " << result.err);
      CHECK(result.exit_code == 2);
      CHECK_THAT(result.err, Contains("train-000.tar") && Contains("--from") && Contains("--out"));
      CHECK(read_file(folder / "out/train-000.tar") == before);
    }
  }
}

TEST_CASE("data prepare removes what a killed run of its own left, and nothing else") {
  const TemporaryFolder folder;
  write_pictures(folder, 12);
  std::vector<std::string> arguments = {
      "data",         "prepare",    "--from", folder / "in",         "--out",
      folder / "out", "--held-out", "0",      "--samples-per-shard", "4"};
  REQUIRE(run_cuclip(arguments).exit_code == 0);
  REQUIRE(fs::exists(folder / "out/train-001.tar"));
  folder.write("out/train-004.tar.tmp-drcdtc", "half");
  folder.write("out/statistics.json.tmp-drcdtc", "half");
  folder.write("out/notes.txt.tmp-drcdtc", "mine");
  arguments.back() = "100";
  arguments.push_back("--force");
  {
    const FileLock other(folder / "out", "the test's");  // as if it were still running
    const CommandResult refused = run_cuclip(arguments);
    CHECK(refused.exit_code == 2);
    CHECK_THAT(refused.err, Contains((folder / "out").string() + " is in use by another process"));
    CHECK(fs::exists(folder / "out/train-004.tar.tmp-drcdtc"));
  }
  REQUIRE(run_cuclip(arguments).exit_code == 0);
  CHECK_FALSE(fs::exists(folder / "out/train-004.tar.tmp-drcdtc"));
  CHECK_FALSE(fs::exists(folder / "out/statistics.json.tmp-drcdtc"));
  CHECK(fs::exists(folder / "out/notes.txt.tmp-drcdtc"));
  CHECK_FALSE(fs::exists(folder / "out/train-001.tar"));  // would be read along
}

TEST_CASE("a folder that cannot be written is a failure of the work, exit code 1") {
  const TemporaryFolder folder;
  write_pictures(folder, 4);
  const std::string file = folder.write("taken", "a file where the folder should be");
  const CommandResult result = run_cuclip(
      {"data", "prepare", "--from", folder / "in", "--out", fs::path(file) / "out", "--held-out", "0"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("taken"));
}

}  // namespace
}  // namespace cuclip::test
