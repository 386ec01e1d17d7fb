// labels: release_only
#include <signal.h>

#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/background_process.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"

using namespace cuclip;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kSmall = {
    "--model",      "cuclip-tiny", "--train-data",        "synthetic:shapes?size=32&count=512",
    "--batch-size", "64",          "--log-every-n-steps", "1"};

std::vector<std::string> train_arguments(const fs::path& out, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments{"train", "--out", out.string()};
  arguments.insert(arguments.end(), kSmall.begin(), kSmall.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// Starts a long run, waits until it has logged a few steps, and sends it a signal. Returns its exit code.
int interrupt(const fs::path& out, int signal) {
  std::vector<std::string> command = train_arguments(out, {"--epochs", "100000"});
  command.insert(command.begin(), test::cuclip_executable());
  test::BackgroundProcess process(command);
  const fs::path metrics = out / "metrics.jsonl";
  process.wait_while_running_until("logged a few steps",
                                   [&] { return fs::exists(metrics) && fs::file_size(metrics) > 300; });
  process.signal(signal);
  return process.result().exit_code;
}

}  // namespace

TEST_CASE("SIGTERM and SIGINT save and exit with 143 and 130; the run then continues bit for bit") {
  TemporaryFolder folder;
  REQUIRE(interrupt(folder / "run", SIGTERM) == 143);
  const std::string saved = read_file(folder / "run/latest");
  REQUIRE_THAT(saved, Catch::StartsWith("step-"));
  REQUIRE(interrupt(folder / "other", SIGINT) == 130);
  REQUIRE(fs::exists(folder / "other/latest"));

  // On to the middle of the next epoch of 8 steps, as if nothing had happened.
  const std::string last = std::to_string(std::stoi(saved.substr(5)) + 11);
  const auto train_to_last = [&](const char* run, std::vector<std::string> more) {
    more.insert(more.end(), {"--epochs", "100000", "--max-steps", last});
    return test::run_cuclip(train_arguments(folder / run, more));
  };
  const auto resumed = train_to_last("run", {"--resume", "latest"});
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  REQUIRE_THAT(resumed.err, Catch::Contains("resuming from"));
  REQUIRE(train_to_last("whole", {}).exit_code == 0);
  for (const char* file : {"/model.safetensors", "/optimizer.safetensors"}) {
    INFO(file);
    REQUIRE(read_file(folder / ("run/checkpoints/step-" + last + file)) ==
            read_file(folder / ("whole/checkpoints/step-" + last + file)));
  }
}

TEST_CASE("flags win over the configuration file, and the resolved configuration can be trained with") {
  TemporaryFolder folder;
  write_file_atomic(
      folder / "settings.toml",
      "model = \"cuclip-tiny\"\ntrain-data = \"synthetic:shapes?size=32&count=128\"\nbatch-size = 32\n"
      "epochs = 7\nmax-steps = 2\nlock-image = true\n");
  const auto first = test::run_cuclip({"train", "--config", (folder / "settings.toml").string(), "--epochs",
                                       "3", "--out", (folder / "a").string()});
  INFO(first.err);
  REQUIRE(first.exit_code == 0);
  const std::string resolved = read_file(folder / "a/config.toml");
  REQUIRE_THAT(resolved, Catch::Contains("epochs=3") && Catch::Contains("batch-size=32") &&
                             Catch::Contains("lock-image=true"));
  const auto second = test::run_cuclip(
      {"train", "--config", (folder / "a/config.toml").string(), "--out", (folder / "b").string()});
  INFO(second.err);
  REQUIRE(second.exit_code == 0);
  REQUIRE(read_file(folder / "a/checkpoints/step-2/model.safetensors") ==
          read_file(folder / "b/checkpoints/step-2/model.safetensors"));
}

TEST_CASE("wrong settings exit with 2 and name the flag") {
  TemporaryFolder folder;
  const auto fails = [&](const std::vector<std::string>& more, const char* message) {
    std::vector<std::string> arguments{"train", "--out", (folder / "run").string()};
    if (more[0] != "--config")
      arguments.insert(arguments.end(), {"--train-data", "synthetic:shapes?size=32&count=64"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = test::run_cuclip(arguments);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Catch::Contains(message));
  };
  fails({"--lr", "-1"}, "--lr must be positive");
  fails({"--batch-size", "1"}, "--batch-size must be at least 2");
  fails({"--precision", "fp8"}, "--precision");
  fails({"--gemm", "mkl"}, "--gemm");
  fails({"--gemm", "cublaslt", "--device", "cpu"}, "cuBLASLt needs device cuda, this is cpu");
  fails({"--batch-size", "32", "--model", "ViT-Z"}, "unknown model 'ViT-Z'");
  fails({"--device", "cuda"}, "device cuda: ");
  fails({"--model", "cuclip-tiny", "--batch-size", "32", "--pretrained", "/nonexistent.safetensors"},
        "/nonexistent.safetensors");
  fails({"--batch-size", "32", "--tokenizer", "/nonexistent.txt"}, "/nonexistent.txt");
  write_file_atomic(folder / "bad.toml", "learning-rate = 1\n");
  fails({"--config", (folder / "bad.toml").string()}, "'learning-rate' is not a setting");
  CHECK(test::run_cuclip({"train"}).exit_code == 2);
}
