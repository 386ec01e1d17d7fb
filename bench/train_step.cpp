// Times whole training steps, and says how much memory they take and where the time goes. On the CPU, against
// the machine's matrix-product peak.
//
//   build/cpu/bench/train_step [MODEL] [BATCH] [TEXT_LENGTH] [STEPS] [cpu | cuda]
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "bench/profile_table.h"
#include "bench/random_batch.h"
#include "core/clock.h"
#include "core/device_choice.h"
#include "models/clip/clip_size.h"
#include "train/loop/machine_peak.h"
#include "train/loop/train_step.h"

namespace cuclip {
namespace {

double mebibytes(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

// What a step must hold at once: parameters and their state, and all that the forward pass saves.
size_t needed_bytes(ClipModel& model, const MicroBatch& batch) {
  Context& context = model.context();
  const TextInput text = trim_text(context.host(), batch.tokens);
  Tape tape(context);
  const Tensor images = model.encode_image(tape, batch.images, Tensor(), BatchStatistics::of_batch_again);
  const Tensor texts = model.encode_text(tape, TextInput{text.tokens.to(context), text.end.to(context)});
  const Tensor loss = model.loss(tape, images, texts);
  return context.allocator().statistics().bytes_in_use - context.exec().scratch->capacity();
}

void print_memory(ClipModel& model, const TrainStep& step, const MicroBatch& batch) {
  CachingAllocator& allocator = model.context().allocator();
  size_t used = allocator.statistics().peak_in_use, reserved = allocator.statistics().bytes_reserved;
  if (model.context().device() == Device::cuda) {  // a replayed step has memory of its own
    const CachingAllocator::Statistics own = step.memory();
    used = allocator.statistics().bytes_in_use + own.peak_in_use;
    reserved = allocator.statistics().bytes_in_use + own.bytes_reserved;
  }
  const size_t needed = needed_bytes(model, batch);
  fmt::print("      memory {:.2f} MiB at most, {:.2f} reserved; {:.2f} needed\n", mebibytes(used),
             mebibytes(reserved), mebibytes(needed));
}

void profile(TrainStep& step, Context& context, const MicroBatch& batch, int steps) {
  Profiler profiler;
  context.set_profiler(&profiler);
  const double start = seconds_now();
  for (int i = 0; i < steps; ++i) step.run(std::span(&batch, 1), 1e-4f);
  const double total = seconds_now() - start;
  context.set_profiler(nullptr);
  print_profile(profiler, total, steps, "step");
}

void measure(const ClipConfig& config, Device device, DType dtype, int64_t pairs, int64_t length, int steps) {
  Context context(0, device);
  ClipModel model(context, config, {.dtype = dtype, .training = true});
  model.initialise(1);
  Optimizer optimizer(context, model.parameters(), {});
  TrainStep step(model, optimizer);
  const MicroBatch batch = random_batch(context.host(), config, pairs, length);
  // Allocates, and makes oneDNN's kernels or records CUDA's.
  for (int i = 0; i < 2; ++i) step.run(std::span(&batch, 1), 1e-4f);
  const double peak = device == Device::cpu ? matrix_product_peak(context, dtype) : 0;
  context.allocator().reset_peak();
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) {
    const double start = seconds_now();
    step.run(std::span(&batch, 1), 1e-4f);
    times.push_back(seconds_now() - start);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double flops = training_step_flops(config, pairs, length, config.vision.patches());
  fmt::print("{:5} median {:.1f} ms ({:.1f} to {:.1f}), {:.0f} pairs/s, {:.0f} GFLOP/s", name_of(dtype),
             median * 1e3, times.front() * 1e3, times.back() * 1e3, static_cast<double>(pairs) / median,
             flops / median / 1e9);
  if (peak > 0) {
    fmt::print(" = {:.1f} % of {:.0f}\n", 100 * flops / median / peak, peak / 1e9);
  } else {
    fmt::print(", {} kernels with one call, at most {} in a row\n", step.replayed()->kernels(),
               step.replayed()->longest_chain());
  }
  print_memory(model, step, batch);
  if (device == Device::cpu) profile(step, context, batch, steps);
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  const cuclip::ClipConfig config = cuclip::load_clip_config(argc > 1 ? argv[1] : "cuclip-small");
  const int64_t pairs = argc > 2 ? std::atoll(argv[2]) : 256;
  const int64_t length = argc > 3 ? std::atoll(argv[3]) : config.text.context_length;
  const int steps = argc > 4 ? std::atoi(argv[4]) : 10;
  const cuclip::Device device =
      cuclip::choose_device(cuclip::parse_device("device", argc > 5 ? argv[5] : "cpu"));
  fmt::print("{:.2f} M parameters, {} pairs, texts of {} tokens, {:.2f} GFLOP per pair\n",
             static_cast<double>(cuclip::parameter_count(config)) / 1e6, pairs, length,
             cuclip::training_step_flops(config, pairs, length, config.vision.patches()) / 1e9 /
                 static_cast<double>(pairs));
  for (cuclip::DType dtype : {cuclip::DType::f32, cuclip::DType::bf16}) {
    cuclip::measure(config, device, dtype, pairs, length, steps);
  }
}
