// labels: slow
// SIGKILL from outside at any time, not only at system calls, with the loader's and the kernels' threads at
// work.
#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/background_process.h"
#include "tests/support/buffer.h"
#include "tests/support/faulty_cuclip.h"
#include "tests/support/paths.h"
#include "train/loop/checkpoint.h"

namespace cuclip::test {
namespace {

// Starts cuclip and kills it after this many milliseconds. False if it had already ended.
bool kill_after(int milliseconds, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), cuclip_executable());
  BackgroundProcess process(arguments);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  process.signal(SIGKILL);
  return process.result().exit_code == -SIGKILL;
}

void set(std::vector<std::string>& arguments, const std::string& flag, const std::string& value) {
  const auto at = std::find(arguments.begin(), arguments.end(), flag);
  REQUIRE(at != arguments.end());
  *std::next(at) = value;
}

TEST_CASE("100 of 100 killed runs have a checkpoint, the same in every bit as an undisturbed run's") {
  const SmallRuns runs;
  const std::string run = runs.copy_of_base("run"), whole = runs.folder / "whole";
  std::uniform_int_distribution<int> anytime(1, 400);
  int64_t step = 1;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> arguments = runs.arguments(run, 1'000'000);
    set(arguments, "--workers", "2");
    set(arguments, "--threads", "2");
    REQUIRE(kill_after(anytime(rng()), arguments));
    std::vector<std::string> notes;
    const auto newest = latest_checkpoint(run, notes);
    REQUIRE(newest);
    REQUIRE(notes.empty());
    REQUIRE(checkpoint_names(run).size() <= 2);
    REQUIRE(read_train_state(*newest).step >= step);
    step = read_train_state(*newest).step;
  }
  REQUIRE(step > 1);
  std::vector<std::string> once = runs.arguments(whole, step, false);
  set(once, "--save-every-steps", "0");
  REQUIRE(run_cuclip(once).exit_code == 0);
  const std::string name = "checkpoints/step-" + std::to_string(step);
  check_same_checkpoint(run + "/" + name, whole + "/" + name);
}

}  // namespace
}  // namespace cuclip::test
