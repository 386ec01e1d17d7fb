// Launches: the limits that a GPU enforces, then execution.
#include <chrono>
#include <cstdio>
#include <cstring>

#include "runtime/runtime.h"

namespace emu {
namespace {

cudaError_t check_configuration(Modules& modules, const LaunchRequest& request) {
  const cudaDeviceProp& limits = device_properties();
  const dim3 &grid = request.grid, &block = request.block;
  const unsigned grid_size[3] = {grid.x, grid.y, grid.z}, block_size[3] = {block.x, block.y, block.z};
  for (int axis = 0; axis < 3; ++axis) {
    const bool grid_fits =
        grid_size[axis] >= 1 && grid_size[axis] <= static_cast<unsigned>(limits.maxGridSize[axis]);
    const bool block_fits =
        block_size[axis] >= 1 && block_size[axis] <= static_cast<unsigned>(limits.maxThreadsDim[axis]);
    if (!grid_fits || !block_fits) return cudaErrorInvalidConfiguration;
  }
  const u64 threads = u64{block.x} * block.y * block.z;
  if (threads > static_cast<u64>(limits.maxThreadsPerBlock)) return cudaErrorInvalidConfiguration;
  const ptx::Function* function = modules.entry(*request.kernel);
  const u32* required = function->required_threads;
  if (required[0] != 0 && (block.x != required[0] || block.y != required[1] || block.z != required[2])) {
    return cudaErrorInvalidConfiguration;
  }
  if (function->max_threads != 0 && threads > function->max_threads) return cudaErrorInvalidValue;
  const u64 blocks = u64{grid.x} * grid.y * grid.z;
  if (blocks >= 1ull << 32) return cudaErrorInvalidConfiguration;
  const Image& code = modules.image(*request.kernel, request.device);
  const u64 dynamic_limit = request.kernel->opted_in ? static_cast<u64>(request.kernel->max_dynamic_shared)
                                                     : (48u << 10) - std::min(code.static_shared, 48u << 10);
  if (code.static_shared > 48 << 10 || request.shared > dynamic_limit) return cudaErrorInvalidValue;
  if (request.cooperative) {
    const int per_processor = blocks_per_processor(code, static_cast<int>(threads), request.shared);
    if (blocks > static_cast<u64>(per_processor) * static_cast<u64>(limits.multiProcessorCount)) {
      return cudaErrorCooperativeLaunchTooLarge;
    }
  }
  return cudaSuccess;
}

}  // namespace

// Copies the arguments: a kernel sees those of the time of the call.
cudaError_t Runtime::prepare(Modules& modules, LaunchRequest& request, void** arguments) {
  if (sticky_ != cudaSuccess) return sticky_;
  if (request.kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  try {
    const cudaError_t error = check_configuration(modules, request);
    if (error != cudaSuccess) return error;
    const Code& code = *modules.image(*request.kernel, request.device).entry;
    // Behind them, 16 bytes for a cooperative grid's barrier.
    request.parameters.assign((code.parameter_bytes + 7) / 8 * 8 + 16, 0);
    for (size_t i = 0; i < code.parameter_offset.size(); ++i) {
      if (arguments == nullptr) return cudaErrorInvalidValue;
      std::memcpy(request.parameters.data() + code.parameter_offset[i], arguments[i],
                  code.source->parameters[i].size);
    }
  } catch (const Fault& fault) {
    report(fault.what());
    return static_cast<cudaError_t>(fault.code);
  } catch (const std::bad_alloc&) {
    return cudaErrorMemoryAllocation;
  }
  return cudaSuccess;
}

u64 Runtime::limit(cudaLimit which) const {
  switch (which) {
    case cudaLimitStackSize:
      return stack_limit_;
    case cudaLimitPrintfFifoSize:
      return print_limit_;
    case cudaLimitMallocHeapSize:
      return heap_limit_;
    default:
      return 0;
  }
}

void Runtime::set_limit(cudaLimit which, u64 value) {
  if (which == cudaLimitStackSize) stack_limit_ = value;
  if (which == cudaLimitMallocHeapSize) heap_limit_ = value;
  if (which == cudaLimitPrintfFifoSize) print_limit_ = value;
}

void Runtime::watch(MakeWatcher make_watcher, AfterLaunch after_launch) {
  make_watcher_ = std::move(make_watcher);
  after_launch_ = std::move(after_launch);
}

DeviceHeap& Runtime::device_heap(int device) {
  const std::lock_guard lock(device_heaps_mutex_);
  auto& pool = device_heaps_[device];
  if (pool == nullptr) {
    const u64 size = heap_limit_;
    const u64 begin = heap_.allocate(size, Allocation::Kind::variable, device, "the heap of device malloc");
    pool = std::make_unique<DeviceHeap>(begin, begin == 0 ? 0 : size);
  }
  return *pool;
}

cudaError_t Runtime::execute(const LaunchRequest& request) {
  if (sticky_ != cudaSuccess) return sticky_;
  const Image& code = modules()->image(*request.kernel, request.device);
  Launch launch;
  launch.image = &code;
  launch.name = request.kernel->name;
  const unsigned grid[3] = {request.grid.x, request.grid.y, request.grid.z};
  const unsigned block[3] = {request.block.x, request.block.y, request.block.z};
  for (int axis = 0; axis < 3; ++axis) {
    launch.grid[axis] = grid[axis];
    launch.block[axis] = block[axis];
  }
  launch.dynamic_shared = static_cast<u32>(request.shared);
  launch.stack_bytes = ((code.unbounded_stack ? std::max<u64>(code.frame_bytes + stack_limit_ * 16, 16 << 10)
                                              : code.frame_bytes) +
                        63) &
                       ~u64{63};
  launch.parameters = request.parameters;
  launch.cooperative = request.cooperative;
  launch.multiprocessors = static_cast<u32>(device_properties().multiProcessorCount);
  launch.device = request.device;
  launch.id = next_launch_++;
  launch.options = &settings.options;
  launch.print = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  if (code.allocates) {  // before the watchers look at what memory there is
    DeviceHeap& pool = device_heap(request.device);
    launch.allocate = [this, &pool](u64 size) {
      const u64 address = pool.allocate(size);
      if (address != 0) heap_.forget(address, size);  // to its last owner the new one owes no order
      return address;
    };
    launch.release = [&pool](u64 address) { return pool.release(address); };
  }
  std::unique_ptr<Watcher> watcher = make_watcher_ ? make_watcher_(launch, *this) : nullptr;
  launch.watcher = watcher.get();
  const auto begin = std::chrono::steady_clock::now();
  const std::optional<Fault> fault = run_launch(launch);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (after_launch_) after_launch_(launch, watcher.get(), seconds.count());
  if (fault) {
    report_fault(fault->what());
    const auto error = static_cast<cudaError_t>(fault->code);
    sticky_ = error;
    unchecked_error_ = error;
  }
  return cudaSuccess;  // as on a GPU, the next synchronising call says it
}

}  // namespace emu
