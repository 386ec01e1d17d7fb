// Devices, and what the host does with their memory. Apart from the launches, this and stream.h are the only
// places where the library's host code meets the CUDA runtime, so that no public header includes it.
//
// On the CPU these are aligned_alloc, free and memcpy, and a stream is null: the work is done when the call
// returns. On Device::cuda a function that takes a stream orders its work on it and returns before that is
// done, unless stated otherwise. A build without CUDA refuses Device::cuda with an InputError. Errors of the
// runtime are thrown as Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cuclip {

enum class Device : uint8_t { cpu, cuda };

constexpr std::string_view name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

/// Whether this library has CUDA kernels. That says nothing about whether the machine has a GPU.
bool built_with_cuda();
/// Why the current GPU cannot be used, for a message: no CUDA in this build, no GPU, a driver or a GPU that
/// is too old, a GPU that is full or that another process has to itself. Empty if it can be used.
std::string cuda_problem();
/// "NVIDIA H100 80GB HBM3 (sm_90, 80 GiB)"; cuda_problem() must be empty.
std::string cuda_description();

/// Alignment of device_allocate's memory, in bytes.
inline constexpr size_t kDeviceAlignment = 64;

/// `bytes` bytes of the device's memory, uninitialised; null for 0 bytes. Throws Error when there is no more.
/// Allowed while a stream is being recorded (stream.h); it does not become part of the recording.
void* device_allocate(Device device, size_t bytes);
/// The same, but null when there is no more.
void* device_try_allocate(Device device, size_t bytes);
/// Frees what these two returned. On Device::cuda it waits for all work that is under way, which may still
/// use the memory.
void device_free(Device device, void* memory) noexcept;

/// Copies between host and device, or within either; the addresses tell which. `device` is where the copy is
/// carried out. Host memory must not change until the stream has got past the copy.
void device_copy(Device device, void* to, const void* from, size_t bytes, void* stream);

/// Sets bytes of the device's memory to zero.
void device_zero(Device device, void* memory, size_t bytes, void* stream);

/// Waits for everything on the stream.
void device_synchronize(Device device, void* stream);

}  // namespace cuclip
