#include "bench/cuda/card.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <fstream>

#include "bench/cuda/cudnn.h"
#include "bench/cuda/lt_product.h"
#include "kernels/common/cuda_check.cuh"
#include "kernels/common/device.h"

namespace cuclip::bench {
namespace {

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

std::string driver() {
  int number = 0;
  CUCLIP_CUDA_CHECK(cudaDriverGetVersion(&number));
  std::ifstream file("/proc/driver/nvidia/version");
  std::string line;
  std::getline(file, line);
  return fmt::format("for CUDA {}{}{}", version(number), line.empty() ? "" : "; ", line);
}

/// NVIDIA's management library, which comes with the driver and has no header in the toolkit.
class Nvml {
 public:
  Nvml() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW)) {
    if (!library_) return;
    const auto init = find<int()>("nvmlInit_v2");
    const auto by_bus = find<int(const char*, void**)>("nvmlDeviceGetHandleByPciBusId_v2");
    char bus[32] = {};
    int device = 0;
    if (!init || !by_bus || init() != 0 || cudaGetDevice(&device) != cudaSuccess ||
        cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess || by_bus(bus, &device_) != 0)
      device_ = nullptr;
    (void)cudaGetLastError();
  }
  ~Nvml() {
    if (library_) dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// MHz now and at most, of the clock with nvml.h's number (1: SM, 2: memory).
  std::string clock(int kind) const {
    const auto now = find<int(void*, int, unsigned*)>("nvmlDeviceGetClockInfo");
    const auto most = find<int(void*, int, unsigned*)>("nvmlDeviceGetMaxClockInfo");
    unsigned a = 0, b = 0;
    if (!device_ || !now || !most || now(device_, kind, &a) != 0 || most(device_, kind, &b) != 0)
      return "unknown";
    return fmt::format("{} MHz of {}", a, b);
  }

 private:
  template <typename Function>
  Function* find(const char* name) const {
    return library_ ? reinterpret_cast<Function*>(dlsym(library_, name)) : nullptr;
  }

  void* library_;
  void* device_ = nullptr;
};

}  // namespace

bool emulated() { return dlsym(RTLD_DEFAULT, "emulate_name") != nullptr; }

std::string clocks() {
  const Nvml nvml;
  return fmt::format("{} (SM), {} (memory)", nvml.clock(1), nvml.clock(2));
}

std::map<std::string, std::string> describe_card() {
  int runtime = 0;
  CUCLIP_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  return {{"card", cuda_description()},       {"driver", driver()},
          {"cuda_runtime", version(runtime)}, {"cublaslt", cublaslt_version()},
          {"cudnn", cudnn_version()},         {"emulated", emulated() ? "yes" : "no"}};
}

}  // namespace cuclip::bench
