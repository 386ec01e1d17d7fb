// The program's modules, with their kernels and variables.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/decode.h"
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

/// All modules. Nothing is ever removed, so kernels, symbols and images stay where they are; an image, and a
/// kernel's name, also stay as they are, and need no lock.
class Modules {
 public:
  Modules(const Settings& settings, Heap& heap) : settings_(settings), heap_(heap) {}

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

 private:
  const Settings& settings_;
  Heap& heap_;
  std::unordered_map<const void*, Kernel*> by_host_function_;
  std::unordered_map<const void*, Symbol*> by_host_variable_;
  std::vector<std::unique_ptr<Module>> modules_;
};

/// The modules for one thread: no other gets them as long as this lives. To hold two of it is a deadlock.
class LockedModules {
 public:
  LockedModules(std::mutex& mutex, Modules& modules) : lock_(mutex), modules_(modules) {}
  Modules* operator->() { return &modules_; }
  Modules& operator*() & { return modules_; }
  Modules& operator*() && = delete;  // the lock would be gone

 private:
  const std::lock_guard<std::mutex> lock_;
  Modules& modules_;
};

}  // namespace emu
