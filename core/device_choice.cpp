#include "core/device_choice.h"

#include "kernels/common/check.h"

namespace cuclip {

Device choose_device(std::string_view name) {
  CUCLIP_CHECK(name == "auto" || name == "cpu" || name == "cuda",
               "device: expected auto, cpu or cuda, got {}", name);
  if (name == "cpu") return Device::cpu;
  const std::string problem = cuda_problem();
  CUCLIP_CHECK(name != "cuda" || problem.empty(), "device cuda: {}; use device cpu, or auto", problem);
  return problem.empty() ? Device::cuda : Device::cpu;
}

}  // namespace cuclip
