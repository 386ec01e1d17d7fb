// What the program is run under: the options of emulate, which hands them on in the environment.
#pragma once

#include <cuda_runtime_api.h>

#include "engine/launch.h"

namespace emu {

struct Settings {
  Options options;
  int device_count = 1;
  int capability = 80, driver = CUDART_VERSION;  // of the devices, and their driver
  cudaError_t no_context = cudaSuccess;          // why the devices have no room for this process
  u64 memory = 80ull << 30;                      // bytes of the devices
};

/// From EMULATE_...; ends the program with 2 where one of them is wrong.
Settings read_settings();

/// Says why the program cannot be run here, and ends it with 2.
[[noreturn]] void refuse(const std::string& what);

}  // namespace emu
