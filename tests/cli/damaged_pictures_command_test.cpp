// Commands use pictures whose data is damaged, and say so.
#include <catch2/catch.hpp>

#include "tests/support/model_on_disk.h"
#include "tests/train/damaged_pictures.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE_METHOD(ModelOnDisk, "commands use a damaged picture, and say so on standard error") {
  const std::string file = folder.write("damaged/cut.jpg", damaged_jpeg(1));
  folder.write("damaged/cut.txt", "a picture");
  const std::string said = "cuclip: damaged pictures used: 1, the first: ";
  const std::vector<std::vector<std::string>> commands = {
      {"classify", file, "--labels", "a,b"},
      {"matrix", "--images", file, "--texts", "a"},
      {"encode", "image", file, "--out", folder / "a.npy"},
      {"index", folder / "damaged", "--out", folder / "a.cuclip-index"},
      {"eval", "retrieval", "--data", folder / "damaged"},
  };
  for (const auto& command : commands) {
    const CommandResult result = cuclip(command);
    INFO(command[0] << ": " << result.err);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.err, Contains(said) && Contains("cut") && Contains(kJpegWarning));
  }
  CHECK(cuclip_json({"encode", "image", file, "--out", folder / "a.npy"}).at("damaged_pictures_used") == 1);
  const CommandResult whole = cuclip({"classify", picture(0), "--labels", "a,b"});
  CHECK(whole.exit_code == 0);
  CHECK_THAT(whole.err, !Contains("damaged"));
  const CommandResult search = cuclip({"search", folder / "a.cuclip-index", "--image", file});
  INFO(search.err);
  CHECK(search.exit_code == 0);
  CHECK_THAT(search.err, Contains(said));
}

TEST_CASE("training says at its end how many damaged pictures it used") {
  const TemporaryFolder folder;
  write_damaged_pairs(folder);
  const CommandResult result =
      run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", folder / "in", "--out", folder / "run",
                  "--batch-size", "5", "--epochs", "2", "--workers", "1"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("damaged pictures used: 2, the first: ") && Contains(kJpegWarning));
  CHECK_THAT(result.err, !Contains("could not be used"));
}

}  // namespace
}  // namespace cuclip::test
