// Devices, and what the host does with their memory and their queues of work (streams). The only place where
// the library's host code meets the CUDA runtime besides the launches, so that no public header includes it.
//
// On the CPU these are aligned_alloc, free and memcpy, and a stream is null: work is done when the call
// returns. On Device::cuda everything is ordered on the stream that is given and returns before it is done,
// except where said. A build without CUDA refuses Device::cuda with an InputError. Errors of the runtime are
// thrown as Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace cuclip {

enum class Device : uint8_t { cpu, cuda };

constexpr std::string_view name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

/// Whether this library has CUDA kernels. It says nothing of whether the machine has a GPU.
bool built_with_cuda();
/// Why the current GPU cannot be used, for a message: no CUDA in this build, no GPU, a driver or a GPU that
/// is too old. Empty if it can.
std::string cuda_problem();
/// "NVIDIA H100 80GB HBM3 (sm_90, 80 GiB)"; cuda_problem() must be empty.
std::string cuda_description();

/// Alignment of device_allocate's memory, in bytes.
inline constexpr size_t kDeviceAlignment = 64;

/// `bytes` bytes of the device's memory, uninitialised; null for none. Throws Error when there is no more.
void* device_allocate(Device device, size_t bytes, void* stream);
/// The same, but null when there is no more.
void* device_try_allocate(Device device, size_t bytes, void* stream);
/// What these gave; work that is already on the stream may still use it.
void device_free(Device device, void* memory, void* stream) noexcept;

/// Copies between host and device, or within either; the addresses tell which. `device` is where the copy is
/// carried out. Host memory must stay as it is until the stream has come past the copy.
void device_copy(Device device, void* to, const void* from, size_t bytes, void* stream);

/// Sets bytes of the device's memory to zero.
void device_zero(Device device, void* memory, size_t bytes, void* stream);

/// Waits for everything on the stream.
void device_synchronize(Device device, void* stream);

/// Owns a stream of the current device, which orders itself against no other. handle() is what
/// ExecContext::stream takes: null on the CPU.
class DeviceStream {
 public:
  explicit DeviceStream(Device device);
  void* handle() const { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(void* stream) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

}  // namespace cuclip
