// Registration (what nvcc's host code calls), launches, function attributes, occupancy, libraries.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "runtime/runtime.h"

using namespace emu;

namespace {

Runtime& rt() { return Runtime::get(); }

struct Configuration {
  dim3 grid, block;
  size_t shared = 0;
  void* stream = nullptr;
};
thread_local std::vector<Configuration> configurations;

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                   cudaStream_t stream, bool cooperative) {
  LaunchRequest request;
  {
    LockedModules modules = rt().modules();
    request.kernel = modules->find_kernel(function);
    request.grid = grid;
    request.block = block;
    request.shared = shared;
    request.cooperative = cooperative;
    request.device = current_device();
    const cudaError_t error = rt().prepare(*modules, request, arguments);
    if (error != cudaSuccess) return note_launch(error);
  }
  return note_launch(rt().enqueue(
      stream, cudaGraphNodeTypeKernel, [request] { return rt().execute(request); }, request));
}

// Runs `work` on the modules, with faults turned into errors.
template <class Work>
cudaError_t guarded(const Work& work) {
  try {
    LockedModules modules = rt().modules();
    return note(work(*modules));
  } catch (const Fault& fault) {
    report(fault.what());
    return note(static_cast<cudaError_t>(fault.code));
  }
}

std::string unsupported_attribute(int attribute) {
  return "launch attribute " + std::to_string(attribute) + " is not supported";
}

}  // namespace

int emu::blocks_per_processor(const Image& image, int threads, size_t dynamic) {
  const cudaDeviceProp& p = device_properties();
  const int warps = (threads + 31) / 32;
  if (warps == 0 || threads > p.maxThreadsPerBlock) return 0;
  int blocks = std::min(p.maxBlocksPerMultiProcessor, p.maxThreadsPerMultiProcessor / 32 / warps);
  const size_t shared = image.static_shared + dynamic + p.reservedSharedMemPerBlock;
  if (image.static_shared + dynamic > p.sharedMemPerBlockOptin) return 0;
  return std::min(blocks, static_cast<int>(p.sharedMemPerMultiprocessor / shared));
}

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  LockedModules modules = rt().modules();
  return reinterpret_cast<void**>(modules->add_fatbin(wrapper));
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  LockedModules modules = rt().modules();
  Kernel* kernel = modules->add_kernel(*reinterpret_cast<Module*>(handle), name);
  modules->register_function(host, kernel);
}
void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, size_t size, int, int) {
  LockedModules modules = rt().modules();
  modules->register_variable(host, modules->add_symbol(*reinterpret_cast<Module*>(handle), name, size));
}
void __cudaRegisterManagedVar(void** handle, void** host, char*, const char* name, int, size_t size, int,
                              int) {
  LockedModules modules = rt().modules();
  Module& module = *reinterpret_cast<Module*>(handle);
  Symbol* symbol = modules->add_symbol(module, name, size);
  symbol->managed = host;
  modules->register_variable(host, symbol);
  const u64 linked = modules->symbol_address(*symbol, 0);
  if (*host == nullptr && linked != 0)
    *host = reinterpret_cast<void*>(linked);  // linked for one registered before
  // A module that is refused fails its launches; the host may use what it knows of it.
  if (*host == nullptr) {
    const u64 address = rt().heap().allocate(size, Allocation::Kind::variable, 0, name);
    if (address == 0) throw std::bad_alloc();
    std::memset(reinterpret_cast<void*>(address), 0, size);
    *host = reinterpret_cast<void*>(address);
  }
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  LockedModules modules = rt().modules();
  Kernel* found = modules->find_kernel(function);
  *kernel = reinterpret_cast<cudaKernel_t>(found);
  return note(found != nullptr ? cudaSuccess : cudaErrorInvalidDeviceFunction);
}
cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  return __cudaGetKernel(kernel, function);
}
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  return __cudaGetKernel(reinterpret_cast<cudaKernel_t*>(function), symbol);
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (configurations.empty()) return note(cudaErrorMissingConfiguration);
  const Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<void**>(stream) = top.stream;
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return launch(function, grid, block, arguments, shared, stream, false);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared,
                               cudaStream_t stream) {
  return launch(kernel, grid, block, arguments, shared, stream, false);
}
cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                                        size_t shared, cudaStream_t stream) {
  return launch(function, grid, block, arguments, shared, stream, true);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  bool cooperative = false;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    switch (attribute.id) {
      case cudaLaunchAttributeCooperative:
        cooperative = attribute.val.cooperative != 0;
        break;
      case cudaLaunchAttributeIgnore:
      case cudaLaunchAttributePriority:
      case cudaLaunchAttributeAccessPolicyWindow:
      case cudaLaunchAttributeProgrammaticStreamSerialization:
      case cudaLaunchAttributeMemSyncDomain:
      case cudaLaunchAttributeMemSyncDomainMap:
      case cudaLaunchAttributePreferredSharedMemoryCarveout:
        break;  // hints, or what synchronous execution fulfils
      case cudaLaunchAttributeClusterDimension:
        if (attribute.val.clusterDim.x * attribute.val.clusterDim.y * attribute.val.clusterDim.z == 1) break;
        [[fallthrough]];
      default:
        report(unsupported_attribute(attribute.id));
        return note(cudaErrorNotSupported);
    }
  }
  return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                config->stream, cooperative);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return guarded([&](Modules& modules) {
    Kernel* kernel = modules.find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) {
      report("function attribute " + std::to_string(attribute) + " is not supported");
      return cudaErrorNotSupported;
    }
    const Image& image = modules.image(*kernel, current_device());
    const auto room = static_cast<i64>(device_properties().sharedMemPerBlockOptin) - image.static_shared;
    if (value < 0 || value > room) return cudaErrorInvalidValue;
    kernel->max_dynamic_shared = value;
    kernel->opted_in = true;
    return cudaSuccess;
  });
}
cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value,
                                            int) {
  return cudaFuncSetAttribute(kernel, attribute, value);
}
cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (attributes == nullptr) return note(cudaErrorInvalidValue);
  return guarded([&](Modules& modules) {
    if (rt().settings.no_context != cudaSuccess) return rt().settings.no_context;
    Kernel* kernel = modules.find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Image& image = modules.image(*kernel, current_device());
    const ptx::Function* entry = modules.entry(*kernel);
    *attributes = {};
    attributes->sharedSizeBytes = image.static_shared;
    attributes->localSizeBytes = image.frame_bytes;
    attributes->maxThreadsPerBlock = entry->max_threads != 0 ? static_cast<int>(entry->max_threads) : 1024;
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion = rt().settings.capability;
    attributes->maxDynamicSharedSizeBytes =
        kernel->opted_in ? kernel->max_dynamic_shared
                         : std::max(0, (48 << 10) - static_cast<int>(image.static_shared));
    return cudaSuccess;
  });
}
cudaError_t cudaFuncGetName(const char** name, const void* function) {
  LockedModules modules = rt().modules();
  Kernel* kernel = modules->find_kernel(function);
  if (kernel == nullptr) return note(cudaErrorInvalidDeviceFunction);
  *name = kernel->name.c_str();
  return cudaSuccess;
}

