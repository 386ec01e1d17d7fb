// What the executable says if the GPU or its driver will not do, or its memory is not enough. The emulator
// plays such machines; on a GPU there is nothing to see.
#include <catch2/catch.hpp>
#include <sstream>

#include "core/context.h"
#include "core/file_io.h"
#include "tests/support/command.h"
#include "tests/support/kernel_test.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::Matchers::Matches;

constexpr size_t kMiB = size_t{1} << 20;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

CommandResult train_on(const std::string& device, const std::string& out, const std::string& batch = "16") {
  return run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", "synthetic:shapes?count=64",
                     "--batch-size", batch, "--max-steps", "1", "--device", device, "--out", out});
}

}  // namespace

TEST_CASE(
    "an old driver, an old GPU, none, and one that is full or taken are refused in one line that says why") {
  CUCLIP_NEEDS_EMULATOR();
  const auto [variable, value, problem] = GENERATE(
      std::tuple("EMULATE_DRIVER", "12040",
                 "the driver supports CUDA 12\\.4, CUDA 13\\.\\d or newer is needed"),
      std::tuple("EMULATE_DRIVER", "0", "this machine has no CUDA driver"),
      std::tuple("EMULATE_DEVICES", "0", "this machine has no GPU"),
      std::tuple("EMULATE_DEVICE", "t4", "Tesla T4 \\(emulated\\) is sm_75, sm_80 or newer is needed"),
      std::tuple("EMULATE_CONTEXT", "full", "no GPU can be used: [^\n]*memory[^\n]*"),
      std::tuple("EMULATE_CONTEXT", "busy", "no GPU can be used: [^\n]*[Dd]evice[^\n]*"));
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
  // If nobody asks for CUDA, its absence is not mentioned.
  const CommandResult on_cpu = train_on("auto", folder / "run");
  INFO(on_cpu.err);
  CHECK(on_cpu.exit_code == 0);
}

TEST_CASE("a GPU is named by its number, and does what the others do; one that is not there is refused") {
  CUCLIP_NEEDS_EMULATOR();
  const TemporaryFolder folder;
  {
    const Emulate two("EMULATE_DEVICES", "2");
    for (const char* device : {"cuda:0", "cuda:1"}) {
      const CommandResult result = train_on(device, folder / device);
      INFO(result.err);
      REQUIRE(result.exit_code == 0);
    }
    const auto weights = [&](const char* device) {
      return read_file(folder / device / "checkpoints/step-1/model.safetensors");
    };
    CHECK(weights("cuda:0") == weights("cuda:1"));
    CHECK_THAT(train_on("cuda:2", folder / "run").err, Contains("this machine has 2 GPUs, up to cuda:1"));
  }
  const CommandResult refused = train_on("cuda:1", folder / "run");
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err,
             Contains("device cuda:1: this machine has one GPU, cuda:0; use device cpu, or auto"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("a device that is full says what was asked for, what is in use and what to reduce") {
  CUCLIP_NEEDS_CUDA();
  Context context(1, Device::cuda);
  const auto block = context.allocator().allocate(3 << 20);
  CHECK_THROWS_WITH(
      context.allocator().allocate(size_t{1} << 50),
      "out of memory on device cuda: 1125899906842624 bytes were asked for with 3145728 in use; "
      "use a smaller batch or model; training also has --accum-freq and --grad-checkpointing");
  CHECK_NOTHROW(context.allocator().allocate(1 << 20));  // the failure is not left behind
}

TEST_CASE("recorded work on a full device takes what the context has cached, and keeps its own") {
  CUCLIP_NEEDS_EMULATOR();
  Context context(1, Device::cuda);
  CachingAllocator& own = context.allocator();
  Workspace recorded(context.queue(), own);
  const auto held = own.allocate(3 * kMiB);
  own.allocate(32 * kMiB), recorded.allocator.allocate(16 * kMiB);  // cached, in either
  const auto rest = fill_device();
  const auto block = recorded.allocator.allocate(20 * kMiB);
  CHECK(block->data() != nullptr);
  CHECK(own.statistics().bytes_reserved == 16 * kMiB);  // held's segment
  CHECK(recorded.allocator.statistics().bytes_reserved == 48 * kMiB);
  // Now nothing is left.
  const std::string problem =
      "out of memory on device cuda: 50331648 bytes were asked for with 20971520 in use; use a smaller "
      "batch or model; training also has --accum-freq and --grad-checkpointing";
  CHECK_THROWS_WITH(recorded.allocator.allocate(48 * kMiB), problem);
  CHECK(recorded.allocator.statistics().bytes_reserved == 48 * kMiB);
}

TEST_CASE("training on a device whose memory does not hold the batch fails in one line") {
  CUCLIP_NEEDS_EMULATOR();
  const TemporaryFolder folder;
  for (const char* memory : {"1", "16"}) {  // MiB: less than the parameters, less than a step
    const Emulate small("EMULATE_MEMORY", memory);
    const CommandResult result = train_on("cuda", folder / memory, "64");
    INFO(result.err);
    CHECK(result.exit_code == 1);
    CHECK(result.out.empty());
    CHECK_THAT(
        lines_of(result.err).back(),
        Matches("cuclip: out of memory on device cuda: \\d+ bytes were asked for with \\d+ in use; use a "
                "smaller batch or model; training also has --accum-freq and --grad-checkpointing"));
  }
}

}  // namespace cuclip::test
