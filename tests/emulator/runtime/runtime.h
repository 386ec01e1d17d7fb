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
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/decode.h"
#include "runtime/device_heap.h"
#include "runtime/heap.h"
#include "runtime/settings.h"

namespace emu {

struct Module;

/// A __global__ function, as registered or found in a library. A cudaKernel_t or cudaFunction_t is its
/// address.
struct Kernel {
  Module* module = nullptr;
  const void* host = nullptr;  // the program's name for it, if it was registered
  std::string name;
  int max_dynamic_shared = 48 << 10;  // cudaFuncAttributeMaxDynamicSharedMemorySize, less static
  bool opted_in = false;
  std::map<int, std::unique_ptr<Image>> images;  // per device
};

struct Symbol {
  Module* module = nullptr;
  std::string name;
  u64 size = 0;
  void** managed = nullptr;  // __managed__: the host's pointer to it
};

/// One fatbin, or one library's PTX.
struct Module {
  std::string text;
  std::string fault;  // why there is no usable PTX
  cudaError_t fault_code = cudaSuccess;
  bool parsed = false;
  std::unique_ptr<ptx::Module> ptx;
  std::map<int, std::unique_ptr<LinkedModule>> linked;  // per device
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::map<std::string, std::unique_ptr<Symbol>> symbols;
};

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
using Given =
    std::variant<std::monostate, LaunchRequest, cudaMemcpy3DParms, cudaMemsetParams, cudaHostNodeParams,
                 cudaEvent_t, cudaMemAllocNodeParams, FreedPointer, std::shared_ptr<Graph>>;

class Runtime {
 public:
  static Runtime& get();

  const Settings settings;
  Heap heap;
  std::mutex mutex;

  /// cudaDeviceSetLimit's values: kept for the device's stack, its heap and printf, 0 for the others.
  u64 limit(cudaLimit which) const;
  void set_limit(cudaLimit which, u64 value);

  // Modules (module.cpp).
  Module* add_fatbin(const void* wrapper);
  Module* add_ptx(std::string text);
  Module* add_image(const void* image);
  void parse(Module& module);
  LinkedModule& link(Module& module, int device);
  Kernel* add_kernel(Module& module, const std::string& name);
  Symbol* add_symbol(Module& module, const std::string& name, u64 size);
  /// Address of a device variable on a device; 0 when the module does not have it.
  u64 symbol_address(Symbol& symbol, int device);
  Image& image(Kernel& kernel, int device);
  const ptx::Function* entry(Kernel& kernel);
  /// Notes the program's own name for a kernel or a variable.
  void register_function(const void* host, Kernel* kernel);
  void register_variable(const void* host, Symbol* symbol) { by_host_variable_[host] = symbol; }
  /// By that name, a kernel also by its handle; null when there is none.
  Kernel* find_kernel(const void* function);
  Symbol* find_symbol(const void* host) const;

  // Launching (launch.cpp).
  cudaError_t prepare(LaunchRequest& request, void** arguments);
  cudaError_t execute(const LaunchRequest& request);
  cudaError_t check_configuration(const LaunchRequest& request);

  // Streams (api_stream.cpp).
  cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType type, std::function<cudaError_t()> work,
                      Given given = {});

  /// What a launch died of: every later call returns it, as on a GPU whose context is lost.
  cudaError_t sticky() const { return sticky_; }
  /// The last error that the program can only have seen by asking for it, and has not.
  cudaError_t unseen() const { return unseen_; }
  void set_unseen(cudaError_t error) { unseen_ = error; }

  using MakeWatcher = std::function<std::unique_ptr<Watcher>(const Launch&, Runtime&)>;
  using AfterLaunch = std::function<void(const Launch&, Watcher*, double seconds)>;
  /// What looks over each launch, and who is told of its end.
  void watch(MakeWatcher make_watcher, AfterLaunch after_launch);

 private:
  Runtime();
  /// What device code allocates from, on a device; made on first use.
  DeviceHeap& device_heap(int device);

  std::unordered_map<const void*, Kernel*> by_host_function_;
  std::unordered_map<const void*, Symbol*> by_host_variable_;
  std::vector<std::unique_ptr<Module>> modules_;
  u64 stack_limit_ = 1024, heap_limit_ = 8 << 20, print_limit_ = 1 << 20;
  std::map<int, std::unique_ptr<DeviceHeap>> device_heaps_;
  u64 next_launch_ = 1;
  cudaError_t sticky_ = cudaSuccess;
  std::atomic<cudaError_t> unseen_{cudaSuccess};
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
