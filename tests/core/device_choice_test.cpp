// The words of --device and LoadOptions::device.
#include "core/device_choice.h"

#include <catch2/catch.hpp>

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("each device has its word, and GPUs their numbers") {
  const auto parsed = [](const char* text) { return parse_device("--device", text); };
  CHECK(parsed("auto") == DeviceChoice::automatic);
  CHECK(parsed("cpu") == DeviceChoice::cpu);
  CHECK(parsed("cuda") == DeviceChoice::cuda);
  CHECK(parsed("cuda:0") == DeviceChoice{DeviceChoice::Kind::cuda, 0});
  CHECK(parsed("cuda:12") == DeviceChoice{DeviceChoice::Kind::cuda, 12});
  for (const char* text : {"auto", "cpu", "cuda", "cuda:0", "cuda:12"}) CHECK(to_text(parsed(text)) == text);
  for (const char* text : {"", "gpu", "CUDA", "cuda1", "cpu:0"})
    CHECK_THROWS_WITH(parsed(text), Contains("--device must be one of auto, cpu, cuda, cuda:N"));
  for (const char* text : {"cuda:", "cuda:-1", "cuda:+1", "cuda:1 ", "cuda:0x1", "cuda:99999999999"})
    CHECK_THROWS_WITH(parsed(text), Contains("expected a GPU's number") && Contains(text));
}

TEST_CASE("a GPU that is not there is refused with what there is, and the thread keeps its own") {
  const int before = current_gpu();
  CHECK_THROWS_WITH(choose_device({DeviceChoice::Kind::cuda, 1000}), Contains("device cuda:1000: "));
  CHECK(choose_device(DeviceChoice::cpu) == Device::cpu);
  CHECK(current_gpu() == before);
  CHECK((before == kCurrentGpu) == (gpu_count() == 0));
  const GpuScope nothing(kCurrentGpu);
  CHECK(current_gpu() == before);
  CHECK_THROWS_AS(make_gpu_current(1000), Error);
}

}  // namespace
}  // namespace cuclip::test
