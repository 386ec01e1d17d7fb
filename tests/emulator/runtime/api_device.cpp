// Devices, limits, errors.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "runtime/runtime.h"

namespace emu {
namespace {

thread_local int device = 0;
thread_local cudaError_t last_error = cudaSuccess;
std::set<std::pair<int, int>> peers;  // a device, and one whose memory it was given access to

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

[[noreturn]] void refuse(const std::string& what) {
  std::fprintf(stderr, "emulate: %s\n", what.c_str());
  std::_Exit(2);
}

void read_options(Runtime& runtime) {
  const std::string which = environment("EMULATE_DEVICE"), check = environment("EMULATE_CHECK");
  const std::string schedule = environment("EMULATE_SCHEDULE"), threads = environment("EMULATE_THREADS");
  static const std::map<std::string, int> capabilities = {{"", 80}, {"a100", 80}, {"h100", 90}, {"t4", 75}};
  const auto known = capabilities.find(which);
  if (known == capabilities.end()) refuse("device '" + which + "': a100, h100 or t4");
  runtime.capability = known->second;
  Options& options = runtime.options;
  if (check == "none") options.check = CheckLevel::none;
  if (check == "full") options.check = CheckLevel::full;
  if (!check.empty() && check != "none" && check != "full" && check != "memory")
    refuse("check '" + check + "': none, memory or full");
  if (schedule.rfind("random:", 0) == 0) {
    options.random_schedule = true;
    options.seed = std::strtoull(schedule.c_str() + 7, nullptr, 10);
  } else if (!schedule.empty() && schedule != "fixed") {
    refuse("schedule '" + schedule + "': fixed or random:SEED");
  }
  options.threads =
      threads.empty() ? static_cast<int>(std::thread::hardware_concurrency()) : std::atoi(threads.c_str());
  if (options.threads < 1) options.threads = 1;
  options.profile = environment("EMULATE_PROFILE");
  const std::string limit = environment("EMULATE_MAX_INSTRUCTIONS"), devices = environment("EMULATE_DEVICES");
  if (!limit.empty()) options.max_instructions = std::strtoull(limit.c_str(), nullptr, 10);
  const std::string patience = environment("EMULATE_PATIENCE");
  if (!patience.empty()) options.patience = std::max(0.0, std::strtod(patience.c_str(), nullptr));
  if (!devices.empty()) runtime.device_count = std::max(0, std::atoi(devices.c_str()));
  const std::string blocks = environment("EMULATE_BLOCKS");
  if (!blocks.empty()) options.edge_blocks = static_cast<u32>(std::strtoul(blocks.c_str(), nullptr, 10));
  const std::string memory = environment("EMULATE_MEMORY"), driver = environment("EMULATE_DRIVER");
  if (!memory.empty()) runtime.heap.set_limit(std::strtoull(memory.c_str(), nullptr, 10) << 20);
  if (!driver.empty()) runtime.driver = std::atoi(driver.c_str());
  const std::string context = environment("EMULATE_CONTEXT");
  if (context == "full") runtime.no_context = cudaErrorMemoryAllocation;
  if (context == "busy") runtime.no_context = cudaErrorDevicesUnavailable;
}

}  // namespace

Runtime::Runtime() {
  read_options(*this);
  watch_launches(*this);
  std::atexit([] { finish_checks(Runtime::get()); });
}

// Never destroyed: programs call the API from their own destructors.
Runtime& Runtime::get() {
  static Runtime* const runtime = [] {
    if (!__builtin_cpu_supports("avx2")) refuse("this build of the emulator needs a processor with AVX2");
    return new Runtime;
  }();
  return *runtime;
}

int current_device() { return device; }

cudaError_t note(cudaError_t error) {
  if (error == cudaSuccess || error == cudaErrorNotReady) return error;
  last_error = error;
  // A launch's death is seen by who gets it from another call; other errors may come where nobody looks.
  Runtime& runtime = Runtime::get();
  runtime.unseen = error == runtime.sticky ? cudaSuccess : error;
  return error;
}

cudaError_t note_launch(cudaError_t error) {
  const cudaError_t before = Runtime::get().unseen;
  if (note(error) != cudaSuccess && error == Runtime::get().sticky) Runtime::get().unseen = before;
  return error;
}

void report(const std::string& text) {
  std::fflush(stdout);
  std::fprintf(stderr, "emulate: %s\n", text.c_str());
}

cudaError_t synchronised() { return note(Runtime::get().sticky); }

}  // namespace emu

