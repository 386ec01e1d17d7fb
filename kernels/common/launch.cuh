// The one way in which kernels are launched, with every error reported.
//
//   launch({.kernel = "layer_norm_forward_kernel", .grid = {ceil_div(rows, kRows)}, .threads = 256},
//          layer_norm_forward_kernel<T>, ctx, arguments...);
#pragma once

#include <string>

#include "kernels/common/cuda_check.cuh"
#include "kernels/common/exec_context.h"

namespace cuclip {

/// Blocks in each dimension. A grid with none launches nothing: there is no work.
struct Grid {
  int64_t x = 1;
  int64_t y = 1;
  int64_t z = 1;
};

struct LaunchConfig {
  const char* kernel;  // as errors name it
  Grid grid;
  int threads;              // of a block
  size_t shared_bytes = 0;  // dynamic shared memory of a block
};

/// Puts one launch on the stream. Beyond 48 KB of shared memory the kernel's limit is raised first; several
/// host threads may launch the same kernel with different sizes at the same time. Throws Error naming the
/// kernel, its grid, block and shared memory when the device cannot launch it, and also for an error that an
/// earlier launch left behind.
void launch_kernel(const LaunchConfig& config, const void* kernel, const ExecContext& ctx, void** arguments);

/// The most dynamic shared memory that a block may have on the current device, in bytes: 166,912 on an A100,
/// 232,448 on an H100 and B200, 101,376 on sm_86, sm_89 and sm_120. For launchers that choose between kernels
/// by it.
size_t max_shared_bytes();

/// Why the current device cannot run a kernel, for a message: the program has neither machine code nor PTX of
/// it for that device, or the driver cannot compile the PTX. Empty if it can. Without an argument it speaks
/// for this library's kernels, which are all compiled for the same architectures.
std::string image_problem(const void* kernel);
std::string image_problem();

/// launch_kernel with arguments that are converted to the kernel's parameter types.
template <typename... Parameters, typename... Arguments>
void launch(const LaunchConfig& config, void (*kernel)(Parameters...), const ExecContext& ctx,
            const Arguments&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments),
                "as many arguments as the kernel has parameters");
  const auto pack = [&](Parameters... values) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&values))...};
    launch_kernel(config, reinterpret_cast<const void*>(kernel), ctx, addresses);
  };
  pack(arguments...);
}

}  // namespace cuclip
