// labels: release_only
// A training run in unkind surroundings: closed or broken standard streams, a log that cannot be written, a
// file system that is read-only, a folder of a strange name. What was trained is the same in every bit.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/faulty_cuclip.h"
#include "tests/support/paths.h"
#include "tests/support/skip.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

std::string quoted(const std::string& text) { return "'" + text + "'"; }

// Runs the arguments in a shell, followed by redirections.
CommandResult run_in_shell(const std::vector<std::string>& arguments, const std::string& redirections) {
  std::string command = "exec " + quoted(cuclip_executable());
  for (const std::string& argument : arguments) command += " " + quoted(argument);
  return run_program("/bin/bash", {"-c", command + " " + redirections});
}

TEST_CASE("a standard output that is closed or full fails a training run at its end, and all is saved") {
  const SmallRuns runs;
  for (const char* redirection : {">&-", ">/dev/full", ">&- <&-"}) {
    INFO(redirection);
    const std::string run = runs.copy_of_base("run");
    const CommandResult result = run_in_shell(runs.arguments(run, 3), redirection);
    INFO(result.err);
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.err, Contains("cuclip: cannot write to standard output"));
    runs.check_goes_on(run);
  }
}

TEST_CASE("a run survives a closed stderr") {
  const SmallRuns runs;
  const std::string redirections[] = {"2>&-", "2>/dev/full", "2> >(head -c 1 >/dev/null)", "<&- 2>&-",
                                      "2>&- >" + (runs.folder / "out").string()};
  for (const std::string& redirection : redirections) {
    INFO(redirection);
    const std::string run = runs.copy_of_base("run");
    const CommandResult result = run_in_shell(runs.arguments(run, 3), redirection);
    CHECK(result.exit_code == 0);
    CHECK(read_file(run + "/lock").empty());  // it is the first file that is opened
    runs.check_goes_on(run);
  }
  CHECK(read_file(runs.folder / "out") == (runs.folder / "run").string() + "\n");
  const std::string run = runs.copy_of_base("run");
  const CommandResult silent = run_in_shell(runs.arguments(run, 3), "<&- >&- 2>&-");
  CHECK(silent.exit_code == 1);  // the result was not received
  runs.check_goes_on(run);
}

TEST_CASE("a run on a file system that is read-only, or not ours, is refused before anything is trained") {
  const SmallRuns runs;
  for (const auto& [how, reason] :
       {std::pair{"EROFS", "Read-only file system"}, {"EACCES", "Permission denied"}}) {
    const std::string fresh = runs.folder / "fresh", run = runs.copy_of_base("run");
    const SystemFault no_folder{
        .under = fresh, .calls = "mkdir", .how = how, .failing_call = 1, .for_ever = true};
    const CommandResult made = run_faulty_cuclip(no_folder, runs.arguments(fresh, 3, false));
    CHECK(made.exit_code == 1);
    CHECK_THAT(made.err, Contains("cannot create the run folder " + fresh) && Contains(reason));
    const SystemFault read_only{.under = run, .how = how, .failing_call = 1, .for_ever = true};
    const CommandResult resumed = run_faulty_cuclip(read_only, runs.arguments(run, 3));
    CHECK(resumed.exit_code == 1);
    CHECK_THAT(resumed.err, Contains("cannot write to the run folder " + run) && Contains(reason));
    CHECK_THAT(resumed.err, !Contains("resuming"));
    CHECK(runs.check_newest(run) == 1);
    SmallRuns::check_tidy(run);
  }
}

TEST_CASE("a disk whose space is used up by a quota stops the run, which can then be resumed") {
  const SmallRuns runs;
  const std::string run = runs.copy_of_base("run");
  const SystemFault quota{
      .under = run + "/checkpoints", .calls = "write", .how = "EDQUOT", .failing_call = 3, .for_ever = true};
  const CommandResult result = run_faulty_cuclip(quota, runs.arguments(run, 3));
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("step-2.partial/model.safetensors: Disk quota exceeded"));
  CHECK(runs.check_newest(run) == 1);
  runs.check_goes_on(run);
}

TEST_CASE(
    "an older checkpoint that cannot be removed does not stop the run, and is removed by the next one") {
  const SmallRuns runs;
  for (const char* calls : {"unlink", "rename"}) {
    const std::string run = runs.copy_of_base("run");
    const SystemFault stays{
        .under = "/checkpoints/step-1", .calls = calls, .how = "EIO", .failing_call = 1, .for_ever = true};
    const CommandResult result = run_faulty_cuclip(stays, runs.arguments(run, 2));
    INFO(result.err);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.err, Contains("checkpoints/step-1: Input/output error"));
    CHECK(runs.check_newest(run) == 2);
    runs.check_goes_on(run);
  }
}

TEST_CASE("a small disk takes some checkpoints, then the run stops; without the older ones it continues") {
  const SmallRuns runs;
  fs::create_directories(runs.folder / "disk");
  const std::string run = runs.folder / "disk/run";
  std::vector<std::string> keeping = runs.arguments(run, 100, false);
  std::erase(keeping, "--delete-previous-checkpoint");
  const auto command = [](const std::vector<std::string>& arguments) {
    std::string text = quoted(cuclip_executable());
    for (const std::string& argument : arguments) text += " " + quoted(argument);
    return text;
  };
  // Room for two checkpoints of a quarter of a megabyte; mounted for these commands alone.
  const std::string mount = "mount -t tmpfs -o size=600k tmpfs " + quoted(runs.folder / "disk");
  const auto run_mounted = [](const std::string& script) {
    return run_program("/usr/bin/unshare", {"--map-root-user", "--mount", "/bin/bash", "-c", script});
  };
  const CommandResult tried = run_mounted(mount);
  CUCLIP_SKIP_IF(tried.exit_code != 0, "no file system can be mounted here: " + tried.err);
  const CommandResult result = run_mounted(
      mount + " || exit 99; " + command(keeping) + "; echo $?; ls " + quoted(run + "/checkpoints") + "; " +
      command(runs.arguments(run, 100)) + "; echo $?; ls " + quoted(run + "/checkpoints"));
  INFO(result.err);
  CHECK(result.out == "1\nstep-1\nstep-2\n" + run + "\n0\nstep-100\n");
  CHECK_THAT(result.err, Contains("/step-3.partial/") && Contains("No space left on device"));
}

TEST_CASE("a run's folder may have any name, and may be reached by a link") {
  const SmallRuns runs;
  for (const std::string& name :
       std::vector<std::string>{"a b", "a\nb", "*?[x]{1..2}", "-", "näïve", std::string(255, 'x')}) {
    INFO(name);
    const std::string run = runs.folder / name;
    REQUIRE(run_cuclip(runs.arguments(run, 1, false)).exit_code == 0);
    runs.check_goes_on(run);
  }
  fs::create_directory_symlink(runs.copy_of_base("run"), runs.folder / "link");
  runs.check_goes_on(runs.folder / "link");
  CHECK(fs::is_symlink(runs.folder / "link"));
  // The folder of the checkpoints may be on a larger disk.
  const std::string run = runs.copy_of_base("run");
  fs::rename(run + "/checkpoints", runs.folder / "large");
  fs::create_directory_symlink(runs.folder / "large", run + "/checkpoints");
  const CommandResult result = run_cuclip(runs.arguments(run, 3));
  CHECK(result.exit_code == 0);
  CHECK(checkpoint_names(run) == std::vector<std::string>{"step-3"});
}

}  // namespace
}  // namespace cuclip::test
