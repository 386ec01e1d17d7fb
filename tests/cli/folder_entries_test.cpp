// Every command that lists a folder passes over the same entries of it, continues, and says so on standard
// error.
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Arguments = std::vector<std::string>;
namespace fs = std::filesystem;

// classes/{one,two}/ with pairs, as they lie on disks that several systems have seen.
struct Littered : ModelOnDisk {
  Littered() {
    for (const std::string name : {"one", "two"}) {
      const fs::path below = folder / ("classes/" + name);
      for (int i = 0; i < 4; ++i) {
        const std::string stem = std::to_string(i);
        folder.write("classes/" + name + "/" + stem + ".txt", name + " picture " + stem);
        fs::create_symlink(picture(i), below / (stem + ".PNG"));
        folder.write("classes/" + name + "/._" + stem + ".png", "no picture");
      }
      fs::create_symlink("x.png", below / "x.png");
      fs::create_symlink("..", below / "up");
    }
    folder.write("classes/.ipynb_checkpoints/0-checkpoint.png", "no picture");
  }

  void check_said(const CommandResult& result) const {
    INFO(result.out << result.err);
    CHECK(result.exit_code == 0);
    const std::string all = result.out + result.err;
    CHECK_THAT(all, Contains("passed over 9 hidden files and folders, for example"));
    CHECK_THAT(all, Contains("passed over 2 links that lead nowhere, for example") && Contains("one/x.png"));
    CHECK_THAT(all, Contains("passed over 2 links to their own parent folders"));
  }

  std::string classes = folder / "classes";
};

}  // namespace

TEST_CASE_METHOD(Littered, "every command that lists a folder reports what it passes over") {
  const std::string index = folder / "i.index", shards = folder / "shards", out = folder / "out";
  check_said(cuclip({"index", classes, "--out", index}));
  CHECK(cuclip_json({"search", index, "--image", picture(0), "--top", "100"})["hits"].size() == 8);
  check_said(cuclip({"encode", "image", classes, "--out", folder / "f.npy"}));
  check_said(cuclip({"eval", "retrieval", "--data", classes}));
  check_said(cuclip({"eval", "zero-shot", "--data", classes}));
  check_said(run_cuclip({"data", "stats", classes}));
  check_said(run_cuclip({"data", "prepare", "--from", classes, "--out", shards, "--held-out", "0"}));
  check_said(run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", classes, "--batch-size", "4",
                         "--epochs", "1", "--out", out}));
}

}  // namespace cuclip::test
