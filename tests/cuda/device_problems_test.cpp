// What the executable says where the GPU or its driver will not do. The emulator plays such machines; on a
// GPU there is nothing to see.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/support/command.h"
#include "tests/support/kernel_test.h"

namespace cuclip::test {
namespace {

using Catch::Matchers::Matches;

bool emulated() { return on_cuda() && cuda_description().find("(emulated)") != std::string::npos; }

// An option of tests/emulate for the programs that are run meanwhile.
class Emulate {
 public:
  Emulate(const char* variable, const char* value) : variable_(variable) { ::setenv(variable, value, 1); }
  ~Emulate() { ::unsetenv(variable_); }
  Emulate(const Emulate&) = delete;
  Emulate& operator=(const Emulate&) = delete;

 private:
  const char* variable_;
};

CommandResult train_on(const std::string& device, const std::string& out, const std::string& batch = "16") {
  return run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", "synthetic:shapes?count=64",
                     "--batch-size", batch, "--max-steps", "1", "--device", device, "--out", out});
}

}  // namespace

TEST_CASE(
    "an old driver, an old GPU and a machine without a GPU are refused in one line that says what is "
    "needed") {
  if (!emulated()) return;
  const auto [variable, value, problem] = GENERATE(
      std::tuple("EMULATE_DRIVER", "12040",
                 "the driver supports CUDA 12\\.4, CUDA 13\\.\\d or newer is needed"),
      std::tuple("EMULATE_DRIVER", "0", "this machine has no CUDA driver"),
      std::tuple("EMULATE_DEVICES", "0", "this machine has no GPU"),
      std::tuple("EMULATE_DEVICE", "t4", "Tesla T4 \\(emulated\\) is sm_75, sm_80 or newer is needed"));
  const Emulate machine(variable, value);
  const TemporaryFolder folder;
  const CommandResult refused = train_on("cuda", folder / "run");
  CHECK(refused.exit_code == 2);
  CHECK(refused.out.empty());
  CHECK_THAT(refused.err,
             Matches(std::string("cuclip: device cuda: ") + problem + "; use device cpu, or auto\n"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));

  const CommandResult info = run_cuclip({"info"});
  CHECK(info.exit_code == 0);
  CHECK_THAT(info.out, Matches(std::string("[^]*device cuda: ") + problem + "\n[^]*"));
  // Without being asked for, CUDA is not missed.
  const CommandResult on_cpu = train_on("auto", folder / "run");
  INFO(on_cpu.err);
  CHECK(on_cpu.exit_code == 0);
}

}  // namespace cuclip::test
