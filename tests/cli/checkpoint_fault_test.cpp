// labels: release_only
// A checkpoint that takes the place of another of its step, and leftovers, where the file system does not do
// what it is asked for.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/faulty_cuclip.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

// A run of one step in which a checkpoint of the second lies, too, that the run was taken back from.
struct TakenBack : SmallRuns {
  std::string make(const std::string& name) const {
    const std::string run = copy_of_base(name);
    fs::copy(folder / "reference/checkpoints/step-2", run + "/checkpoints/step-2",
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    return run;
  }
};

TEST_CASE_METHOD(TakenBack,
                 "a checkpoint is replaced where the file system can neither exchange nor remove") {
  const std::string run = make("run");
  const SystemFault fault{.under = run + "/checkpoints",
                          .calls = "exchange,unlink",
                          .how = "EINVAL",
                          .failing_call = 1,
                          .for_ever = true};
  const CommandResult result = run_faulty_cuclip(fault, arguments(run, 2));
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(fs::exists(run + "/checkpoints/step-2.replaced/model.safetensors"));
  check_same_checkpoint(run + "/checkpoints/step-2", folder / "reference/checkpoints/step-2");
  check_goes_on(run);
}

TEST_CASE_METHOD(TakenBack,
                 "the old checkpoint stays when it is not sure that the new one reached the disk") {
  const std::string run = make("run"), folder_of_all = run + "/checkpoints";
  const SystemFault listed{.under = folder_of_all, .calls = "fsync"};
  const std::vector<std::string> calls = calls_of(listed, arguments(run, 2));
  const auto at = std::find(calls.begin(), calls.end(), "fsync " + folder_of_all);
  REQUIRE(at != calls.end());
  make("run");
  const SystemFault fault{
      .under = folder_of_all, .calls = "fsync", .how = "EIO", .failing_call = at - calls.begin() + 1};
  const CommandResult result = run_faulty_cuclip(fault, arguments(run, 2));
  INFO(result.err);
  CHECK(result.exit_code == 1);
  for (const char* one : {"/step-2", "/step-2.partial"})
    CHECK(fs::exists(folder_of_all + one + "/model.safetensors"));
  check_goes_on(run);
}

TEST_CASE_METHOD(TakenBack, "a leftover that cannot be removed is not said to be") {
  const std::string run = copy_of_base("run"), leftover = run + "/checkpoints/step-9.partial";
  folder.write("run/checkpoints/step-9.partial/state.json", "{");
  const SystemFault fault{
      .under = leftover, .calls = "unlink", .how = "EACCES", .failing_call = 1, .for_ever = true};
  const CommandResult result = run_faulty_cuclip(fault, arguments(run, 2));
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err,
             Contains("cannot remove " + leftover + ", which a killed run left unfinished: Perm"));
  CHECK_THAT(result.err, !Contains("removed " + leftover));
}

}  // namespace
}  // namespace cuclip::test