using namespace emu;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return note(cudaErrorInvalidValue);
  *count = 0;
  if (Runtime::get().driver < CUDART_VERSION / 1000 * 1000) return note(cudaErrorInsufficientDriver);
  *count = Runtime::get().device_count;
  return note(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int which) {
  if (which < 0 || which >= Runtime::get().device_count) return note(cudaErrorInvalidDevice);
  device = which;
  return note(Runtime::get().sticky);
}
cudaError_t cudaInitDevice(int which, unsigned, unsigned) {
  return note(which >= 0 && which < Runtime::get().device_count ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* which) {
  if (which == nullptr) return note(cudaErrorInvalidValue);
  *which = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int which) {
  if (properties == nullptr) return note(cudaErrorInvalidValue);
  if (which < 0 || which >= Runtime::get().device_count) return note(cudaErrorInvalidDevice);
  *properties = device_properties();
  properties->pciBusID = which;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int which) {
  if (value == nullptr) return note(cudaErrorInvalidValue);
  if (which < 0 || which >= Runtime::get().device_count) return note(cudaErrorInvalidDevice);
  const cudaError_t error = device_attribute(attribute, *value);
  if (error != cudaSuccess) report("device attribute " + std::to_string(attribute) + " is not supported");
  return note(error);
}
cudaError_t cudaChooseDevice(int* which, const cudaDeviceProp*) {
  *which = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned flags) {
  return note((flags & ~unsigned{cudaDeviceMask}) == 0 ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  *flags = 0;
  return cudaSuccess;
}
cudaError_t cudaSetValidDevices(int*, int) { return cudaSuccess; }
cudaError_t cudaDeviceSynchronize() {
  const cudaError_t error = check_no_capture(true);
  return error != cudaSuccess ? note(error) : synchronised();
}
cudaError_t cudaDeviceReset() { return synchronised(); }
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) { return cudaSuccess; }
cudaError_t cudaDeviceGetCacheConfig(cudaFuncCache* config) {
  *config = cudaFuncCachePreferNone;
  return cudaSuccess;
}
// Banks have had four bytes, and nothing else, since compute capability 5.
cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig) { return cudaSuccess; }
cudaError_t cudaDeviceGetSharedMemConfig(cudaSharedMemConfig* config) {
  *config = cudaSharedMemBankSizeFourByte;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  if (limit < cudaLimitStackSize || limit > cudaLimitPersistingL2CacheSize)
    return note(cudaErrorUnsupportedLimit);
  Runtime& runtime = Runtime::get();
  if (limit == cudaLimitStackSize) runtime.stack_limit = value;
  if (limit == cudaLimitMallocHeapSize) runtime.heap_limit = value;
  if (limit == cudaLimitPrintfFifoSize) runtime.print_limit = value;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  if (limit < cudaLimitStackSize || limit > cudaLimitPersistingL2CacheSize)
    return note(cudaErrorUnsupportedLimit);
  switch (limit) {
    case cudaLimitStackSize:
      *value = Runtime::get().stack_limit;
      return cudaSuccess;
    case cudaLimitPrintfFifoSize:
      *value = Runtime::get().print_limit;
      return cudaSuccess;
    case cudaLimitMallocHeapSize:
      *value = Runtime::get().heap_limit;
      return cudaSuccess;
    default:
      *value = 0;
      return cudaSuccess;
  }
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int which) {
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", which);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetByPCIBusId(int* which, const char* id) {
  unsigned domain = 0, bus = 0;
  const bool understood = std::sscanf(id, "%x:%x", &domain, &bus) == 2;
  if (!understood || domain != 0 || bus >= static_cast<unsigned>(Runtime::get().device_count))
    return note(cudaErrorInvalidValue);
  *which = static_cast<int>(bus);
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int a, int b) {
  *can = a != b;
  return cudaSuccess;
}
// Kept for the errors only: every device reaches all memory.
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  if (peer < 0 || peer >= Runtime::get().device_count || peer == current_device())
    return note(cudaErrorInvalidDevice);
  if (flags != 0) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(Runtime::get().mutex);
  const bool added = peers.emplace(current_device(), peer).second;
  return note(added ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled);
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  const std::lock_guard lock(Runtime::get().mutex);
  return note(peers.erase({current_device(), peer}) != 0 ? cudaSuccess : cudaErrorPeerAccessNotEnabled);
}
cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int, int) {
  *value = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = Runtime::get().driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  if (last_error != cudaSuccess) Runtime::get().unseen = cudaSuccess;
  if (Runtime::get().sticky != cudaSuccess && last_error == Runtime::get().sticky) return last_error;
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  if (last_error != cudaSuccess) Runtime::get().unseen = cudaSuccess;
  return last_error;
}
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }
cudaError_t cudaCtxResetPersistingL2Cache() { return cudaSuccess; }

}  // extern "C"