cudaError_t cudaFuncGetParamInfo(const void* function, size_t index, size_t* offset, size_t* size) {
  return guarded([&](Modules& modules) {
    Kernel* kernel = modules.find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Code& code = *modules.image(*kernel, current_device()).entry;
    if (index >= code.parameter_offset.size()) return cudaErrorInvalidValue;
    *offset = code.parameter_offset[index];
    if (size != nullptr) *size = code.source->parameters[index].size;
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                   int threads, size_t dynamic, unsigned) {
  if (blocks == nullptr) return note(cudaErrorInvalidValue);
  return guarded([&](Modules& modules) {
    Kernel* kernel = modules.find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    *blocks = blocks_per_processor(modules.image(*kernel, current_device()), threads, dynamic);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          size_t dynamic) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic, 0);
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* dynamic, const void* function, int blocks,
                                                      int) {
  return guarded([&](Modules& modules) {
    Kernel* kernel = modules.find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const cudaDeviceProp& p = device_properties();
    const size_t each =
        p.sharedMemPerMultiprocessor / static_cast<size_t>(std::max(blocks, 1)) - p.reservedSharedMemPerBlock;
    *dynamic =
        std::min(each, p.sharedMemPerBlockOptin) - modules.image(*kernel, current_device()).static_shared;
    return cudaSuccess;
  });
}

// Libraries: a handle is the module.
cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**, unsigned,
                                cudaLibraryOption*, void**, unsigned) {
  if (library == nullptr || code == nullptr) return note(cudaErrorInvalidValue);
  return guarded([&](Modules& modules) {
    Module* module = modules.add_image(code);
    modules.parse(*module);
    if (module->ptx == nullptr) {
      report(module->fault);
      return module->fault_code;
    }
    for (const auto& function : module->ptx->functions) {
      if (function->is_entry) modules.add_kernel(*module, std::string(function->name));
    }
    *library = reinterpret_cast<cudaLibrary_t>(module);
    return cudaSuccess;
  });
}
cudaError_t cudaLibraryLoadFromFile(cudaLibrary_t* library, const char* path, cudaJitOption* jit,
                                    void** jit_values, unsigned jit_count, cudaLibraryOption* options,
                                    void** values, unsigned count) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return note(cudaErrorFileNotFound);
  std::stringstream text;
  text << file.rdbuf();
  return cudaLibraryLoadData(library, text.str().c_str(), jit, jit_values, jit_count, options, values, count);
}
cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  if (kernel == nullptr || name == nullptr) return note(cudaErrorInvalidValue);
  if (library == nullptr) return note(cudaErrorInvalidResourceHandle);
  LockedModules modules = rt().modules();
  auto& kernels = reinterpret_cast<Module*>(library)->kernels;
  const auto found = kernels.find(name);
  if (found == kernels.end()) {
    report("the library has no entry " + std::string(name));
    return note(cudaErrorSymbolNotFound);
  }
  *kernel = reinterpret_cast<cudaKernel_t>(found->second.get());
  return cudaSuccess;
}
cudaError_t cudaLibraryGetGlobal(void** pointer, size_t* size, cudaLibrary_t library, const char* name) {
  return guarded([&](Modules& modules) {
    Module& module = *reinterpret_cast<Module*>(library);
    const ptx::Variable* variable = module.ptx->find_variable(name);
    if (variable == nullptr) return cudaErrorSymbolNotFound;
    *pointer = reinterpret_cast<void*>(modules.link(module, current_device()).address.at(variable->name));
    if (size != nullptr) *size = variable->size;
    return cudaSuccess;
  });
}
cudaError_t cudaLibraryGetKernelCount(unsigned* count, cudaLibrary_t library) {
  const LockedModules modules = rt().modules();
  *count = static_cast<unsigned>(reinterpret_cast<Module*>(library)->kernels.size());
  return cudaSuccess;
}
cudaError_t cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }

}  // extern "C"
