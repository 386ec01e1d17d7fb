// labels: release_only
// The executable with a handler that something else put into its process (LD_PRELOAD): the same bits.
#include <stdlib.h>

#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"
#include "tests/support/wide_model.h"

using namespace cuclip;
using Arguments = std::vector<std::string>;

namespace {

constexpr int kRuns = 4;

// Runs cuclip with this many ticks per second (0: none) and oneDNN's code for AVX2, which has the fault.
test::CommandResult with_ticks(int per_second, const Arguments& arguments) {
  Arguments all{"ONEDNN_MAX_CPU_ISA=AVX2"};
  if (per_second > 0) {
    all.push_back("LD_PRELOAD=" + test::preloaded_ticks());
    all.push_back("CUCLIP_TICKS=" + std::to_string(per_second));
  }
  all.push_back(test::cuclip_executable());
  all.insert(all.end(), arguments.begin(), arguments.end());
  return test::run_program("/usr/bin/env", all);
}

}  // namespace

TEST_CASE("the executable trains, encodes and searches to the same bits under 500 and 5000 ticks a second") {
  const test::TemporaryFolder folder;
  const Arguments flags = {"--device", "cpu", "--threads", "2"};
  const std::string model = folder.write("model.json", test::kWideModel), calm = folder / "calm";
  const auto run = [&](int per_second, Arguments arguments) {
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const auto result = with_ticks(per_second, arguments);
    INFO(per_second << " ticks a second, " << arguments[0] << ": " << result.err);
    REQUIRE(result.exit_code == 0);
    return result.out;
  };
  const auto train = [&](int per_second, const std::string& out, const std::string& precision) {
    run(per_second, {"train", "--model", model, "--train-data", "synthetic:shapes?size=32&count=64",
                     "--batch-size", "32", "--max-steps", "2", "--precision", precision, "--out", out});
    return read_file(out + "/checkpoints/step-2/model.safetensors");
  };
  const std::string index = folder / "index", features = folder / "features.npy";
  const auto encode_and_search = [&](int per_second) {
    run(per_second, {"index", "synthetic:shapes?size=32&count=128", "--out", index, "--model", calm});
    run(per_second, {"encode", "text", "a red circle", "--out", features, "--model", calm});
    return read_file(index) + read_file(features) +
           run(per_second, {"search", index, "a red circle", "--json", "--model", calm});
  };
  const std::string f32 = train(0, calm, "fp32"), bf16 = train(0, folder / "calm-bf16", "bf16");
  const std::string found = encode_and_search(0);
  for (int i = 0; i < kRuns; ++i) {
    for (const int per_second : {500, 5000}) {
      const std::string name = "run-" + std::to_string(i) + "-" + std::to_string(per_second);
      CHECK(train(per_second, folder / name, i % 2 == 0 ? "fp32" : "bf16") == (i % 2 == 0 ? f32 : bf16));
      if (i % 4 == 0) CHECK(encode_and_search(per_second) == found);
    }
  }
}
