// labels: release_only long
// A training run that is killed while it writes: wherever that is, the newest checkpoint loads, bit for bit
// one that an undisturbed run has, and the next run continues from there and removes what the killed one
// left.
#include <fcntl.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <random>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/buffer.h"
#include "tests/support/faulty_cuclip.h"
#include "tests/support/skip.h"
#include "train/loop/checkpoint.h"

namespace cuclip::test {
namespace {

namespace fs = std::filesystem;

constexpr int kKilled = -9;

size_t index_of(const std::vector<std::string>& calls, const std::string& call, size_t from = 0) {
  for (size_t i = from; i < calls.size(); ++i) {
    if (calls[i].starts_with(call)) return i;
  }
  FAIL("no call " << call << " from " << from << " on");
  return 0;
}

TEST_CASE(
    "killed at any write, sync, rename or removal, a run has a whole checkpoint and continues bit for bit") {
  const SmallRuns runs;
  const std::vector<std::string> calls =
      calls_of({.under = runs.copy_of_base("run") + "/"}, runs.arguments(runs.folder / "run", 2));
  REQUIRE(calls.size() >= 100);
  int64_t killed = 0, new_ones = 0;
  for (int64_t at = 1;; ++at) {
    const std::string run = runs.copy_of_base("run");
    const SystemFault kill{.under = run + "/", .how = "kill", .failing_call = at};
    const CommandResult result = run_faulty_cuclip(kill, runs.arguments(run, 2));
    INFO("killed at call " << at << ": " << result.err);
    if (result.exit_code == 0) break;
    REQUIRE(result.exit_code == kKilled);
    ++killed;
    const int64_t step = runs.check_newest(run);
    REQUIRE((step == 1 || step == 2));
    new_ones += step == 2;
    if (tells_something_new(calls, at)) runs.check_goes_on(run);
  }
  REQUIRE(killed == std::ssize(calls));
  REQUIRE(new_ones > 0);
  REQUIRE(killed > new_ones);
}

TEST_CASE("a run that is killed again and again keeps at most two checkpoints, and others' folders") {
  const SmallRuns runs;
  const std::string run = runs.copy_of_base("run");
  for (const char* own : {"step-1-best", "step-", "best", "step-0.5"})
    fs::create_directories(run + "/checkpoints/" + own);
  const size_t calls = calls_of({.under = run + "/"}, runs.arguments(run, 3)).size();
  std::uniform_int_distribution<size_t> anywhere(1, calls);
  int64_t last = 1;
  for (int round = 0; round < 30; ++round) {
    const SystemFault kill{
        .under = run + "/", .how = "kill", .failing_call = static_cast<int64_t>(anywhere(rng()))};
    REQUIRE(run_faulty_cuclip(kill, runs.arguments(run, 100'000)).exit_code == kKilled);
    INFO("round " << round << ", killed at call " << kill.failing_call);
    REQUIRE(checkpoint_names(run).size() <= 2);
    const std::string newest = read_file(run + "/latest");
    const int64_t step = std::stoll(newest.substr(5));
    REQUIRE(step >= last);
    last = step;
  }
  REQUIRE(last > 3);
  const CommandResult result = run_cuclip(runs.arguments(run, last + 1));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  for (const char* own : {"step-1-best", "step-", "best", "step-0.5"})
    REQUIRE(fs::exists(run + "/checkpoints/" + own));
  REQUIRE(fs::exists(run + "/checkpoints/step-" + std::to_string(last + 1)));
  REQUIRE(std::distance(fs::directory_iterator(run + "/checkpoints"), fs::directory_iterator()) == 4 + 1);
}

TEST_CASE("older checkpoints stay unless it is asked for, and those of another run always do") {
  const SmallRuns runs;
  std::vector<std::string> keeping = runs.arguments(runs.copy_of_base("run"), 3);
  std::erase(keeping, "--delete-previous-checkpoint");
  REQUIRE(run_cuclip(keeping).exit_code == 0);
  REQUIRE(checkpoint_names(runs.folder / "run") == std::vector<std::string>{"step-1", "step-2", "step-3"});

  std::vector<std::string> elsewhere = runs.arguments(runs.folder / "other", 3, false);
  elsewhere.insert(elsewhere.end(), {"--resume", runs.folder / "reference/checkpoints/step-2"});
  REQUIRE(run_cuclip(elsewhere).exit_code == 0);
  REQUIRE(checkpoint_names(runs.folder / "reference").size() == 3);
  REQUIRE(checkpoint_names(runs.folder / "other") == std::vector<std::string>{"step-3"});
}

TEST_CASE("a run that is killed before its first checkpoint starts again, without the first one's log") {
  const SmallRuns runs;
  const std::string run = runs.folder / "run";
  std::vector<std::string> arguments = runs.arguments(run, 3, false);
  const SystemFault kill{.under = run + "/checkpoints", .calls = "write", .how = "kill", .failing_call = 1};
  REQUIRE(run_faulty_cuclip(kill, arguments).exit_code == kKilled);
  REQUIRE_FALSE(read_file(run + "/metrics.jsonl").empty());
  REQUIRE(run_cuclip(arguments).exit_code == 0);
  REQUIRE(runs.check_newest(run) == 3);
  runs.check_goes_on(run);
}

bool can_exchange_names(const TemporaryFolder& folder) {
  const std::string one = folder.write("exchange/1", ""), two = folder.write("exchange/2", "");
  return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, two.c_str(), RENAME_EXCHANGE) == 0;
}

TEST_CASE("a checkpoint that is made again is there at every moment") {
  const SmallRuns runs;
  CUCLIP_SKIP_IF(!can_exchange_names(runs.folder), "the file system of TMPDIR cannot exchange two names");
  const std::string run = runs.folder / "run";
  const auto copy = [&] {
    fs::remove_all(run);
    fs::copy(runs.folder / "reference", run, fs::copy_options::recursive);
  };
  // From the second step again to the third, which `latest` names.
  std::vector<std::string> arguments = runs.arguments(run, 3, false);
  arguments.insert(arguments.end(), {"--resume", run + "/checkpoints/step-2"});
  copy();
  const std::vector<std::string> calls = calls_of({.under = run + "/"}, arguments);
  REQUIRE(index_of(calls, "exchange ") > 100);
  for (int64_t at = 1; at <= std::ssize(calls); ++at) {
    if (!tells_something_new(calls, at)) continue;
    INFO("killed at " << calls[static_cast<size_t>(at - 1)]);
    copy();
    REQUIRE(run_faulty_cuclip({.under = run + "/", .how = "kill", .failing_call = at}, arguments).exit_code ==
            kKilled);
    std::vector<std::string> notes;
    REQUIRE(latest_checkpoint(run, notes) == fs::path(run) / "checkpoints/step-3");
    REQUIRE(notes.empty());
    check_same_checkpoint(run + "/checkpoints/step-3", runs.folder / "reference/checkpoints/step-3");
  }
  // Where the file system cannot exchange names, it is removed and made.
  copy();
  const SystemFault no_exchange{.under = run, .calls = "exchange", .how = "EINVAL", .failing_call = 1};
  const CommandResult result = run_faulty_cuclip(no_exchange, arguments);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  runs.check_goes_on(run);
}

// What is renamed has reached the disk before, and what replaces it is on the disk before anything older is
// removed. That is what a power cut needs; it is not tried here.
TEST_CASE("files and folders are synced before what relies on them") {
  const SmallRuns runs;
  const std::string run = runs.copy_of_base("run"), checkpoints = run + "/checkpoints";
  const std::vector<std::string> calls = calls_of({.under = run}, runs.arguments(run, 2));
  int files = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!calls[i].starts_with("rename ") || calls[i].find(".tmp-") == std::string::npos) continue;
    ++files;
    const std::string temporary = calls[i].substr(7, calls[i].find(" -> ") - 7);
    const size_t synced = index_of(calls, "fsync " + temporary);
    CHECK(synced < i);
    for (size_t j = synced; j < i; ++j) CHECK_FALSE(calls[j] == "write " + temporary);
    CHECK(calls[i + 1] == "fsync " + fs::path(temporary).parent_path().string());
  }
  CHECK(files >= 7);  // a checkpoint's five, latest and config.toml
  const std::string step = checkpoints + "/step-2";
  const size_t whole = index_of(calls, "rename " + step + ".partial -> " + step);
  CHECK(calls[whole - 1] == "fsync " + step + ".partial");
  CHECK(calls[whole + 1] == "fsync " + checkpoints);
  const size_t named = index_of(calls, "rename " + run + "/latest", whole);
  CHECK(calls[named + 1] == "fsync " + run);
  CHECK(index_of(calls, "rename " + checkpoints + "/step-1 -> ") > named + 1);  // to be removed
}

}  // namespace
}  // namespace cuclip::test
