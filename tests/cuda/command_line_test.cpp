// The executable on CUDA against itself on the CPU.
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "core/file_io.h"
#include "tests/support/kernel_test.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

// The losses of a run's steps.
std::vector<double> losses_of(const std::filesystem::path& run) {
  std::vector<double> losses;
  std::istringstream lines(read_file(run / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) losses.push_back(nlohmann::json::parse(line).at("loss"));
  return losses;
}

std::vector<std::string> training(const std::string& out, const std::string& precision,
                                  const std::string& device, int steps, const std::string& gemm = "cuclip") {
  return {"train",
          "--model",
          "cuclip-tiny",
          "--train-data",
          "synthetic:shapes",
          "--batch-size",
          "16",
          "--max-steps",
          std::to_string(steps),
          "--epochs",
          "1",
          "--gemm",
          device == "cuda" ? gemm : "cuclip",
          "--log-every-n-steps",
          "1",
          "--precision",
          precision,
          "--device",
          device,
          "--out",
          out};
}

}  // namespace

TEST_CASE("train on CUDA follows the CPU, and a run can be resumed on the other device") {
  CUCLIP_NEEDS_CUDA();
  // tf32 rounds an eighth as coarsely as bf16, and on CUDA only.
  const auto [precision, gemm, mean_bound, bound] =
      GENERATE(std::tuple("fp32", "cuclip", 1e-5, 1e-5), std::tuple("fp32", "cublaslt", 1e-5, 1e-5),
               std::tuple("tf32", "cuclip", 1e-3 / 8, 5e-3 / 8), std::tuple("bf16", "cuclip", 1e-3, 5e-3));
  CAPTURE(precision, gemm);
  const bool reduced = std::getenv("CUCLIP_TEST_REDUCED");
  const int steps = reduced ? 3 : 20;
  const TemporaryFolder folder;
  const std::string cpu = folder / "cpu", cuda = folder / "cuda";
  REQUIRE(run_cuclip(training(cpu, precision, "cpu", steps)).exit_code == 0);
  const CommandResult result = run_cuclip(training(cuda, precision, "cuda", steps, gemm));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.err, Catch::Contains("running on NVIDIA"));

  for (const auto& [run, other] : {std::pair(cpu, "cuda"), std::pair(cuda, "cpu")}) {
    std::vector<std::string> further = training(run, precision, other, steps + 1, gemm);
    further.insert(further.end(), {"--resume", "latest"});
    REQUIRE(run_cuclip(further).exit_code == 0);
  }
  const std::vector<double> expected = losses_of(cpu), losses = losses_of(cuda);
  REQUIRE(expected.size() == static_cast<size_t>(steps + 1));
  REQUIRE(losses.size() == expected.size());
  double sum = 0, most = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    const double difference = std::abs(losses[i] - expected[i]) / expected[i];
    CHECK(difference < bound);
    sum += difference;
    most = std::max(most, difference);
  }
  if (precision == std::string("tf32")) CHECK(most > 1e-6);  // it was tf32
  // The mean's bound is one of 20 steps.
  if (!reduced) CHECK(sum / static_cast<double>(losses.size()) < mean_bound);
}

TEST_CASE("training continues where cuBLASLt refuses its products, and says so once") {
  CUCLIP_NEEDS_EMULATOR();
  const TemporaryFolder folder;
  const std::string own = folder / "own", refused = folder / "refused";
  REQUIRE(run_cuclip(training(own, "fp32", "cuda", 3)).exit_code == 0);
  const Emulate refusing("EMULATE_CUBLASLT_REFUSE", "launch");
  const CommandResult result = run_cuclip(training(refused, "fp32", "cuda", 3, "cublaslt"));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(losses_of(refused) == losses_of(own));
  const std::string said = "cuclip: cuBLASLt refuses a product of [";
  const size_t first = result.err.find(said);
  REQUIRE(first != std::string::npos);
  CHECK(result.err.find(said, first + 1) == std::string::npos);
  CHECK_THAT(result.err.substr(first, result.err.find('\n', first) - first),
             Catch::Matches(".*product of \\[\\d+, \\d+\\] and \\[\\d+, \\d+\\] \\(f32 to f32\\): "
                            "cublasLtMatmul: CUBLAS_STATUS_EXECUTION_FAILED; .*"));
}

TEST_CASE_METHOD(ModelOnDisk, "commands on CUDA answer as on the CPU") {
  CUCLIP_NEEDS_CUDA();
  const auto on = [&](const std::string& device, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--device", device});
    return cuclip_json(arguments);
  };
  const std::vector<std::string> matrix = {"matrix",  "--images", picture(0), picture(1),
                                           "--texts", "a",        "b c"};
  const auto expected = on("cpu", matrix)["similarity"], similarity = on("cuda", matrix)["similarity"];
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      CHECK(similarity[i][j].get<double>() == Approx(expected[i][j].get<double>()).margin(1e-5));
    }
  }
  for (const std::string device : {"cpu", "cuda"}) {
    const std::string index = folder / (device + ".index");
    on(device, {"index", pictures, "--out", index});
    const auto found = on("cuda", {"search", index, "--image", picture(2), "--top", "1"});
    CHECK(found["hits"][0]["similarity"].get<double>() == Approx(1).margin(1e-5));
    // Features of either device will do.
    CHECK(on("cuda", {"index", pictures, "--out", index})["unchanged"] == 8);
  }
}

}  // namespace cuclip::test
