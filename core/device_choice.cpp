#include "core/device_choice.h"

#include <string>

#include "kernels/common/check.h"

namespace cuclip {

Device choose_device(DeviceChoice choice) {
  if (choice == DeviceChoice::cpu) return Device::cpu;
  const std::string problem = cuda_problem();
  CUCLIP_CHECK(choice != DeviceChoice::cuda || problem.empty(), "device cuda: {}; use device cpu, or auto",
               problem);
  return problem.empty() ? Device::cuda : Device::cpu;
}

}  // namespace cuclip
