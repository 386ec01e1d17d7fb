// A run's log: its lines, and when skipped steps end the run.
#include "train/loop/run_log.h"

#include <catch2/catch.hpp>
#include <limits>
#include <sstream>

#include "core/file_io.h"
#include "tests/support/command.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TemporaryFolder;

namespace {

std::vector<nlohmann::json> lines_of(const std::filesystem::path& file) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_file(file));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

StepResult skipped_step(int64_t so_far, int64_t in_a_row) {
  return {.skipped = in_a_row > 0, .skipped_steps = so_far, .skipped_in_a_row = in_a_row};
}

}  // namespace

TEST_CASE(
    "a line of metrics.jsonl has the samples and waits since the one before, and null where nothing is "
    "finite") {
  TemporaryFolder parent;
  const RunFolder folder(parent / "run");
  RunLog log(&folder, 0, 10);
  log.count_samples(20, 1e6);  // more than can have passed: the share tells what was counted
  log.step({.step = 1, .epoch = 0.5, .lr = 0.25}, {.loss = 2, .gradient_norm = 3, .logit_scale = 4});
  log.step({.step = 2, .epoch = 1, .lr = 0.5}, {.loss = std::numeric_limits<float>::quiet_NaN()});
  const std::vector<nlohmann::json> lines = lines_of(folder.path() / "metrics.jsonl");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["step"] == 1);
  CHECK(lines[0]["loss"] == 2);
  CHECK(lines[0]["lr"] == 0.25);
  CHECK(lines[0]["grad_norm"] == 3);
  CHECK(lines[0]["logit_scale"] == 4);
  CHECK(lines[0]["samples_per_second"].get<double>() > 0);
  CHECK(lines[0]["data_wait_share"].get<double>() > 1);
  CHECK(lines[1]["loss"].is_null());
  CHECK(lines[1]["samples_per_second"] == 0);
  CHECK(lines[1]["data_wait_share"] == 0);
}

TEST_CASE("skipped steps are counted once, and the tenth in a row ends the run") {
  TemporaryFolder parent;
  const RunFolder folder(parent / "run");
  RunLog log(&folder, 0, 100);
  TrainState state{.step = 40, .skipped_steps = 5};  // 5: of the process before
  log.count_skipped(skipped_step(1, 1), state, "");
  CHECK(state.skipped_steps == 6);
  CHECK(log.skipped_in_a_row() == 1);
  log.count_skipped(skipped_step(1, 0), state, "");
  CHECK(state.skipped_steps == 6);
  CHECK(log.skipped_in_a_row() == 0);
  log.count_skipped(skipped_step(10, 9), state, "");
  CHECK(state.skipped_steps == 15);
  CHECK_THROWS_WITH(log.count_skipped(skipped_step(11, 10), state, "checkpoints/step-30"),
                    Contains("10 steps in a row") && Contains("stopped at step 40") &&
                        Contains("the last checkpoint is checkpoints/step-30"));
  RunLog other(&folder, 0, 100);
  CHECK_THROWS_WITH(other.count_skipped(skipped_step(10, 10), state, ""),
                    Contains("the last checkpoint is none"));
}
