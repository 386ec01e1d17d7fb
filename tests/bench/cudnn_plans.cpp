// Has cuDNN plan the graphs of bench/cuda for a GPU that is not there: cudnn_plans DEVICE.json [--all].
// Graphs that differ in the batch alone are planned once. Without --all one layer norm stands for all of
// them: for an A100 cuDNN compiles each for 10 to 20 seconds. Exit code 1: a graph was refused, 4: there is
// no cuDNN.
#include <fmt/core.h>

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "bench/cuda/cases.h"
#include "bench/cuda/cudnn.h"

namespace {

using namespace cuclip;
using namespace cuclip::bench;

// cuDNN's fused attention is of f16 and bf16.
bool is_expected(const Operation& op) {
  return op.name.starts_with("attention") && op.precision == Precision::fp32;
}

bool is_left_out(const std::string& name) {
  return name.starts_with("layer_norm") && !name.ends_with("_C768/bf16");
}

int plan(const std::string& device, bool all) {
  std::set<std::string> seen;
  int refused = 0;
  for (const Operation& op : operations(/*reduced=*/false)) {
    for (const Contestant& contestant : op.contestants) {
      const std::string shape = std::regex_replace(op.shape, std::regex("(^|_)[BRHN][0-9]+"), "");
      const std::string name = fmt::format("{}/{}/{}", op.name, shape, word(op.precision));
      if (contestant.name != "cudnn" || (!all && is_left_out(name)) || !seen.insert(name).second) continue;
      Lab lab{.precision = op.precision, .cudnn_device = device};
      try {
        contestant.prepare(lab, {});
        fmt::print("planned {}\n", name);
      } catch (const Refusal& refusal) {
        fmt::print("{} {}: {}\n", is_expected(op) ? "refused, as expected," : "REFUSED", name,
                   refusal.what());
        refused += is_expected(op) ? 0 : 1;
      }
    }
  }
  fmt::print("{} graphs, {} refused\n", seen.size(), refused);
  return refused > 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool all = argc == 3 && argv[2] == std::string_view("--all");
  if (argc != 2 && !all) {
    fmt::print(stderr, "usage: cudnn_plans DEVICE.json [--all]\n");
    return 2;
  }
  std::ifstream file(argv[1]);
  const std::string device{std::istreambuf_iterator<char>(file), {}};
  if (device.empty()) {
    fmt::print(stderr, "cudnn_plans: cannot read {}\n", argv[1]);
    return 2;
  }
  const std::string version = cudnn_version();
  if (version.starts_with("none")) {
    fmt::print("skipped: cuDNN: {}\n", version);
    return 4;
  }
  fmt::print("cuDNN {}\n", version);
  return plan(device, all);
}
