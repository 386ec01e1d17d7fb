// Times the encoding of pictures on the CPU, and says where the time goes.
//
//   build/cpu-tests/bench/encode_pictures [MODEL] [BATCH] [STEPS]
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "bench/profile_table.h"
#include "bench/random_batch.h"
#include "core/clock.h"
#include "models/clip/clip.h"

namespace cuclip {
namespace {

void measure(const ClipConfig& config, DType dtype, int64_t pictures, int steps) {
  Context context;
  ClipModel model(context, config, {.dtype = dtype});
  model.initialise(1);
  model.fix_weights();
  const Tensor images = random_batch(context, config, pictures, 2).images;
  const auto encode = [&] {
    Tape tape(context, Tape::Mode::inference);
    const double start = seconds_now();
    model.encode_image(tape, images);
    return seconds_now() - start;
  };
  encode();  // allocates, and makes oneDNN's kernels
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) times.push_back(encode());
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  fmt::print("{:5} best {:.2f} ms, median {:.2f} ms, {:.2f} pictures/s\n", name_of(dtype),
             1e3 * times.front(), 1e3 * median, static_cast<double>(pictures) / median);
  Profiler profiler;
  context.set_profiler(&profiler);
  double total = 0;
  for (int i = 0; i < steps; ++i) total += encode();
  context.set_profiler(nullptr);
  print_profile(profiler, total, steps, "batch");
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  const cuclip::ClipConfig config = cuclip::load_clip_config(argc > 1 ? argv[1] : "RN50");
  const int64_t pictures = argc > 2 ? std::atoll(argv[2]) : 8;
  const int steps = argc > 3 ? std::atoi(argv[3]) : 10;
  for (cuclip::DType dtype : {cuclip::DType::f32, cuclip::DType::bf16}) {
    cuclip::measure(config, dtype, pictures, steps);
  }
}
