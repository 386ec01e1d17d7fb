// labels: release_only
// How often a batch's pixels are copied between the loader and the kernels that read them. On CUDA too.
#include <atomic>
#include <catch2/catch.hpp>

#include "tests/support/command.h"
#include "tests/support/kernel_test.h"
#include "train/loop/step_batches.h"

namespace {

// What is counted: copies of about as many bytes as the pixels of a batch have, and not of several.
std::atomic<size_t> g_pixels = SIZE_MAX;
std::atomic<int> g_host_copies = 0, g_device_copies = 0;

void count(std::atomic<int>& copies, size_t bytes) {
  const size_t pixels = g_pixels;
  if (bytes >= pixels && bytes / 2 < pixels) ++copies;
}

}  // namespace

// The program is linked with --wrap for these: the calls of the library come here.
extern "C" {
void* __real_memcpy(void* to, const void* from, size_t bytes);
void* __wrap_memcpy(void* to, const void* from, size_t bytes) {
  count(g_host_copies, bytes);
  return __real_memcpy(to, from, bytes);
}
void* __real_memmove(void* to, const void* from, size_t bytes);
void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  count(g_host_copies, bytes);
  return __real_memmove(to, from, bytes);
}
#ifdef CUCLIP_WITH_CUDA
int __real_cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream);
int __wrap_cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream) {
  count(g_device_copies, bytes);
  return __real_cudaMemcpyAsync(to, from, bytes, kind, stream);
}
#endif
}

using namespace cuclip;

TEST_CASE("pixels go from the loader to the kernels without a copy, on CUDA with one through pinned memory") {
  const bool cuda = test::on_cuda();
  const test::TemporaryFolder folder;
  TrainConfig config;
  config.model = "cuclip-tiny";
  config.train_data = "synthetic:shapes?size=32&count=40";
  config.batch_size = 5;
  config.workers = 0;  // batches are made while they are counted
  config.threads = 2;
  config.device = cuda ? DeviceChoice::cuda : DeviceChoice::cpu;
  config.out = (folder / "run").string();
  const std::unique_ptr<OpenedRun> run = open_run(config, "");
  TrainStep step(*run->model, *run->optimizer);
  const int64_t size = run->clip_config.vision.image_size;
  g_pixels = static_cast<size_t>(config.batch_size * size * size * 3);
  for (int i = 0; i < 4; ++i) {  // the first on CUDA are computed directly, the others are replayed
    g_host_copies = g_device_copies = 0;
    step.run(next_step_batches(*run), 1e-3f);
    CAPTURE(i, step.replayed());
    CHECK(g_host_copies == (cuda ? 1 : 0));
    CHECK(g_device_copies == (cuda ? 1 : 0));
  }
  CHECK((step.replayed() != nullptr) == cuda);
  g_pixels = SIZE_MAX;
}
