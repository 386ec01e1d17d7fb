// What a run's folder does with what a killed run left.
#include "train/loop/run_folder.h"

#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "tests/support/command.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

TEST_CASE("a checkpoint that was moved aside for one that did not come has its name again") {
  const TemporaryFolder folder;
  folder.write("run/checkpoints/step-3.replaced/state.json", "old");
  folder.write("run/checkpoints/step-3.partial/state.json", "new");
  folder.write("run/checkpoints/step-4.replaced/state.json", "old");
  folder.write("run/checkpoints/step-4/state.json", "new");
  const RunFolder run(folder / "run");
  CHECK(read_file(run.checkpoints() / "step-3/state.json") == "old");
  CHECK(read_file(run.checkpoints() / "step-4/state.json") == "new");
  CHECK(std::distance(fs::directory_iterator(run.checkpoints()), fs::directory_iterator()) == 2);
}

TEST_CASE("a run that wrote nothing leaves no folder, and what was there before stays") {
  const TemporaryFolder folder;
  { const RunFolder run(folder / "refused"); }
  CHECK_FALSE(fs::exists(folder / "refused"));
  {
    const RunFolder run(folder / "used");
    write_file_atomic(run.path() / "config.toml", "epochs = 1");
  }
  CHECK(fs::exists(folder / "used/config.toml"));
  fs::create_directory(folder / "users");
  { const RunFolder run(folder / "users"); }
  CHECK(fs::exists(folder / "users"));
}

TEST_CASE("a folder of checkpoints that has gone is an error that names it") {
  const TemporaryFolder folder;
  const RunFolder run(folder / "run");
  CHECK_FALSE(run.has_checkpoints());
  fs::remove(run.checkpoints());
  CHECK_THROWS_WITH(run.has_checkpoints(), Contains("cannot read " + run.checkpoints().string() + ": "));
}

}  // namespace
}  // namespace cuclip::test
