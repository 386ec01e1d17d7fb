// Training steps on CUDA against losses that a CPU recorded.
//
//   training_steps --record MODEL PAIRS STEPS > recorded.json     on the CPU, in f32 and bf16
//   training_steps recorded.json > result.json                    on CUDA, with cuBLASLt's products too
//
// On CUDA each training is carried out three times: replayed as a graph, again, and launch by launch. All
// three must end with the same bits. Exit code 1: something differs; 2: it could not be tried.
#include <fmt/core.h>

#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/random_batch.h"
#include "core/device_choice.h"
#include "kernels/common/check.h"
#include "kernels/common/device.h"
#include "train/loop/train_step.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

constexpr float kLearningRate = 1e-4f;

struct Training {
  std::string model;
  int64_t pairs;
  int steps;
};

struct Way {
  std::string name, recorded;  // the training recorded on the CPU that it must follow
  DType dtype = DType::f32;
  bool tf32 = false, cublaslt = false;
  double bound = 0;  // of each loss' difference, as a share of the first loss
};

// Measured on the CPU, cuclip-small with 64 pairs, 20 steps: with oneDNN's products for AVX2 and for SSE4.1,
// which add in another order, the losses were 1.1e-7 (f32) and 4.4e-4 (bf16) apart, in shares of the first
// loss; those of f32 and bf16 1.8e-3. tf32 rounds an eighth as coarsely as bf16: 2.3e-4 from f32.
const std::vector<Way>& ways() {
  static const std::vector<Way> all = {
      {.name = "fp32", .recorded = "fp32", .bound = 1e-5},
      {.name = "tf32", .recorded = "fp32", .tf32 = true, .bound = 1e-3},
      {.name = "bf16", .recorded = "bf16", .dtype = DType::bf16, .bound = 2e-3},
      {.name = "cublaslt", .recorded = "fp32", .cublaslt = true, .bound = 1e-5},
  };
  return all;
}

struct Outcome {
  std::vector<float> losses, weights;
  bool operator==(const Outcome&) const = default;
};

// A step's inputs where the context computes.
StepInputs on_device(Context& context, const MicroBatch& batch) {
  StepInputs inputs = ready_for_step(context.host(), std::span(&batch, 1), kLearningRate);
  for (Tensor* tensor :
       {&inputs.batches[0].images, &inputs.batches[0].tokens, &inputs.batches[0].end, &inputs.lr})
    *tensor = tensor->to(context);
  return inputs;
}

// Weights and batch depend on nothing but the arguments.
Outcome train(const Training& training, const Way& way, Device device, bool replay = true) {
  Context context(0, device);
  if (way.tf32) context.use_tf32();
  if (way.cublaslt) context.use_cublaslt();
  const ClipConfig config = load_clip_config(training.model);
  ClipModel model(context, config, {.dtype = way.dtype, .training = true});
  model.initialise(1);
  Optimizer optimizer(context, model.parameters(), {});
  const MicroBatch batch = random_batch(context.host(), config, training.pairs, config.text.context_length);
  TrainStep step(model, optimizer);
  const StepComputation directly(model, optimizer);
  Outcome outcome;
  for (int i = 0; i < training.steps; ++i) {
    if (replay) {
      step.enqueue(std::span(&batch, 1), kLearningRate);
    } else {
      directly.run(on_device(context, batch));
    }
    outcome.losses.push_back(step.result().loss);
  }
  CUCLIP_CHECK(device == Device::cpu || training.steps < 2 || replay == (step.replayed() != nullptr),
               "{}: expected steps to be replayed only when they are to be", way.name);
  outcome.weights = model.parameters().values().to_floats();
  return outcome;
}

Json record(const Training& training) {
  Json losses;
  for (const Way& way : ways()) {
    if (way.name == way.recorded) losses[way.name] = train(training, way, Device::cpu).losses;
  }
  return {
      {"model", training.model}, {"pairs", training.pairs}, {"steps", training.steps}, {"losses", losses}};
}

double farthest(const std::vector<float>& losses, const std::vector<float>& expected) {
  CUCLIP_CHECK(losses.size() == expected.size(), "{} losses were recorded for {} steps", expected.size(),
               losses.size());
  double most = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    const double apart = std::abs(double{losses[i]} - double{expected[i]}) / double{expected[0]};
    if (!(apart <= most)) most = std::isnan(apart) ? INFINITY : apart;
  }
  return most;
}

Json check(const Training& training, const Way& way, const std::vector<float>& recorded) {
  Json result{{"name", way.name}};
  try {
    const Outcome replayed = train(training, way, Device::cuda);
    const double apart = farthest(replayed.losses, recorded);
    const bool repeats = train(training, way, Device::cuda) == replayed;
    const bool same_directly = train(training, way, Device::cuda, false) == replayed;
    result["result"] = apart <= way.bound && repeats && same_directly ? "passed" : "failed";
    result["from_the_cpu"] = apart;
    result["bound"] = way.bound;
    result["repeats"] = repeats;
    result["replayed_as_directly"] = same_directly;
    result["losses"] = replayed.losses;
  } catch (const InputError& refused) {  // cuBLASLt is not installed
    result["result"] = "skipped";
    result["reason"] = refused.what();
  } catch (const std::exception& error) {
    result["result"] = "failed";
    result["reason"] = error.what();
  }
  return result;
}

void say(const Json& result) {
  const std::string name = result.at("name");
  const std::string outcome = result.at("result") == "failed" ? "FAILED" : result.at("result");
  if (result.contains("reason")) {
    fmt::print(stderr, "{}: {}: {}\n", name, outcome, result.at("reason").get<std::string>());
    return;
  }
  const auto bits = [&](const char* key) {
    return result.at(key).get<bool>() ? "the same bits" : "OTHER BITS";
  };
  fmt::print(stderr,
             "{}: {}: losses {:.1e} from the CPU's (at most {:.1e}); repeated: {}; launched one by one: {}\n",
             name, outcome, result.at("from_the_cpu").get<double>(), result.at("bound").get<double>(),
             bits("repeats"), bits("replayed_as_directly"));
}

int check_all(const std::string& file) {
  std::ifstream in(file);
  const Json recorded = Json::parse(in);
  const Training training{recorded.at("model"), recorded.at("pairs"), recorded.at("steps")};
  if (const std::string problem = cuda_problem(); !problem.empty()) fail_input("{}", problem);
  bool failed = false;
  Json results = Json::array();
  for (const Way& way : ways()) {
    results.push_back(check(training, way, recorded.at("losses").at(way.recorded)));
    say(results.back());
    failed |= results.back().at("result") == "failed";
  }
  std::cout << Json{{"model", training.model},
                    {"pairs", training.pairs},
                    {"steps", training.steps},
                    {"training", results}}
                   .dump(1)
            << '\n';
  return failed ? 1 : 0;
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[0] == "--record") {
    std::cout << record({arguments[1], std::stoll(arguments[2]), std::stoi(arguments[3])}).dump() << '\n';
    return 0;
  }
  if (arguments.size() == 1) return check_all(arguments[0]);
  fail_input("usage: training_steps --record MODEL PAIRS STEPS, or training_steps RECORDED.json");
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) try {
  return cuclip::run({argv + 1, argv + argc});
} catch (const std::exception& error) {
  fmt::print(stderr, "training_steps: {}\n", error.what());
  return 2;
}
