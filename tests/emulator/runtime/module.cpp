// From a program's fatbins to parsed, placed modules.
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <set>

#include "runtime/runtime.h"

namespace emu {
namespace {

constexpr u32 kWrapperMagic = 0x466243b1, kFatbinMagic = 0xba55ed50;
constexpr u32 kLz4 = 0x2000, kZstd = 0x8000;
constexpr u64 kMostText = 1ull << 30;

template <class T>
T read(const u8* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// An entry's text; empty when it cannot be unpacked. Offsets in its header: 16 the packed size, 56 the
// text's.
std::string text_of(const u8* entry) {
  const u8* payload = entry + read<u32>(entry + 4);
  const u64 stored = read<u64>(entry + 8);
  const u32 flags = read<u32>(entry + 40), packed = read<u32>(entry + 16);
  if ((flags & (kLz4 | kZstd)) == 0) return {reinterpret_cast<const char*>(payload), stored};
  const u64 size = read<u64>(entry + 56);
  if (size > kMostText || packed > stored) return {};
  std::string text(size, '\0');
  if ((flags & kZstd) != 0) {
    if (ZSTD_decompress(text.data(), size, payload, packed) != size) return {};
  } else if (LZ4_decompress_safe(reinterpret_cast<const char*>(payload), text.data(),
                                 static_cast<int>(packed),
                                 static_cast<int>(size)) != static_cast<int>(size)) {
    return {};
  }
  return text;
}

// Adds the PTX of the highest architecture that the device can run.
void pick_ptx(const u8* fatbin, Module& module, u32 device_arch) {
  const u16 header_size = read<u16>(fatbin + 6);
  const u64 total = read<u64>(fatbin + 8);
  const u8* at = fatbin + header_size;
  const u8* end = at + total;
  u32 best = 0;
  std::string found;
  if (module.text.empty())
    module.fault = "the module holds no PTX: compile with -gencode arch=compute_80,code=compute_80";
  if (module.text.empty()) module.fault_code = cudaErrorNoKernelImageForDevice;
  while (at + 48 < end) {
    const u16 kind = read<u16>(at);
    const u32 size_of_header = read<u32>(at + 4);
    const u64 payload = read<u64>(at + 8);
    const u32 arch = read<u32>(at + 28);
    if (kind == 1 && arch <= device_arch && arch >= best) {
      best = arch;
      found = text_of(at);
      while (!found.empty() && found.back() == '\0') found.pop_back();  // padding
      module.fault = found.empty() ? "the module's compressed PTX cannot be unpacked" : "";
      module.fault_code = found.empty() ? cudaErrorInvalidKernelImage : cudaSuccess;
    }
    if (size_of_header == 0) break;
    at += size_of_header + payload;
  }
  module.text += found;
}

}  // namespace

Module* Modules::add_fatbin(const void* wrapper) {
  const auto* raw = static_cast<const u8*>(wrapper);
  modules_.push_back(std::make_unique<Module>());
  Module& module = *modules_.back();
  const void* data = read<u32>(raw) == kWrapperMagic ? read<const void*>(raw + 8) : wrapper;
  const auto* fatbin = static_cast<const u8*>(data);
  if (read<u32>(fatbin) != kFatbinMagic) {
    module.fault = "not a fatbin";
    module.fault_code = cudaErrorInvalidKernelImage;
  } else {
    pick_ptx(fatbin, module, settings_.capability);
    // Relocatable device code (-rdc=true): the files' own fatbins, which together are the program.
    const bool several = fatbin != raw && read<u32>(raw + 4) == 2;
    const auto* files = several ? read<const u8* const*>(raw + 16) : nullptr;
    for (; files != nullptr && *files != nullptr; ++files) pick_ptx(*files, module, settings_.capability);
  }
  return &module;
}

Module* Modules::add_ptx(std::string text) {
  modules_.push_back(std::make_unique<Module>());
  modules_.back()->text = std::move(text);
  return modules_.back().get();
}

Module* Modules::add_image(const void* image) {
  u32 magic;
  std::memcpy(&magic, image, 4);
  if (magic == kWrapperMagic || magic == kFatbinMagic) return add_fatbin(image);
  if (std::memcmp(image,
                  "\x7f"
                  "ELF",
                  4) == 0) {
    Module* module = add_ptx({});
    module->fault = "machine code without PTX";
    module->fault_code = cudaErrorNoKernelImageForDevice;
    return module;
  }
  return add_ptx(static_cast<const char*>(image));
}

void Modules::parse(Module& module) {
  if (module.parsed) return;
  module.parsed = true;
  if (!module.fault.empty()) return;
  try {
    module.ptx = ptx::parse(std::move(module.text));
  } catch (const ptx::Error& error) {
    module.fault = error.what();
    module.fault_code = cudaErrorInvalidPtx;
  }
}

LinkedModule& Modules::link(Module& module, int device) {
  auto& linked = module.linked[device];
  if (linked != nullptr) return *linked;
  linked = std::make_unique<LinkedModule>();
  linked->module = module.ptx.get();
  using ptx::Space;
  std::set<std::string_view> defined;
  for (const ptx::Variable& variable : module.ptx->variables) {
    if (!variable.is_extern) defined.insert(variable.name);
  }
  for (const ptx::Variable& variable : module.ptx->variables) {
    if (variable.space != Space::global && variable.space != Space::constant) continue;
    if (linked->address.contains(variable.name)) continue;
    if (variable.is_extern && defined.contains(variable.name)) continue;  // by another file
    // __managed__ variables are one for all devices.
    const auto symbol = module.symbols.find(std::string(variable.name));
    const bool managed = symbol != module.symbols.end() && symbol->second->managed != nullptr;
    if (managed && *symbol->second->managed != nullptr) {
      linked->address[variable.name] = reinterpret_cast<u64>(*symbol->second->managed);
      continue;
    }
    const u64 size = std::max<u64>(variable.size, 1);
    const u64 address = heap_.allocate(size, Allocation::Kind::variable, device, std::string(variable.name));
    if (address == 0) throw std::bad_alloc();
    auto* memory = reinterpret_cast<u8*>(address);
    std::memset(memory, 0, size);
    if (!variable.init.empty())
      std::memcpy(memory, variable.init.data(), std::min<u64>(size, variable.init.size()));
    heap_.define(address, size);
    linked->address[variable.name] = address;
    if (managed) *symbol->second->managed = memory;
  }
  for (const ptx::Variable& variable : module.ptx->variables) {
    for (const ptx::Relocation& relocation : variable.relocations) {
      u64 value = 0;
      if (const auto found = linked->address.find(relocation.symbol); found != linked->address.end()) {
        value = found->second + relocation.addend;
      } else if (const ptx::Function* function = module.ptx->find_function(relocation.symbol)) {
        value = reinterpret_cast<u64>(function);
      }
      if (relocation.shift >= 0) value = value >> relocation.shift & 0xff;
      std::memcpy(reinterpret_cast<void*>(linked->address[variable.name] + relocation.offset), &value,
                  relocation.size);
    }
  }
  return *linked;
}

Kernel* Modules::add_kernel(Module& module, const std::string& name) {
  auto& kernel = module.kernels[name];
  if (kernel == nullptr) {
    kernel = std::make_unique<Kernel>();
    kernel->module = &module;
    kernel->name = name;
  }
  return kernel.get();
}

Symbol* Modules::add_symbol(Module& module, const std::string& name, u64 size) {
  auto& symbol = module.symbols[name];
  if (symbol == nullptr) symbol = std::make_unique<Symbol>(Symbol{&module, name, size, nullptr});
  return symbol.get();
}

u64 Modules::symbol_address(Symbol& symbol, int device) {
  parse(*symbol.module);
  if (symbol.module->ptx == nullptr) {
    report(symbol.name + ": " + symbol.module->fault);
    return 0;
  }
  const LinkedModule& linked = link(*symbol.module, device);
  const auto found = linked.address.find(symbol.name);
  return found == linked.address.end() ? 0 : found->second;
}

const ptx::Function* Modules::entry(Kernel& kernel) {
  Module& module = *kernel.module;
  parse(module);
  if (module.ptx == nullptr) throw Fault(module.fault_code, kernel.name + ": " + module.fault);
  const ptx::Function* function = module.ptx->find_function(kernel.name);
  if (function == nullptr || !function->is_entry || !function->has_body) {
    throw Fault(cudaErrorInvalidDeviceFunction, "the module has no entry " + kernel.name);
  }
  return function;
}

Image& Modules::image(Kernel& kernel, int device) {
  const ptx::Function* function = entry(kernel);
  auto& image = kernel.images[device];
  if (image == nullptr) {
    try {
      image = build_image(*kernel.module->ptx, link(*kernel.module, device), *function,
                          settings_.options.check == CheckLevel::full);
    } catch (const ptx::Error& error) {
      throw Fault(cudaErrorInvalidPtx, "kernel " + kernel.name + ": " + error.what());
    }
  }
  return *image;
}

void Modules::register_function(const void* host, Kernel* kernel) {
  kernel->host = host;
  by_host_function_[host] = kernel;
}

Symbol* Modules::find_symbol(const void* host) const {
  const auto found = by_host_variable_.find(host);
  return found == by_host_variable_.end() ? nullptr : found->second;
}

Kernel* Modules::find_kernel(const void* function) {
  if (const auto found = by_host_function_.find(function); found != by_host_function_.end())
    return found->second;
  for (const auto& module : modules_) {
    for (const auto& [name, kernel] : module->kernels) {
      if (kernel.get() == function) return kernel.get();
    }
  }
  return nullptr;
}

}  // namespace emu
