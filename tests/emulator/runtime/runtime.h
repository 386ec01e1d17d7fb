// The state behind the runtime API: devices, modules, kernels, streams, errors.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "runtime/device_heap.h"
#include "runtime/heap.h"
#include "runtime/module.h"
#include "runtime/settings.h"

namespace emu {

struct Graph;
struct GraphNode;

struct Stream {
  int device = 0;
  unsigned flags = 0;
  int priority = 0;
  u64 id = 0;
  Graph* capture = nullptr;
  bool capture_origin = false;
  bool capture_given = false;  // into a graph of the program
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capture_thread;
  std::vector<GraphNode*> frontier;
  std::map<int, cudaStreamAttrValue> attributes;
};

struct LaunchRequest {
  Kernel* kernel = nullptr;
  dim3 grid, block;
  size_t shared = 0;
  bool cooperative = false;
  int device = 0;
  std::vector<u8> parameters;
};

struct FreedPointer {
  void* pointer;
};

/// What the program gave a graph's node, or the call that became one, for those who ask the node.
using NodeParameters =
    std::variant<std::monostate, LaunchRequest, cudaMemcpy3DParms, cudaMemsetParams, cudaHostNodeParams,
                 cudaEvent_t, cudaMemAllocNodeParams, FreedPointer, std::shared_ptr<Graph>>;

class Runtime {
 public:
  static Runtime& get();

  const Settings settings;

  /// The devices' memory. Each of its functions locks it.
  Heap& heap() { return heap_; }
  /// The modules, locked until the result is destroyed.
  LockedModules modules() { return {modules_mutex_, modules_}; }

  /// cudaDeviceSetLimit's values: kept for the device's stack, its heap and printf, 0 for the others.
  u64 limit(cudaLimit which) const;
  void set_limit(cudaLimit which, u64 value);

  // Launching (launch.cpp).
  cudaError_t prepare(Modules& modules, LaunchRequest& request, void** arguments);
  cudaError_t execute(const LaunchRequest& request);

  // Streams (api_stream.cpp).
  cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType type, std::function<cudaError_t()> work,
                      NodeParameters parameters = {});

  /// What a launch died of: every later call returns it, as on a GPU whose context is lost.
  cudaError_t sticky() const { return sticky_; }
  /// The last error that the program can only have seen by asking for it, and has not.
  cudaError_t unchecked_error() const { return unchecked_error_; }
  void set_unchecked_error(cudaError_t error) { unchecked_error_ = error; }

  using MakeWatcher = std::function<std::unique_ptr<Watcher>(const Launch&, Runtime&)>;
  using AfterLaunch = std::function<void(const Launch&, Watcher*, double seconds)>;
  /// What looks over each launch, and who is told of its end.
  void watch(MakeWatcher make_watcher, AfterLaunch after_launch);

 private:
  Runtime();
  /// What device code allocates from, on a device; made on first use.
  DeviceHeap& device_heap(int device);

  Heap heap_;
  std::mutex modules_mutex_, device_heaps_mutex_;
  Modules modules_;
  std::map<int, std::unique_ptr<DeviceHeap>> device_heaps_;
  std::atomic<u64> stack_limit_{1024}, heap_limit_{8 << 20}, print_limit_{1 << 20};
  std::atomic<u64> next_launch_{1};
  std::atomic<cudaError_t> sticky_{cudaSuccess}, unchecked_error_{cudaSuccess};
  MakeWatcher make_watcher_;
  AfterLaunch after_launch_;
};

/// Calls watch() as the options say (observe.cpp).
void watch_launches(Runtime& runtime);
void finish_checks(Runtime& runtime);
/// Reports a mistake of the program on the host.
void report_mistake(const std::string& text);
/// Reports what a launch died of.
void report_fault(const std::string& text);

/// A range that begins in an allocation must end in it; one that must be the device's must be one.
bool range_fits(const void* pointer, size_t size, bool device);
/// Copies and marks the bytes as written.
void move_bytes(void* to, const void* from, size_t size);
/// What a copy of a box does, once its parameters are right (api_memory3d.cpp), and how it gets onto a
/// stream.
cudaError_t check_copy_3d(const cudaMemcpy3DParms& p);
void copy_3d(const cudaMemcpy3DParms& p);
cudaError_t enqueue_copy(const cudaMemcpy3DParms& p, cudaStream_t stream);
/// A copy of rows, as a box.
cudaMemcpy3DParms row_copy(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                           size_t height, cudaMemcpyKind kind);
/// What a memset does, once its parameters are right (api_memory.cpp).
void fill_rows(const cudaMemsetParams& p);

/// Whether a call that may wait for the device has to fail because a stream captures; it spoils the capture.
/// `any`: whichever thread captures, in whichever mode.
cudaError_t check_no_capture(bool any = false);

/// Blocks that fit a multiprocessor by threads, shared memory and block count. Register use is known only to
/// ptxas.
int blocks_per_processor(const Image& image, int threads, size_t dynamic);

int current_device();
const cudaDeviceProp& device_properties();
cudaError_t device_attribute(cudaDeviceAttr attribute, int& value);
/// Notes an error for cudaGetLastError and passes it on.
cudaError_t note(cudaError_t error);
/// The same for a launch, whose <<<>>> drops what it returns.
cudaError_t note_launch(cudaError_t error);
/// Prints "emulate: text" on the standard error output.
void report(const std::string& text);
cudaError_t synchronised();

}  // namespace emu
