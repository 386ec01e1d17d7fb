// cuclip's side of bench/versus_pytorch/compare.py: prepares one task, says when it is ready, and then, for
// each line of standard input, runs it for about half a second and prints the seconds of one call; at the end
// of the input, by how many MiB the process grew. pytorch.py does the same in PyTorch.
//
//   versus_pytorch TASK --model NAME --batch N --precision fp32|bf16 --threads T --device cpu|cuda
//
// TASK: train_step, encode_images, encode_texts, loss (of --batch pairs of --width features), preprocess (the
// pictures of the folder --input), tokenize (the lines of --input with the merges --tokenizer).
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_support.h"
#include "bench/random_batch.h"
#include "core/clock.h"
#include "core/ops.h"
#include "models/files/text_file.h"
#include "models/image/image_decode.h"
#include "models/text/tokenizer.h"
#include "train/loop/train_step.h"

namespace cuclip::bench {
namespace {

constexpr double kRoundSeconds = 0.5;

struct Options {
  std::string task, model = "ViT-B-32", precision = "fp32", device = "cpu", input, tokenizer;
  int64_t batch = 16, width = 512;
  int threads = 0;
};

/// One call of a task, which is over when this returns.
using Task = std::function<void()>;

/// A model in use or in training, and what it is given.
struct Running {
  Running(Context& context, const Options& options, bool training)
      : model(context, load_clip_config(options.model),
              {.dtype = options.precision == "bf16" ? DType::bf16 : DType::f32, .training = training}),
        batch(
            random_batch(context.host(), model.config(), options.batch, model.config().text.context_length)) {
    model.initialise(1);
    if (!training) model.fix_weights();
  }
  ClipModel model;
  MicroBatch batch;
};

Task train_step(Context& context, const Options& options) {
  struct Training : Running {
    Training(Context& context, const Options& options)
        : Running(context, options, true),
          optimizer(context, model.parameters(), {}),
          step(model, optimizer) {}
    Optimizer optimizer;
    TrainStep step;
  };
  const auto training = std::make_shared<Training>(context, options);
  return [training] { training->step.run(std::span(&training->batch, 1), 1e-4f); };
}

Task encode(Context& context, const Options& options, bool images) {
  const auto running = std::make_shared<Running>(context, options, false);
  if (images) running->batch.images = running->batch.images.to(context);
  return [&context, running, images] {
    Tape tape(context, Tape::Mode::inference);
    const Tensor features = images ? running->model.encode_image(tape, running->batch.images)
                                   : running->model.encode_text(tape, running->batch.tokens);
    features.to(context.host());
  };
}

Task loss(Context& context, const Options& options) {
  struct Problem {
    Tensor image, text;
    ParameterStore store;
  };
  const DType dtype = options.precision == "bf16" ? DType::bf16 : DType::f32;
  const auto problem = std::make_shared<Problem>();
  problem->image = unit_rows(context, options.batch, options.width, dtype, 1);
  problem->text = unit_rows(context, options.batch, options.width, dtype, 2);
  Parameter& log_scale =
      problem->store.add("logit_scale", {}, ParameterRole::scale, Initialiser::constant(std::log(100.0f)));
  problem->store.allocate(context, {.gradients = true});
  problem->store.initialise(context, 1);
  return [&context, problem, &log_scale] {
    Tape tape(context);
    const std::vector<Tensor> leaves = {tape.leaf(problem->image), tape.leaf(problem->text)};
    const Tensor loss = ops::contrastive_loss(tape, leaves[0], leaves[1], log_scale);
    const Tape::Seed seed{loss, Tensor::full(context, {1}, 1.0f)};
    tape.backward(std::span(&seed, 1), leaves);
    loss.to(context.host());
  };
}

Task preprocess(Context& context, const Options& options) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(options.input)) files.push_back(entry.path());
  const EvaluationTransform transform = load_clip_config(options.model).evaluation_transform();
  return [&context, files, transform] {
    parallel_for(context.exec(), std::ssize(files), [&](int64_t i, int) {
      std::vector<uint8_t> pixels(size_t(transform.size) * transform.size * 3);
      evaluation_pixels(load_image(files[static_cast<size_t>(i)]), transform, pixels);
    });
  };
}

Task tokenize(const Options& options) {
  const auto tokenizer = std::make_shared<Tokenizer>(Tokenizer::load(options.tokenizer));
  const int64_t length = load_clip_config(options.model).text.context_length;
  return
      [tokenizer, length, texts = read_all_lines(options.input)] { tokenizer->encode_padded(texts, length); };
}

Task task_of(Context& context, const Options& options) {
  if (options.task == "train_step") return train_step(context, options);
  if (options.task == "encode_images") return encode(context, options, true);
  if (options.task == "encode_texts") return encode(context, options, false);
  if (options.task == "loss") return loss(context, options);
  if (options.task == "preprocess") return preprocess(context, options);
  return tokenize(options);
}

void run(const Options& options) {
  Context context(options.threads, options.device == "cuda" ? Device::cuda : Device::cpu);
  const MemoryGrowth growth;
  const Task task = task_of(context, options);
  for (int i = 0; i < 2; ++i) task();  // allocates, and makes oneDNN's kernels or records CUDA's
  const auto timed = [&](int calls) {
    const double start = seconds_now();
    for (int i = 0; i < calls; ++i) task();
    return (seconds_now() - start) / calls;
  };
  const int calls = static_cast<int>(std::clamp(kRoundSeconds / timed(1), 1.0, 1e4));
  fmt::print("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    fmt::print("{:.9f}\n", timed(calls));
    std::fflush(stdout);
  }
  fmt::print("{:.1f}\n", growth.mib());
}

}  // namespace
}  // namespace cuclip::bench

int main(int argc, char** argv) {
  cuclip::bench::Options options;
  CLI::App app("cuclip's side of bench/versus_pytorch/compare.py");
  app.add_option("task", options.task)
      ->required()
      ->check(
          CLI::IsMember({"train_step", "encode_images", "encode_texts", "loss", "preprocess", "tokenize"}));
  app.add_option("--model", options.model);
  app.add_option("--batch", options.batch);
  app.add_option("--width", options.width);
  app.add_option("--precision", options.precision)->check(CLI::IsMember({"fp32", "bf16"}));
  app.add_option("--threads", options.threads);
  app.add_option("--device", options.device)->check(CLI::IsMember({"cpu", "cuda"}));
  app.add_option("--input", options.input);
  app.add_option("--tokenizer", options.tokenizer);
  CLI11_PARSE(app, argc, argv);
  try {
    cuclip::bench::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
