// Devices, limits, errors.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include "runtime/runtime.h"

namespace emu {
namespace {

thread_local int device = 0;
thread_local cudaError_t last_error = cudaSuccess;
std::mutex peers_mutex;
std::set<std::pair<int, int>> peers;  // a device, and one whose memory it was given access to

}  // namespace

Runtime::Runtime()
    : settings(read_settings()),
      heap_(settings.memory, settings.options.check == CheckLevel::full),
      modules_(settings, heap_) {
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
  Runtime::get().set_unchecked_error(error == Runtime::get().sticky() ? cudaSuccess : error);
  return error;
}

cudaError_t note_launch(cudaError_t error) {
  const cudaError_t before = Runtime::get().unchecked_error();
  if (note(error) != cudaSuccess && error == Runtime::get().sticky())
    Runtime::get().set_unchecked_error(before);
  return error;
}

void report(const std::string& text) {
  std::fflush(stdout);
  std::fprintf(stderr, "emulate: %s\n", text.c_str());
}

cudaError_t synchronised() { return note(Runtime::get().sticky()); }

}  // namespace emu

using namespace emu;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (count == nullptr) return note(cudaErrorInvalidValue);
  *count = 0;
  if (Runtime::get().settings.driver < CUDART_VERSION / 1000 * 1000) return note(cudaErrorInsufficientDriver);
  *count = Runtime::get().settings.device_count;
  return note(*count > 0 ? cudaSuccess : cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int which) {
  if (which < 0 || which >= Runtime::get().settings.device_count) return note(cudaErrorInvalidDevice);
  device = which;
  return note(Runtime::get().sticky());
}
cudaError_t cudaInitDevice(int which, unsigned, unsigned) {
  return note(which >= 0 && which < Runtime::get().settings.device_count ? cudaSuccess
                                                                         : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* which) {
  if (which == nullptr) return note(cudaErrorInvalidValue);
  *which = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int which) {
  if (properties == nullptr) return note(cudaErrorInvalidValue);
  if (which < 0 || which >= Runtime::get().settings.device_count) return note(cudaErrorInvalidDevice);
  *properties = device_properties();
  properties->pciBusID = which;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int which) {
  if (value == nullptr) return note(cudaErrorInvalidValue);
  if (which < 0 || which >= Runtime::get().settings.device_count) return note(cudaErrorInvalidDevice);
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
  Runtime::get().set_limit(limit, value);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  if (limit < cudaLimitStackSize || limit > cudaLimitPersistingL2CacheSize)
    return note(cudaErrorUnsupportedLimit);
  *value = Runtime::get().limit(limit);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int which) {
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", which);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetByPCIBusId(int* which, const char* id) {
  unsigned domain = 0, bus = 0;
  const bool understood = std::sscanf(id, "%x:%x", &domain, &bus) == 2;
  if (!understood || domain != 0 || bus >= static_cast<unsigned>(Runtime::get().settings.device_count))
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
  if (peer < 0 || peer >= Runtime::get().settings.device_count || peer == current_device())
    return note(cudaErrorInvalidDevice);
  if (flags != 0) return note(cudaErrorInvalidValue);
  const std::lock_guard lock(peers_mutex);
  const bool added = peers.emplace(current_device(), peer).second;
  return note(added ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled);
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  const std::lock_guard lock(peers_mutex);
  return note(peers.erase({current_device(), peer}) != 0 ? cudaSuccess : cudaErrorPeerAccessNotEnabled);
}
cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int, int) {
  *value = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = Runtime::get().settings.driver;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() {
  if (last_error != cudaSuccess) Runtime::get().set_unchecked_error(cudaSuccess);
  if (Runtime::get().sticky() != cudaSuccess && last_error == Runtime::get().sticky()) return last_error;
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  if (last_error != cudaSuccess) Runtime::get().set_unchecked_error(cudaSuccess);
  return last_error;
}
cudaError_t cudaProfilerStart() { return cudaSuccess; }
cudaError_t cudaProfilerStop() { return cudaSuccess; }
cudaError_t cudaCtxResetPersistingL2Cache() { return cudaSuccess; }

}  // extern "C"
