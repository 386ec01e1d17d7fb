// Times whole training steps against the machine's matrix-product peak, and says where the time goes.
//
//   build/cpu/bench/train_step [MODEL] [BATCH] [TEXT_LENGTH] [STEPS]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "models/clip_size.h"
#include "train/machine_peak.h"
#include "train/train_step.h"

namespace cuclip {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Random pictures, and texts of exactly `length` tokens.
MicroBatch random_batch(Context& context, const ClipConfig& config, int64_t pairs, int64_t length) {
  std::mt19937 rng(1);
  const int64_t size = config.vision.image_size, columns = config.text.context_length;
  MicroBatch batch{Tensor::empty(context, {pairs, size, size, 3}, DType::u8),
                   Tensor::zeros(context, {pairs, columns}, DType::i32)};
  for (int64_t i = 0; i < batch.images.elements(); ++i) {
    batch.images.data<uint8_t>()[i] = static_cast<uint8_t>(rng());
  }
  for (int64_t r = 0; r < pairs; ++r) {
    int32_t* row = batch.tokens.data<int32_t>() + r * columns;
    for (int64_t i = 0; i < length; ++i) {
      row[i] = static_cast<int32_t>(rng() % static_cast<uint32_t>(config.text.vocab_size - 1));
    }
    row[length - 1] = config.text.vocab_size - 1;
  }
  return batch;
}

void measure(const ClipConfig& config, DType dtype, int64_t pairs, int64_t length, int steps) {
  Context context;
  Clip model(context, config, {.dtype = dtype, .training = true});
  model.initialise(1);
  Optimizer optimizer(context, model.parameters(), {});
  TrainStep step(model, optimizer);
  const MicroBatch batch = random_batch(context, config, pairs, length);
  step.run(std::span(&batch, 1), 1e-4f);  // allocates, and makes oneDNN's kernels

  const double peak = matrix_product_peak(context, dtype);
  context.allocator().reset_peak();
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) {
    const double start = now();
    step.run(std::span(&batch, 1), 1e-4f);
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double flops = training_step_flops(config, pairs, length, config.vision.patches());
  fmt::print(
      "{:5} median {:.1f} ms ({:.1f} to {:.1f}), {:.0f} pairs/s, {:.0f} GFLOP/s = {:.1f} % of {:.0f}, {:.0f} "
      "MiB\n",
      name_of(dtype), median * 1e3, times.front() * 1e3, times.back() * 1e3,
      static_cast<double>(pairs) / median, flops / median / 1e9, 100 * flops / median / peak, peak / 1e9,
      static_cast<double>(context.allocator().statistics().peak_in_use) / (1 << 20));

  Profiler profiler;
  context.set_profiler(&profiler);
  const double start = now();
  for (int i = 0; i < steps; ++i) step.run(std::span(&batch, 1), 1e-4f);
  const double total = now() - start;
  std::vector<std::pair<std::string_view, Profiler::Entry>> entries(profiler.entries().begin(),
                                                                    profiler.entries().end());
  std::sort(entries.begin(), entries.end(),
            [](auto& a, auto& b) { return a.second.seconds > b.second.seconds; });
  double covered = 0;
  for (const auto& [name, entry] : entries) {
    covered += entry.seconds;
    fmt::print("      {:28} {:5.1f} %  {:6} calls  {:8.3f} ms a step\n", name, 100 * entry.seconds / total,
               entry.calls / steps, 1e3 * entry.seconds / steps);
  }
  fmt::print("      {:28} {:5.1f} %\n", "outside operations", 100 * (total - covered) / total);
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  const cuclip::ClipConfig config = cuclip::load_clip_config(argc > 1 ? argv[1] : "cuclip-small");
  const int64_t pairs = argc > 2 ? std::atoll(argv[2]) : 256;
  const int64_t length = argc > 3 ? std::atoll(argv[3]) : config.text.context_length;
  const int steps = argc > 4 ? std::atoi(argv[4]) : 10;
  fmt::print("{:.2f} M parameters, {} pairs, texts of {} tokens, {:.2f} GFLOP a pair\n",
             static_cast<double>(cuclip::parameter_count(config)) / 1e6, pairs, length,
             cuclip::training_step_flops(config, pairs, length, config.vision.patches()) / 1e9 /
                 static_cast<double>(pairs));
  for (cuclip::DType dtype : {cuclip::DType::f32, cuclip::DType::bf16}) {
    cuclip::measure(config, dtype, pairs, length, steps);
  }
}
