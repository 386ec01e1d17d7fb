#include "tests/support/faulty_cuclip.h"

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/paths.h"
#include "train/loop/checkpoint.h"

namespace cuclip::test {
namespace {

namespace fs = std::filesystem;

// Set while a program is started; nobody else starts one meanwhile.
class Environment {
 public:
  void set(const char* name, const std::string& value) {
    names_.emplace_back(name);
    ::setenv(name, value.c_str(), 1);
  }
  Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
  }

 private:
  std::vector<std::string> names_;
};

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::istringstream text(read_file(file));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

constexpr const char* kModel = R"({"embed_dim": 8,
  "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
  "text_cfg": {"context_length": 8, "vocab_size": 530, "width": 16, "heads": 2, "layers": 1}})";

// What a run took is not decided by its settings.
nlohmann::json state_without_times(const fs::path& checkpoint) {
  nlohmann::json state = nlohmann::json::parse(read_file(checkpoint / "state.json"));
  for (const char* time : {"train_seconds", "wait_seconds"}) state.erase(time);
  return state;
}

}  // namespace

CommandResult run_faulty_cuclip(const SystemFault& fault, const std::vector<std::string>& arguments) {
  Environment environment;
  environment.set("LD_PRELOAD", system_faults_library());
  environment.set("FAULT_UNDER", fault.under);
  environment.set("FAULT_CALLS", fault.calls);
  environment.set("FAULT_HOW", fault.how);
  environment.set("FAULT_AT", std::to_string(fault.failing_call));
  if (fault.for_ever) environment.set("FAULT_EVER", "1");
  if (!fault.log.empty()) environment.set("FAULT_LOG", fault.log);
  return run_cuclip(arguments);
}

std::vector<std::string> calls_of(const SystemFault& fault, const std::vector<std::string>& arguments) {
  const TemporaryFolder folder;
  SystemFault listed = fault;
  listed.log = folder / "calls";
  listed.failing_call = 0;
  const CommandResult result = run_faulty_cuclip(listed, arguments);
  if (result.exit_code != 0) throw std::runtime_error("cuclip " + arguments[0] + ": " + result.err);
  return fs::exists(listed.log) ? lines_of(listed.log) : std::vector<std::string>();
}

SmallRuns::SmallRuns() {
  folder.write("model.json", kModel);
  std::vector<std::string> whole = arguments(folder / "reference", 3, false);
  std::erase(whole, "--delete-previous-checkpoint");
  for (const auto& run : {whole, arguments(folder / "base", 1, false)}) {
    const CommandResult result = run_cuclip(run);
    if (result.exit_code != 0) throw std::runtime_error(result.err);
  }
}

std::vector<std::string> SmallRuns::arguments(const std::string& run, int64_t max_steps, bool resume) const {
  std::vector<std::string> all = {"train",
                                  "--model",
                                  folder / "model.json",
                                  "--train-data",
                                  "synthetic:shapes?size=16&count=24",
                                  "--out",
                                  run,
                                  "--max-steps",
                                  std::to_string(max_steps)};
  for (const char* argument :
       {"--batch-size", "4", "--epochs", "1000", "--workers", "0", "--threads", "1", "--save-every-steps",
        "1", "--save-frequency", "0", "--log-every-n-steps", "1", "--delete-previous-checkpoint"})
    all.emplace_back(argument);
  if (resume) all.insert(all.end(), {"--resume", "latest"});
  return all;
}

std::string SmallRuns::copy_of_base(const std::string& name) const {
  fs::remove_all(folder / name);
  fs::copy(folder / "base", folder / name, fs::copy_options::recursive);
  return folder / name;
}

int64_t SmallRuns::check_newest(const std::string& run) const {
  std::vector<std::string> notes;
  const auto newest = latest_checkpoint(run, notes);
  REQUIRE(newest);
  REQUIRE(notes == std::vector<std::string>());
  REQUIRE(checkpoint_names(run).size() <= 2);
  check_same_checkpoint(*newest, folder / "reference/checkpoints" / newest->filename());
  return read_train_state(*newest).step;
}

void SmallRuns::check_tidy(const std::string& run) {
  std::set<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(run))
    if (!entry.is_directory()) found.insert(entry.path().filename());
  const std::set<std::string> expected = {"config.toml",
                                          "latest",
                                          "lock",
                                          "metrics.jsonl",
                                          "model.safetensors",
                                          "open_clip_config.json",
                                          "state.json",
                                          "optimizer.safetensors",
                                          "tokenizer.txt.gz"};
  REQUIRE(found == expected);
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
    REQUIRE(entry.path().extension() != ".partial");
}

void SmallRuns::check_goes_on(const std::string& run) const {
  const CommandResult result = run_faulty_cuclip({.under = run}, arguments(run, 3));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  REQUIRE(check_newest(run) == 3);
  REQUIRE(checkpoint_names(run) == std::vector<std::string>{"step-3"});
  check_tidy(run);
  std::vector<int64_t> steps;
  for (const std::string& line : lines_of(run + "/metrics.jsonl"))
    steps.push_back(nlohmann::json::parse(line)["step"].get<int64_t>());
  REQUIRE(steps == std::vector<int64_t>{1, 2, 3});
}

void check_same_checkpoint(const fs::path& found, const fs::path& expected) {
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "tokenizer.txt.gz", "open_clip_config.json"}) {
    INFO(file);
    REQUIRE((read_file(found / file) == read_file(expected / file)));
  }
  REQUIRE(state_without_times(found) == state_without_times(expected));
}

bool tells_something_new(const std::vector<std::string>& calls, int64_t at) {
  const auto i = static_cast<size_t>(at - 1);
  return i == 0 || i + 1 == calls.size() || calls[i] != calls[i - 1] || calls[i] != calls[i + 1];
}

std::vector<std::string> checkpoint_names(const std::string& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints")) {
    const std::string name = entry.path().filename();
    const bool number = name.size() > 5 && name.find_first_not_of("0123456789", 5) == std::string::npos;
    if (name.starts_with("step-") && number) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cuclip::test
